//! The oracle is checked by hand-counted cases, so that it can't agree with a wrong product.

use super::*;

fn rules(format: Format) -> Rules {
    Rules {
        format,
        organization: "konnect.org_id",
        region: "konnect.geo",
        default_region: "us",
        dedup_window: 3,
        accept_past_ms: 35 * 86_400_000,
        accept_future_ms: 3_600_000,
        max_event_bytes: 4_096,
        sums: vec![("tokens", "ai.completion")],
    }
}

/// Outcomes of records that each hold one event, at 2024-03-01T00:00:00Z.
fn outcomes(format: Format, values: &[&str]) -> Vec<String> {
    let mut oracle = Oracle::new("t", rules(format));
    values
        .iter()
        .map(|value| {
            let before = (oracle.totals.counted, oracle.totals.duplicate);
            let record = KafkaRecord {
                value: Some(value.as_bytes().to_vec()),
                timestamp_ms: Some(1_709_251_200_000),
                ..KafkaRecord::default()
            };
            let offset = oracle.read(&record);
            match oracle.totals.rejected.get(&("t".to_owned(), 0, offset, 0)) {
                Some(reason) => (*reason).to_owned(),
                None if oracle.totals.counted > before.0 => "counted".to_owned(),
                None if oracle.totals.duplicate > before.1 => "duplicate".to_owned(),
                None => "ignored".to_owned(),
            }
        })
        .collect()
}

fn event(id: &str, time: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"api.request","subject":"acme","time":"{time}","data":{data}}}"#
    )
}

#[test]
fn keys_are_remembered_for_the_window_and_compared_with_their_latest_occurrence() {
    let a = event("a", "2024-02-29T23:59:59.999Z", "{}");
    let changed = event("a", "2024-02-29T23:59:59.999Z", r#"{"quantity":2}"#);
    let others: Vec<String> = (0..4).map(|n| event(&format!("o{n}"), "2024-03-01T00:00:00Z", "{}")).collect();
    let [o0, o1, o2, o3] = [&others[0], &others[1], &others[2], &others[3]].map(String::as_str);
    assert_eq!(
        outcomes(Format::CloudEvents, &[&a, o0, o1, &a, o2, o3, o0, &a, &changed, &changed, &a]),
        [
            "counted",
            "counted",
            "counted",
            "duplicate",
            "counted",
            "counted",
            "counted",
            "counted",
            "conflicting_duplicate",
            "duplicate",
            "conflicting_duplicate"
        ]
    );
}

#[test]
fn an_event_s_reason_is_the_first_that_applies() {
    let sound = event("a", "2024-03-01T00:00:00Z", "{}");
    let cases = [
        (sound.replace("1.0", "0.3"), "malformed"),
        (sound[..80].to_owned(), "malformed"),
        (sound.replace(r#""id":"a""#, r#""id":"a","id":"a""#), "malformed"),
        (sound.replace(r#""id":"a""#, r#""id":7"#), "malformed"),
        (sound.replace(r#""id":"a""#, r#""id":null"#), "missing_id"),
        (sound.replace(r#""subject":"acme""#, r#""subject":"""#), "missing_organization"),
        (sound.replace(r#""data":{}"#, r#""data":{"region":"Mars"}"#), "malformed"),
        (sound.replace(r#""data":{}"#, r#""data":{"quantity":1.5}"#), "bad_quantity"),
        (sound.replace(r#""data":{}"#, r#""data":{"quantity":9007199254740992}"#), "bad_quantity"),
        (sound.replace("2024-03-01T00:00:00Z", "2024-02-30T00:00:00Z"), "bad_time"),
        (sound.replace("2024-03-01T00:00:00Z", "2024-03-01T01:00:00.001Z"), "too_new"),
        (sound.replace("2024-03-01T00:00:00Z", "2024-01-25T23:59:59.999Z"), "too_old"),
        (sound.replace("2024-03-01T00:00:00Z", "2024-01-26T00:00:00Z"), "counted"),
        (sound.replace("api.request", "portal.login"), "ignored"),
        (sound.replace("api.request", "service.created"), "bad_service"),
        (format!("{sound}{}", " ".repeat(4_096)), "too_large"),
        ("[]".to_owned(), "ignored"),
        ("7".to_owned(), "malformed"),
    ];
    for (value, expected) in cases {
        assert_eq!(outcomes(Format::CloudEvents, &[&value]), [expected], "{value}");
    }
    let log = r#"{"request":{"id":"r"},"started_at":1.7092512e12,"service":{"id":"s"},"konnect":{"org_id":"acme"}}"#;
    for (value, expected) in [
        (log.to_owned(), "counted"),
        (log.replace("1.7092512e12", "\"1709251200000\""), "bad_time"),
        (log.replace(r#"{"id":"s"}"#, "[]"), "ignored"),
        (log.replace("acme", ""), "missing_organization"),
    ] {
        assert_eq!(outcomes(Format::KafkaLog, &[&value]), [expected], "{value}");
    }
    let without_id = log.replace(r#""id":"r""#, "");
    assert_eq!(outcomes(Format::KafkaLog, &[&without_id, &without_id]), ["counted", "duplicate"]);
}

#[test]
fn times_are_read_as_the_calendar_has_them() {
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2024-02-29T23:59:59.9999Z", Some(1_709_251_199_999)),
        ("2024-03-01t01:30:00+01:30", Some(1_709_251_200_000)),
        ("2016-12-31T23:59:60z", Some(1_483_228_799_000)),
        ("2023-02-29T00:00:00Z", None),
        ("2024-03-01T00:00:00", None),
        ("2024-03-01 00:00:00Z", None),
        ("2024-03-01T24:00:00Z", None),
    ] {
        assert_eq!(time::parse(text), expected, "{text}");
    }
    assert_eq!(time::month(1_709_251_199_999), "2024-02");
    assert_eq!(time::month(1_709_251_200_000), "2024-03");
    assert_eq!(time::bounds("2024-02"), (1_706_745_600_000, 1_709_251_200_000));
    assert_eq!(time::rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
}

#[test]
fn bincode_s_integers_are_read() {
    let values: (Vec<(u64, i64)>, Option<String>) =
        (vec![(0, 0), (250, -1), (251, 1), (65_536, i64::MIN), (u64::MAX, i64::MAX)], Some("ü".to_owned()));
    let bytes = bincode::encode_to_vec(&values, bincode::config::standard()).unwrap();
    let mut reader = batch::Reader { bytes: &bytes };
    assert_eq!(reader.unsigned(), Some(5));
    for (unsigned, signed) in values.0 {
        assert_eq!((reader.unsigned(), reader.signed()), (Some(unsigned), Some(signed)));
    }
    assert_eq!(reader.option(batch::Reader::text), Some(Some("ü".to_owned())));
}
