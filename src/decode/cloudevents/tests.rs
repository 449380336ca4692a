use serde_json::{Value as Json, json};

use super::super::tests::{Sample, decoder, meter, outcome, outcomes, rules};
use super::*;
use crate::event::{Aggregation, Format};

mod modes;

/// A good request, changed by a merge patch (RFC 7396; null removes).
fn event(patch: &Json) -> Json {
    let mut event = json!({
        "specversion": "1.0", "id": "1", "source": "/gw", "type": "api.request",
        "time": "2026-11-23T18:00:00Z", "subject": "acme"
    });
    let members = event.as_object_mut().expect("an object");
    for (name, value) in patch.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    event
}

fn without(name: &str) -> Json {
    let mut event = event(&json!({}));
    event.as_object_mut().expect("an object").remove(name);
    event
}

fn end(rules: &Rules, event: &Json) -> String {
    outcome(&mut decoder(rules), &Sample::new(event.to_string()))
}

/// What a good request ends as.
const COUNTED: &str = "counted acme /gw 1 2026-11-23T18:00:00Z us api_calls=1";

#[test]
fn required_attributes_by_cases() {
    let cases = [
        (json!({}), COUNTED),
        (json!({ "specversion": "1.1" }), "rejected malformed"),
        (json!({ "specversion": null }), "rejected malformed"),
        (json!({ "specversion": 1.0 }), "rejected malformed"),
        (json!({ "type": null }), "rejected malformed"),
        (json!({ "type": "" }), "rejected malformed"),
        (json!({ "type": 1 }), "rejected malformed"),
        (json!({ "source": null }), "rejected malformed"),
        (json!({ "source": "" }), "rejected malformed"),
        (json!({ "source": ["/gw"] }), "rejected malformed"),
        (json!({ "id": null }), "rejected missing_id"),
        (json!({ "id": "" }), "rejected missing_id"),
        (json!({ "id": 1 }), "rejected malformed"),
        (json!({ "subject": null }), "rejected missing_organization"),
        (json!({ "subject": "" }), "rejected missing_organization"),
        (json!({ "subject": {} }), "rejected malformed"),
        (json!({ "time": null }), "rejected missing_time"),
        (json!({ "time": "" }), "rejected bad_time"),
        (json!({ "time": 1_795_456_800 }), "rejected bad_time"),
        (json!({ "time": "2026-11-23 18:00:00Z" }), "rejected bad_time"),
        (
            json!({ "time": "2026-11-23t19:00:00.25+01:00" }),
            "counted acme /gw 1 2026-11-23T18:00:00.25Z us api_calls=1",
        ),
    ];
    for (patch, expected) in cases {
        assert_eq!(end(&rules(Format::Cloudevents), &event(&patch)), expected, "{patch}");
    }
    for (name, expected) in [
        ("specversion", "rejected malformed"),
        ("type", "rejected malformed"),
        ("source", "rejected malformed"),
        ("id", "rejected missing_id"),
        ("subject", "rejected missing_organization"),
        ("time", "rejected missing_time"),
    ] {
        assert_eq!(end(&rules(Format::Cloudevents), &without(name)), expected, "{name}");
    }
}

#[test]
fn data_of_a_request_by_cases() {
    let counted = |quantity: u64| format!("counted acme /gw 1 2026-11-23T18:00:00Z us api_calls={quantity}");
    let bad = |reason: &str| format!("rejected {reason}");
    let cases = [
        ("{}", counted(1)),
        ("null", counted(1)),
        (r#"{"quantity":null,"service":null,"region":null}"#, counted(1)),
        (r#"{"quantity":0}"#, counted(0)),
        (r#"{"quantity":1.0}"#, counted(1)),
        (r#"{"quantity":1e3}"#, counted(1000)),
        (r#"{"quantity":9007199254740991}"#, counted(9_007_199_254_740_991)),
        (r#"{"quantity":9007199254740992}"#, bad("bad_quantity")),
        (r#"{"quantity":9007199254740991.5}"#, bad("bad_quantity")),
        (r#"{"quantity":18446744073709551617}"#, bad("bad_quantity")),
        (r#"{"quantity":1e400}"#, bad("bad_quantity")),
        (r#"{"quantity":-0}"#, counted(0)),
        (r#"{"quantity":-1}"#, bad("bad_quantity")),
        (r#"{"quantity":0.5}"#, bad("bad_quantity")),
        (r#"{"quantity":"1"}"#, bad("bad_quantity")),
        (r#"{"quantity":true}"#, bad("bad_quantity")),
        (r#"{"quantity":[]}"#, bad("bad_quantity")),
        (r#"{"service":""}"#, counted(1)),
        (r#"{"service":7}"#, bad("bad_service")),
        (r#"{"service":{"id":"x"}}"#, bad("bad_service")),
        (r#"{"region":""}"#, bad("malformed")),
        (r#"{"region":"EU"}"#, bad("malformed")),
        (r#"{"region":7}"#, bad("malformed")),
        (r#"{"region":"a-region-too-long"}"#, bad("malformed")),
        (r#"{"published":7,"name":[],"version":"x"}"#, counted(1)),
        (r#"{"quantity":1,"quantity":1}"#, bad("malformed")),
        (r#"{"service":"a","service":"a"}"#, bad("malformed")),
        (r#"{"region":"us","region":"us"}"#, bad("malformed")),
        (r#"{"version":1,"version":2,"x":1,"x":2}"#, counted(1)),
        ("[]", bad("malformed")),
        (r#""{}""#, bad("malformed")),
        ("7", bad("malformed")),
        ("false", bad("malformed")),
    ];
    for (data, expected) in cases {
        let text = event(&json!({ "data": "DATA" })).to_string().replace("\"DATA\"", data);
        assert_eq!(
            outcome(&mut decoder(&rules(Format::Cloudevents)), &Sample::new(text)),
            expected,
            "{data}"
        );
    }
}

#[test]
fn what_is_there_twice_is_malformed_where_it_is_read() {
    let base = event(&json!({})).to_string();
    let with = |member: &str| Sample::new(base.replacen('{', &format!("{{{member},"), 1));
    let mut decoder = decoder(&rules(Format::Cloudevents));
    for member in [
        r#""id":"1""#,
        r#""id":null"#,
        r#""\u0069d":"1""#,
        r#""specversion":"1.0""#,
        r#""source":"/gw""#,
        r#""type":"api.request""#,
        r#""time":"2026-11-23T18:00:00Z""#,
        r#""subject":"acme""#,
        r#""data":{},"data":{}"#,
        r#""data":{},"data_base64":"e30=""#,
        r#""data_base64":"e30=","data_base64":"e30=""#,
    ] {
        assert_eq!(outcome(&mut decoder, &with(member)), "rejected malformed", "{member}");
    }
    for member in
        [r#""ext":1,"ext":2"#, r#""data":null,"data_base64":"e30=""#, r#""data":{},"data_base64":null"#]
    {
        assert_eq!(outcome(&mut decoder, &with(member)), COUNTED, "{member}");
    }
}

#[test]
fn the_first_check_that_fails_decides() {
    let old = "2000-01-01T00:00:00Z";
    let cases = [
        (json!({ "id": "", "data": { "region": "EU" } }), "rejected malformed"),
        (json!({ "id": "", "source": "" }), "rejected malformed"),
        (json!({ "id": "", "data": { "quantity": -1 } }), "rejected missing_id"),
        (json!({ "id": "", "time": "x" }), "rejected missing_id"),
        (json!({ "id": "", "type": "other" }), "rejected missing_id"),
        (json!({ "time": "x", "type": "other" }), "rejected bad_time"),
        (json!({ "time": old, "type": "other" }), "ignored unknown_type"),
        (json!({ "time": old, "data": { "quantity": -1 } }), "rejected bad_quantity"),
        (json!({ "time": old, "data": 7 }), "rejected malformed"),
        (json!({ "time": old }), "rejected too_old"),
        (json!({ "type": "other", "data": { "quantity": -1, "region": "EU" } }), "ignored unknown_type"),
        (json!({ "type": "other", "data": [1], "data_base64": 1 }), "ignored unknown_type"),
        (json!({ "type": "API.request" }), "ignored unknown_type"),
    ];
    for (patch, expected) in cases {
        assert_eq!(end(&rules(Format::Cloudevents), &event(&patch)), expected, "{patch}");
    }
}

#[test]
fn service_events_by_cases() {
    let ms = 1_795_456_800_000_i64;
    let cases = [
        ("created", json!({}), format!("version={ms} published=Some(false) name=None")),
        ("created", json!({ "published": true }), format!("version={ms} published=Some(true) name=None")),
        ("updated", json!({}), format!("version={ms} published=None name=None")),
        (
            "updated",
            json!({ "published": false, "name": "" }),
            format!("version={ms} published=Some(false) name=Some(\"\")"),
        ),
        (
            "published",
            json!({ "published": "x", "version": 3 }),
            "version=3 published=Some(true) name=None".to_owned(),
        ),
        (
            "unpublished",
            json!({ "name": "Pay" }),
            format!("version={ms} published=Some(false) name=Some(\"Pay\")"),
        ),
        (
            "deleted",
            json!({ "version": -1, "published": true }),
            "version=-1 published=None name=None".to_owned(),
        ),
        ("deleted", json!({ "version": i64::MIN }), format!("version={} published=None name=None", i64::MIN)),
    ];
    for (action, data, expected) in cases {
        let mut data = data;
        data["service"] = json!("pay");
        let event = event(&json!({ "type": format!("service.{action}"), "data": data }));
        let expected = format!("counted acme /gw 1 2026-11-23T18:00:00Z us service.{action} pay {expected}");
        assert_eq!(end(&rules(Format::Cloudevents), &event), expected, "{event}");
    }
    let bad = [
        (json!({}), "bad_service"),
        (json!({ "service": null }), "bad_service"),
        (json!({ "service": "" }), "bad_service"),
        (json!({ "service": 7 }), "bad_service"),
        (json!({ "service": "pay", "name": 7 }), "bad_service"),
        (json!({ "service": "pay", "published": "true" }), "bad_service"),
        (json!({ "service": "pay", "published": 1 }), "bad_service"),
        (json!({ "service": "pay", "version": "1" }), "bad_service"),
        (json!({ "service": "pay", "version": 1.5 }), "bad_service"),
        (json!({ "service": "pay", "version": 9_223_372_036_854_775_808_u64 }), "bad_service"),
        (json!({ "service": "pay", "region": "EU" }), "malformed"),
        (json!([]), "malformed"),
    ];
    for (data, reason) in bad {
        let event = event(&json!({ "type": "service.updated", "data": data }));
        assert_eq!(end(&rules(Format::Cloudevents), &event), format!("rejected {reason}"), "{event}");
    }
    let bare = event(&json!({ "type": "service.deleted" }));
    assert_eq!(end(&rules(Format::Cloudevents), &bare), "rejected bad_service");
}

#[test]
fn records_that_are_no_event() {
    let mut decoder = decoder(&rules(Format::Cloudevents));
    for value in ["", " ", "null", "7", "\"x\"", "{", "{}x", "[{}", "[{},]", "[]]", "\u{feff}{}", "hello"] {
        assert_eq!(outcome(&mut decoder, &Sample::new(value)), "rejected malformed", "{value}");
    }
    let tombstone = Sample { value: None, ..Sample::new("") };
    assert_eq!(outcome(&mut decoder, &tombstone), "rejected malformed");
    assert_eq!(outcome(&mut decoder, &Sample::new(" [\n] ")), "ignored empty");
    assert_eq!(outcomes(&mut decoder, &Sample::new("[null, [], {}]")), ["rejected malformed"; 3]);
}

#[test]
fn event_times_are_bounded_by_the_record_and_by_the_century() {
    let at = |time: &str, recorded: Option<i64>| {
        let sample =
            Sample { timestamp_ms: recorded, ..Sample::new(event(&json!({ "time": time })).to_string()) };
        outcome(&mut decoder(&rules(Format::Cloudevents)), &sample)
            .split(' ')
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let recorded = Some(super::super::tests::RECORDED_MS);
    let cases = [
        ("2026-10-19T18:30:00Z", recorded, "counted acme"),
        ("2026-10-19T18:29:59.999Z", recorded, "rejected too_old"),
        ("2026-11-23T19:30:00Z", recorded, "counted acme"),
        ("2026-11-23T19:30:00.001Z", recorded, "rejected too_new"),
        ("2000-01-01T00:00:00Z", None, "counted acme"),
        ("1999-12-31T23:59:59.999Z", None, "rejected too_old"),
        ("2099-12-31T23:59:59.999Z", None, "counted acme"),
        ("2100-01-01T00:00:00Z", None, "rejected too_new"),
        ("0000-01-01T00:00:00+23:59", None, "rejected too_old"),
        ("2026-01-01T00:00:00Z", Some(i64::MAX), "rejected too_old"),
        ("2026-01-01T00:00:00Z", Some(i64::MIN), "rejected too_new"),
    ];
    for (time, recorded, expected) in cases {
        assert_eq!(at(time, recorded), expected, "{time} {recorded:?}");
    }
}

#[test]
fn values_may_be_as_long_as_the_rules_say() {
    let text = event(&json!({})).to_string();
    let long = |length: usize| Sample::new(format!("{text:<length$}"));
    let mut decoder = decoder(&rules(Format::Cloudevents));
    assert_eq!(outcome(&mut decoder, &long(8192)), COUNTED);
    assert_eq!(outcome(&mut decoder, &long(8193)), "rejected too_large");
}

fn binary(attributes: &[(&str, &str)]) -> Sample {
    attributes.iter().fold(Sample::new(""), |sample, (name, value)| sample.header(name, *value))
}

const ATTRIBUTES: [(&str, &str); 6] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "1"),
    ("ce_source", "/gw"),
    ("ce_type", "api.request"),
    ("ce_time", "2026-11-23T18:00:00Z"),
    ("ce_subject", "acme"),
];

#[test]
fn configured_meters_by_cases() {
    let meters = vec![
        meter("tokens", "llm.completion", Aggregation::Sum, Some("data.usage.tokens")),
        meter("weight", "kong.api_request", Aggregation::Max, Some("data.weight")),
        meter("completions", "llm.completion", Aggregation::Count, None),
        meter("logins", "portal.login", Aggregation::Count, None),
        meter("level", "sensor", Aggregation::Max, Some("level")),
    ];
    let rules = Rules { meters, ..rules(Format::Cloudevents) };
    let at = "acme /gw 1 2026-11-23T18:00:00Z";
    let cases = [
        (
            json!({ "type": "llm.completion", "data": { "usage": { "tokens": 7e2 }, "region": "eu" } }),
            format!("counted {at} eu tokens=700 completions=1"),
        ),
        (json!({ "type": "llm.completion", "data": { "usage": [] } }), "rejected bad_quantity".into()),
        (
            json!({ "type": "llm.completion", "data": { "usage": { "tokens": "7" } } }),
            "rejected bad_quantity".into(),
        ),
        (
            json!({ "type": "llm.completion", "data": { "usage": { "tokens": null } } }),
            "rejected bad_quantity".into(),
        ),
        (json!({ "type": "llm.completion" }), "rejected bad_quantity".into()),
        (json!({ "data": { "weight": 3, "quantity": 2 } }), format!("counted {at} us api_calls=2 weight=3")),
        (json!({ "data": { "quantity": 2 } }), "rejected bad_quantity".into()),
        (json!({ "type": "portal.login" }), format!("counted {at} us logins=1")),
        (json!({ "type": "portal.login", "data": "text" }), format!("counted {at} us logins=1")),
        (json!({ "type": "portal.login", "data": { "quantity": -1 } }), format!("counted {at} us logins=1")),
        (json!({ "type": "portal.login", "data_base64": "?" }), "rejected malformed".into()),
        (json!({ "type": "portal.logout" }), "ignored unknown_type".into()),
        (json!({ "type": "sensor", "level": 4 }), format!("counted {at} us level=4")),
        (json!({ "type": "sensor", "level": "4" }), "rejected bad_quantity".into()),
    ];
    for (patch, expected) in cases {
        assert_eq!(end(&rules, &event(&patch)), expected, "{patch}");
    }
    let mut decoder = decoder(&rules);
    let typed = |event_type: &'static str| -> Vec<(&str, &str)> {
        ATTRIBUTES
            .into_iter()
            .map(|it| if it.0 == "ce_type" { ("ce_type", event_type) } else { it })
            .collect()
    };
    let sensor = |level: &str| binary(&typed("sensor")).header("ce_level", level);
    assert_eq!(outcome(&mut decoder, &sensor("4")), format!("counted {at} us level=4"));
    assert_eq!(outcome(&mut decoder, &sensor("4x")), "rejected bad_quantity");
    assert_eq!(outcome(&mut decoder, &sensor("")), "rejected bad_quantity");
    let text = Sample { value: Some(b"\xff not JSON".to_vec()), ..binary(&typed("portal.login")) };
    assert_eq!(outcome(&mut decoder, &text), format!("counted {at} us logins=1"));
}

#[test]
fn text_that_nobody_reads_must_be_utf_8_all_the_same() {
    let text = event(&json!({ "traceparent": "QQ" })).to_string().into_bytes();
    let mut broken = text.clone();
    let at = text.windows(2).position(|pair| pair == b"QQ").expect("the mark");
    broken[at] = 0xff;
    let mut decoder = decoder(&rules(Format::Cloudevents));
    assert_eq!(outcome(&mut decoder, &Sample::new(text)), COUNTED);
    assert_eq!(outcome(&mut decoder, &Sample::new(broken)), "rejected malformed");
    let half = event(&json!({})).to_string().replace("\"acme\"", "\"\\ud800\"");
    assert_eq!(outcome(&mut decoder, &Sample::new(half)), "rejected malformed");
}
