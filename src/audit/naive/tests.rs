use super::json::{self, Kind, ROOT};
use super::*;
use crate::event::{Lane, NoHeaders, Record};

fn rules(format: Format, organization: Option<&str>) -> Rules {
    Rules {
        format,
        organization: organization.map(str::to_owned),
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: 10,
        accept_past_ms: 35 * 86_400_000,
        accept_future_ms: 3_600_000,
        max_event_bytes: 1024,
    }
}

fn read(rules: &Rules, value: &str) -> Vec<Judged> {
    let record = Record {
        topic: "t",
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        value: Some(value.as_bytes()),
        headers: &NoHeaders,
    };
    let reader = NaiveReader::new("t", rules).expect("rules are sound");
    reader.read(&record).into_iter().map(|part| part.judged).collect()
}

/// (what is changed of a sound event, what becomes of it)
#[test]
fn the_contract_s_checks_decide_in_their_order() {
    let sound = [
        ("specversion", r#""1.0""#),
        ("id", r#""1""#),
        ("source", r#""/g""#),
        ("type", r#""api.request""#),
        ("time", r#""2026-11-01T00:00:00Z""#),
        ("subject", r#""acme""#),
        ("data", r#"{"service":"s","quantity":2}"#),
    ];
    let of = |changes: &[(&str, &str)]| {
        let members: Vec<String> = sound
            .iter()
            .map(|(name, value)| {
                (
                    name,
                    changes
                        .iter()
                        .rev()
                        .find(|(changed, _)| changed == name)
                        .map_or(value, |(_, value)| value),
                )
            })
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    let rejected = Judged::Rejected;
    let ignored = Judged::Ignored(Ignored::UnknownType);
    let cases: [(&[(&str, &str)], Judged); 22] = [
        (&[("specversion", r#""0.3""#)], rejected(Reason::Malformed)),
        (&[("source", "")], rejected(Reason::Malformed)),
        (&[("source", r#""""#)], rejected(Reason::Malformed)),
        (&[("type", "7")], rejected(Reason::Malformed)),
        (&[("data", r#"{"region":"EU"}"#)], rejected(Reason::Malformed)),
        (&[("data", r#"{"quantity":1,"quantity":1}"#)], rejected(Reason::Malformed)),
        (&[("data", r#""text""#)], rejected(Reason::Malformed)),
        (&[("data", r#"{"region":"EU"}"#), ("subject", "")], rejected(Reason::Malformed)),
        (&[("subject", "null")], rejected(Reason::MissingOrganization)),
        (&[("subject", r#""""#), ("time", r#""x""#)], rejected(Reason::MissingOrganization)),
        (&[("id", r#""""#)], rejected(Reason::MissingId)),
        (&[("time", "")], rejected(Reason::MissingTime)),
        (&[("time", r#""2026-11-01""#)], rejected(Reason::BadTime)),
        (&[("time", "5")], rejected(Reason::BadTime)),
        (&[("data", r#"{"quantity":-1}"#)], rejected(Reason::BadQuantity)),
        (&[("data", r#"{"quantity":9007199254740992}"#)], rejected(Reason::BadQuantity)),
        (&[("data", r#"{"service":7}"#)], rejected(Reason::BadService)),
        (&[("type", r#""service.created""#), ("data", "{}")], rejected(Reason::BadService)),
        (&[("type", r#""other""#), ("time", r#""1999-01-01T00:00:00Z""#)], ignored.clone()),
        (&[("type", r#""other""#), ("data", r#"{"quantity":1,"quantity":1}"#)], ignored),
        (&[("time", r#""1999-12-31T23:59:59.999Z""#)], rejected(Reason::TooOld)),
        (&[("time", r#""2100-01-01T00:00:00Z""#)], rejected(Reason::TooNew)),
    ];
    let rules = rules(Format::Cloudevents, None);
    assert!(matches!(read(&rules, &of(&[]))[..], [Judged::Event(_)]));
    for (changes, expected) in cases {
        assert_eq!(read(&rules, &of(changes)), [expected], "{changes:?}");
    }
}

#[test]
fn a_gateway_s_log_counts_whatever_it_does_not_read() {
    let rules = rules(Format::KafkaLog, Some("konnect.org_id"));
    let log = |request: &str, service: &str| {
        format!(
            r#"{{"request":{request},"started_at":1793e9,"service":{service},"konnect":{{"org_id":"a\/b"}}}}"#
        )
    };
    let [Judged::Event(event)] = &read(&rules, &log(r#"{"id":"r1","uri":"\ud800"}"#, r#"{"id":"s"}"#))[..]
    else {
        panic!("no event");
    };
    assert_eq!(
        (event.organization.as_str(), event.time_ms, event.region.as_str()),
        ("a/b", 1_793_000_000_000, "us")
    );
    for service in ["null", "{}", "[]", r#""""#, r#"{"id":null}"#] {
        assert_eq!(read(&rules, &log("{}", service)), [Judged::Ignored(Ignored::Unrouted)], "{service}");
    }
    let [Judged::Event(one), Judged::Event(other)] =
        &read(&rules, &format!("[{},{}]", log("{}", r#""s""#), log(" {}", r#""s""#)))[..]
    else {
        panic!("no two events");
    };
    assert_ne!(one.id, other.id, "without an id, the bytes tell events apart");
}

#[test]
fn json_is_read_to_the_letter() {
    for text in ["{\"a\":[1,{}]} ", "[]", "-0.5e-3", "\"\\u0041\\/\"", "[[[[1]]]]", "{\"a\":1,\"a\":2}"] {
        assert!(json::parse(text.as_bytes()).is_some(), "{text}");
    }
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "01",
        "1.",
        "+1",
        "\"\\x\"",
        "\"\t\"",
        "[] []",
        "nul",
        "{a:1}",
        "[}",
    ] {
        assert!(json::parse(text.as_bytes()).is_none(), "{text}");
    }
    let deep = "[".repeat(200_000);
    assert!(json::parse(deep.as_bytes()).is_none());
    let document =
        json::parse(br#"{"a":{"b":"\ud83d\ude00","b":1},"c":{"d":null},"\u0065":[]}"#).expect("valid");
    assert_eq!(document.find(ROOT, &["a", "b"]), Field::Twice);
    assert_eq!(document.find(ROOT, &["c", "d"]), Field::Absent);
    assert_eq!(document.find(ROOT, &["c", "d", "e"]), Field::Absent);
    let Field::Found(node) = document.find(ROOT, &["e"]) else { panic!("an escaped name is a name") };
    assert_eq!(document.kind(node), Kind::Array);
}

#[test]
fn numbers_are_exact() {
    let floor = |text: &str| {
        let (floor, exact) = number::floor(text.as_bytes()).expect("a number");
        (floor.to_string(), exact)
    };
    for (text, whole, exact) in [
        ("0", "0", true),
        ("-0", "0", true),
        ("1.0", "1", true),
        ("1e3", "1000", true),
        ("100000e-2", "1000", true),
        ("1.5", "1", false),
        ("-1.5", "-2", false),
        ("-0.000", "0", true),
        ("-1e-99999999999999999999", "-1", false),
        ("0e99999999999999999999", "0", true),
        ("9007199254740993", "9007199254740993", true),
    ] {
        assert_eq!(floor(text), (whole.to_owned(), exact), "{text}");
    }
    assert_eq!(floor("1e99999999999999999999").0.len(), 10_001, "far beyond any count");
}

/// The layouts of docs/formats.md with their hashes: they are part of every digest ever stored.
#[test]
fn the_hashes_are_the_ones_that_were_always_stored() {
    let event = NaiveEvent {
        organization: "acme".to_owned(),
        source: "/gateway".to_owned(),
        id: NaiveId::Text("1".to_owned()),
        time_ms: 1_793_491_200_000,
        region: "us".to_owned(),
        body: NaiveBody::Usage(vec![("api_calls".to_owned(), Aggregation::Sum, 1)]),
    };
    let key_layout = b"\x04\0\0\0acme\x08\0\0\0/gateway\x001";
    assert_eq!(event_key(&event), xxhash_rust::xxh3::xxh3_128(key_layout));
    // 1,793,491,200,000 ms are 498,192 hours.
    let content_layout = b"\0\x10\x9a\x07\0\x02\0\0\0us\x09\0\0\0api_calls\x01\0\0\0\0\0\0\0";
    assert_eq!(content_hash(&event), xxhash_rust::xxh3::xxh3_64(content_layout));
}

#[test]
fn the_parts_of_an_array_stand_alone() {
    let rules = rules(Format::KafkaLog, Some("o"));
    let lane = Lane { topic: "t".into(), topic_id: "id".into(), partition: 0 };
    let record = Record {
        topic: &lane.topic,
        partition: 0,
        offset: 3,
        timestamp_ms: None,
        key: None,
        value: Some(br#" [ {"o":"a"} , [{"o":"b"}], 7 ] "#),
        headers: &NoHeaders,
    };
    let parts = NaiveReader::new("t", &rules).expect("rules are sound").read(&record);
    let alone: Vec<_> = parts.iter().map(|part| part.alone.as_deref().expect("a part")).collect();
    assert_eq!(alone, [&br#"{"o":"a"}"#[..], br#"[[{"o":"b"}]]"#, b"7"]);
}
