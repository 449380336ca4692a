use xxhash_rust::xxh3::xxh3_128;

use super::super::tests::{Sample, decoder, meter, outcome, outcomes, rules};
use super::*;
use crate::event::{Aggregation, Format};

const COUNTED: &str = "counted acme - r1 2026-11-23T18:00:00Z eu api_calls=1";

/// A good record with one of its members replaced; an empty replacement removes it.
fn log(name: &str, value: &str) -> String {
    let members = [
        ("request", r#"{"id":"r1","method":"GET"}"#),
        ("started_at", "1795456800000"),
        ("service", r#"{"id":"s1","name":"pay"}"#),
        ("konnect", r#"{"org_id":"acme","geo":"eu"}"#),
    ];
    let members = members.map(|(it, old)| if it == name { (it, value) } else { (it, old) });
    let texts: Vec<_> = members
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("\"{name}\":{text}"))
        .collect();
    format!("{{{}}}", texts.join(","))
}

fn end(name: &str, value: &str) -> String {
    outcome(&mut decoder(&rules(Format::KafkaLog)), &Sample::new(log(name, value)))
}

#[test]
fn service_by_cases() {
    for routed in [
        r#"{"id":"s1"}"#,
        r#"{"name":"pay"}"#,
        r#""pay""#,
        r#"{"id":null,"host":"x"}"#,
        r#"{"id":"a","id":"b"}"#,
    ] {
        assert_eq!(end("service", routed), COUNTED, "{routed}");
    }
    for unrouted in ["", "null", "{}", "{ }", "[]", "[ \n ]", r#""""#, r#"{"id":null,"name":null}"#] {
        assert_eq!(end("service", unrouted), "ignored unrouted", "{unrouted}");
    }
    for bad in ["7", "true", "false", r#"["pay"]"#, "[null]", "[[]]"] {
        assert_eq!(end("service", bad), "rejected bad_service", "{bad}");
    }
    assert_eq!(end("service", r#"{},"service":{}"#), "rejected malformed");
}

#[test]
fn started_at_by_cases() {
    let at = |time: &str| format!("counted acme - r1 {time} eu api_calls=1");
    let cases = [
        ("1795456800000.0", COUNTED.to_owned()),
        ("1.7954568E12", COUNTED.to_owned()),
        ("1.7954568e+12", COUNTED.to_owned()),
        ("17954568000000000000e-7", COUNTED.to_owned()),
        ("1795456800000.9999999", COUNTED.to_owned()),
        ("1795456799999.9999999", at("2026-11-23T17:59:59.999Z")),
        ("", "rejected bad_time".to_owned()),
        ("null", "rejected bad_time".to_owned()),
        (r#""1795456800000""#, "rejected bad_time".to_owned()),
        (r#""2026-11-23T18:00:00Z""#, "rejected bad_time".to_owned()),
        ("true", "rejected bad_time".to_owned()),
        ("[]", "rejected bad_time".to_owned()),
        ("{}", "rejected bad_time".to_owned()),
        ("0", "rejected too_old".to_owned()),
        ("-1", "rejected too_old".to_owned()),
        ("-1e300", "rejected too_old".to_owned()),
        ("1795456800", "rejected too_old".to_owned()),
        ("1795456800000000", "rejected too_new".to_owned()),
        ("1e300", "rejected too_new".to_owned()),
        ("946684799999.9", "rejected too_old".to_owned()),
        (r#"1795456800000,"started_at":1795456800000"#, "rejected malformed".to_owned()),
    ];
    for (started_at, expected) in cases {
        assert_eq!(end("started_at", started_at), expected, "{started_at}");
    }
}

#[test]
fn organization_and_region_by_cases() {
    let cases = [
        (r#"{"org_id":"acme","geo":"eu"}"#, COUNTED),
        (r#"{"geo":"eu","org_id":"ac\u006de"}"#, COUNTED),
        (r#"{"org_id":"acme"}"#, "counted acme - r1 2026-11-23T18:00:00Z us api_calls=1"),
        (r#"{"org_id":"acme","geo":null}"#, "counted acme - r1 2026-11-23T18:00:00Z us api_calls=1"),
        (r#"{"org_id":"acme","geo":[]}"#, "rejected malformed"),
        (r#"{"org_id":"acme","geo":"EU"}"#, "rejected malformed"),
        (r#"{"org_id":"acme","geo":""}"#, "rejected malformed"),
        (r#"{"org_id":"","geo":"eu"}"#, "rejected missing_organization"),
        (r#"{"org_id":null}"#, "rejected missing_organization"),
        (r#"{"org_id":7}"#, "rejected malformed"),
        (r#"{"org_id":["acme"]}"#, "rejected malformed"),
        (r#"{"org_id":"acme","org_id":"acme"}"#, "rejected malformed"),
        (r#"{"org_id":"acme"},"konnect":{}"#, "rejected malformed"),
        ("{}", "rejected missing_organization"),
        ("[]", "rejected missing_organization"),
        ("null", "rejected missing_organization"),
        (r#""acme""#, "rejected missing_organization"),
        ("", "rejected missing_organization"),
    ];
    for (konnect, expected) in cases {
        assert_eq!(end("konnect", konnect), expected, "{konnect}");
    }
}

#[test]
fn a_record_without_an_id_is_known_by_its_own_bytes() {
    for request in ["", "null", "[]", "{}", r#"{"id":null}"#, r#"{"id":""}"#, r#""GET""#] {
        let text = log("request", request);
        let expected =
            format!("counted acme - #{:032x} 2026-11-23T18:00:00Z eu api_calls=1", xxh3_128(text.as_bytes()));
        let mut decoder = decoder(&rules(Format::KafkaLog));
        assert_eq!(outcome(&mut decoder, &Sample::new(text.clone())), expected, "{request}");
        assert_eq!(outcome(&mut decoder, &Sample::new(format!(" \n{text}\r\n"))), expected, "{request}");
        let array = format!("[ {text} ,{text}]");
        assert_eq!(outcomes(&mut decoder, &Sample::new(array)), [expected.clone(), expected], "{request}");
    }
    assert_eq!(end("request", r#"{"id":7}"#), "rejected malformed");
    assert_eq!(end("request", r#"{"id":"r1","id":"r1"}"#), "rejected malformed");
    assert_eq!(end("request", r#"{"id":"r1"},"request":{}"#), "rejected malformed");
}

#[test]
fn the_first_check_that_fails_decides() {
    let mut decoder = decoder(&rules(Format::KafkaLog));
    let cases = [
        (r#"{"konnect":{"geo":"EU"}}"#, "rejected malformed"),
        (r#"{"konnect":{"geo":"eu"},"started_at":"x","service":7}"#, "rejected missing_organization"),
        (r#"{"konnect":{"org_id":"acme"},"service":7}"#, "rejected bad_time"),
        (r#"{"konnect":{"org_id":"acme"},"started_at":"x","service":{}}"#, "rejected bad_time"),
        (r#"{"konnect":{"org_id":"acme"},"started_at":1,"service":7}"#, "rejected bad_service"),
        (r#"{"konnect":{"org_id":"acme"},"started_at":1}"#, "ignored unrouted"),
        (r#"{"konnect":{"org_id":"acme"},"started_at":1,"service":"s"}"#, "rejected too_old"),
        ("{}", "rejected missing_organization"),
    ];
    for (text, expected) in cases {
        assert_eq!(outcome(&mut decoder, &Sample::new(text)), expected, "{text}");
    }
}

#[test]
fn anything_may_be_in_fields_that_nobody_reads() {
    let mut decoder = decoder(&rules(Format::KafkaLog));
    let base = log("", "");
    let unread: [&[u8]; 8] = [
        b"\"x\":\"\xff\xfe\x80\"",
        b"\"\xc3\x28\":1",
        b"\"\\ud800\":\"\\udfff\"",
        b"\"x\":1,\"x\":2",
        b"\"upstream_status\":\"502, 502\",\"tries\":[],\"latencies\":{\"proxy\":-1,\"kong\":1.0E-5}",
        b"\"response\":{\"id\":\"r2\",\"konnect\":{\"org_id\":\"x\"}}",
        b"\"uri\":\"\\/a\\u002fb\"",
        b"\"Service\":{},\"STARTED_AT\":0",
    ];
    for member in unread {
        let text = [&b"{"[..], member, b",", &base.as_bytes()[1..]].concat();
        assert_eq!(outcome(&mut decoder, &Sample::new(text)), COUNTED, "{}", String::from_utf8_lossy(member));
    }
    let inner = base.replace("\"method\":\"GET\"", "\"headers\":{\"authorization\":\"\u{e9}\"}");
    assert_eq!(outcome(&mut decoder, &Sample::new(inner)), COUNTED);
}

#[test]
fn deep_nesting_neither_crashes_nor_matters() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(3_000), close.repeat(3_000));
    let rules = Rules { max_event_bytes: 1 << 20, ..rules(Format::KafkaLog) };
    let mut decoder = decoder(&rules);
    let unread = log("", "").replacen('{', &format!("{{\"x\":{},", deep("[", "]")), 1);
    assert_eq!(outcome(&mut decoder, &Sample::new(unread)), COUNTED);
    for text in [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(500_000), "{\"request\":".repeat(40_000)] {
        assert!(outcome(&mut decoder, &Sample::new(text)).starts_with("rejected"));
    }
}

#[test]
fn records_that_are_no_log() {
    let mut decoder = decoder(&rules(Format::KafkaLog));
    for text in ["", "null", "1", "\"x\"", "{", "{}{}", "[{}", "{\"a\":1,}", "not JSON"] {
        assert_eq!(outcome(&mut decoder, &Sample::new(text)), "rejected malformed", "{text}");
    }
    assert_eq!(outcome(&mut decoder, &Sample::new("[ ]")), "ignored empty");
    let good = log("", "");
    assert_eq!(
        outcomes(&mut decoder, &Sample::new(format!("[{good},null,[{good}],{good}]"))),
        [COUNTED, "rejected malformed", "rejected malformed", COUNTED]
    );
    assert_eq!(outcome(&mut decoder, &Sample::new(format!("[{good},"))), "rejected malformed");
    assert_eq!(outcome(&mut decoder, &Sample { value: None, ..Sample::new("") }), "rejected malformed");
}

#[test]
fn meters_take_values_of_the_log() {
    let meters = vec![
        meter("bytes_out", "api.request", Aggregation::Sum, Some("response.size")),
        meter("slowest", "kong.api_request", Aggregation::Max, Some("latencies.request")),
        meter("hits", "api.request", Aggregation::Count, None),
        meter("other", "llm.completion", Aggregation::Sum, Some("x")),
    ];
    let mut decoder = decoder(&Rules { meters, ..rules(Format::KafkaLog) });
    let with = |members: &str| Sample::new(log("", "").replacen('{', &format!("{{{members},"), 1));
    assert_eq!(
        outcome(&mut decoder, &with(r#""response":{"size":2.19e3},"latencies":{"request":41,"proxy":-1}"#)),
        "counted acme - r1 2026-11-23T18:00:00Z eu api_calls=1 bytes_out=2190 slowest=41 hits=1"
    );
    for bad in [
        r#""response":{"size":-1},"latencies":{"request":41}"#,
        r#""response":{"size":"2190"},"latencies":{"request":41}"#,
        r#""response":[],"latencies":{"request":41}"#,
        r#""response":{"size":1},"latencies":{"request":4.1}"#,
    ] {
        assert_eq!(outcome(&mut decoder, &with(bad)), "rejected bad_quantity", "{bad}");
    }
    let twice = with(r#""response":{"size":1,"size":1},"latencies":{"request":41}"#);
    assert_eq!(outcome(&mut decoder, &twice), "rejected malformed");
    let unrouted = Sample::new(log("service", "{}"));
    assert_eq!(outcome(&mut decoder, &unrouted), "ignored unrouted");
}

#[test]
fn headers_and_topics_may_name_the_organization() {
    let by_header =
        Rules { organization: Some("header:org".into()), region: None, ..rules(Format::KafkaLog) };
    let sample = Sample::new(log("", "")).header("org", "globex");
    assert_eq!(
        outcome(&mut decoder(&by_header), &sample),
        "counted globex - r1 2026-11-23T18:00:00Z us api_calls=1"
    );
    let by_topic = Rules { organization: Some("topic:^(\\w+)\\.".into()), ..rules(Format::KafkaLog) };
    assert_eq!(
        outcome(&mut decoder(&by_topic), &sample),
        "counted gateway - r1 2026-11-23T18:00:00Z eu api_calls=1"
    );
    let flat = Rules {
        organization: Some("service.id".into()),
        region: Some("service.geo".into()),
        ..rules(Format::KafkaLog)
    };
    assert_eq!(outcome(&mut decoder(&flat), &sample), "counted s1 - r1 2026-11-23T18:00:00Z us api_calls=1");
}
