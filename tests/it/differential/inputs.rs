//! Records of every format: mostly right, often odd, sometimes damaged.

use odometer::decode::{CompactEvent, encode_batch};
use proptest::prelude::*;
use proptest::sample::select;

const WORDS: &[&str] = &[
    r#""acme""#,
    r#""""#,
    r#""\u0061cme""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d""#,
    r#""a\/b""#,
    r#""us""#,
    r#""EU""#,
    r#""eu-1""#,
    "null",
    "true",
    "false",
    "[]",
    "{}",
    r#"{"id":"s1"}"#,
    r#"{"id":null}"#,
    r#"["x"]"#,
    "\"\u{e9}\"",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "5",
    "1.0",
    "1e3",
    "100e-2",
    "1.5",
    "-1",
    "-0",
    "-0.5",
    "9007199254740991",
    "9007199254740992",
    "1e400",
    "1e-400",
    "0e999999999999999999999",
    "5E+1",
    "01",
    "1.",
    "-",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1793000000000",
    "1793000000000.9",
    "1.793e12",
    "946684799999",
    "946684800000",
    "4102444799999",
    "4102444800000",
    "\"7\"",
];
const TIMES: &[&str] = &[
    "2026-11-01T00:00:00Z",
    "2026-10-31T23:59:59.999Z",
    "2026-11-01t00:00:00z",
    "2026-11-01T02:00:00.5+02:00",
    "2026-11-01T00:00:60Z",
    "2026-11-01 00:00:00Z",
    "2026-11-01T00:00:00",
    "2026-13-01T00:00:00Z",
    "2024-02-29T12:00:00.123456789012Z",
    "2023-02-29T12:00:00Z",
    "2026-11-01T24:00:00Z",
    "1999-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "2099-12-31T23:59:59.999999Z",
    "2026-11-01T00:00:00.Z",
    "2026-11-01T00:00:00+24:00",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "",
];
const TYPES: &[&str] = &[
    "api.request",
    "kong.api_request",
    "service.created",
    "service.updated",
    "service.published",
    "service.unpublished",
    "service.deleted",
    "llm.completion",
    "ping",
    "attributed",
    "something.else",
    "",
];

pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

pub fn word() -> impl Strategy<Value = String> {
    select(WORDS).prop_map(str::to_owned)
}

pub fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![word(), select(NUMBERS).prop_map(str::to_owned)]
}

/// Mostly what belongs there, now and then something else, or nothing.
pub fn mostly(right: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Option<String>> {
    prop_oneof![12 => right.prop_map(Some), 2 => scalar().prop_map(Some), 1 => Just(None)]
}

pub fn id() -> impl Strategy<Value = String> {
    "[a-c]{1,2}".prop_map(|text| quoted(&text))
}

/// Members in any order, some twice, some names with escapes, some space in between.
pub fn object(fields: Vec<(&'static str, Option<String>)>) -> impl Strategy<Value = String> {
    let members: Vec<(String, String)> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let length = members.len();
    (Just(members).prop_shuffle(), proptest::option::weighted(0.08, 0..length.max(1)), any::<u8>()).prop_map(
        |(mut members, twice, style)| {
            if let Some(twice) = twice.filter(|at| *at < members.len()) {
                let member = members[twice].clone();
                members.push(member);
            }
            let space = if style % 3 == 0 { " \n\t" } else { "" };
            let names = members.iter().map(|(name, value)| {
                let name = if style % 7 == 0 { name.replace('i', "\\u0069") } else { name.clone() };
                format!("{space}\"{name}\"{space}:{space}{value}{space}")
            });
            format!("{{{}}}", names.collect::<Vec<_>>().join(","))
        },
    )
}

pub fn data() -> impl Strategy<Value = String> {
    let number = || select(NUMBERS).prop_map(str::to_owned);
    (
        mostly(word()),
        mostly(word()),
        mostly(select(&["true", "false"][..]).prop_map(str::to_owned)),
        mostly(number()),
        mostly(number()),
        mostly(select(&["\"eu\"", "\"us\""][..]).prop_map(str::to_owned)),
        mostly(id()),
        mostly(number()),
    )
        .prop_flat_map(|(service, name, published, version, quantity, region, org, tokens)| {
            object(vec![
                ("service", service),
                ("name", name),
                ("published", published),
                ("version", version),
                ("quantity", quantity),
                ("region", region),
                ("org", org),
                ("tokens", tokens),
            ])
        })
}

pub fn cloudevent() -> impl Strategy<Value = String> {
    let base64 = data().prop_map(|data| {
        use base64::Engine;
        quoted(&base64::engine::general_purpose::STANDARD.encode(data))
    });
    let data = prop_oneof![
        8 => data().prop_map(|data| (Some(data), None)),
        2 => base64.prop_map(|text| (None, Some(text))),
        1 => scalar().prop_map(|value| (Some(value), None)),
        1 => (data(), scalar()).prop_map(|(data, other)| (Some(data), Some(other))),
        1 => Just((None, None)),
    ];
    let attributes = (
        mostly(Just(quoted("1.0"))),
        mostly(id()),
        mostly(id()),
        mostly(select(TYPES).prop_map(quoted)),
        mostly(prop_oneof![3 => Just(quoted("2026-11-02T03:04:05Z")), 2 => select(TIMES).prop_map(quoted)]),
        mostly(id()),
        mostly(word()),
    );
    (attributes, data).prop_flat_map(
        |((specversion, id, source, event_type, time, subject, extra), (data, encoded))| {
            object(vec![
                ("specversion", specversion),
                ("id", id),
                ("source", source),
                ("type", event_type),
                ("time", time),
                ("subject", subject.clone()),
                ("tenant", subject.map(|subject| format!("{{\"id\":{subject}}}"))),
                ("region", extra.clone().filter(|_| data.is_some())),
                ("amount", extra),
                ("data", data),
                ("data_base64", encoded),
            ])
        },
    )
}

pub fn gateway_log() -> impl Strategy<Value = String> {
    let service = prop_oneof![
        select(&[r#"{"id":"a","name":"b"}"#, "\"s\"", "{}", "[]", "null", "\"\"", "[1]", "7"][..])
            .prop_map(str::to_owned)
    ];
    (
        mostly(id()),
        mostly(select(NUMBERS).prop_map(str::to_owned)),
        mostly(service),
        mostly(id()),
        mostly(word()),
        mostly(select(NUMBERS).prop_map(str::to_owned)),
    )
        .prop_flat_map(|(id, started_at, service, organization, region, size)| {
            let request = id.map(|id| format!("{{\"id\":{id},\"method\":\"GET\"}}"));
            let konnect = organization.map(|organization| {
                format!("{{\"org_id\":{organization},\"geo\":{}}}", region.unwrap_or_else(|| "\"eu\"".into()))
            });
            object(vec![
                ("request", request),
                (
                    "started_at",
                    started_at.map(|time| if time.len() < 3 { "1793000000000".into() } else { time }),
                ),
                ("service", service),
                ("konnect", konnect),
                ("response", size.map(|size| format!("{{\"size\":{size}}}"))),
                ("unread", Some("[[{\"deep\":[1,2,{}]}],\"\\ud800\"]".into())),
            ])
        })
}

/// One event, an array of them, and damage.
pub fn text(event: BoxedStrategy<String>) -> impl Strategy<Value = Vec<u8>> {
    let array = proptest::collection::vec(
        prop_oneof![9 => event.clone(), 1 => scalar(), 1 => event.clone().prop_map(|it| format!("[{it}]"))],
        0..4,
    )
    .prop_map(|events| format!("[{}]", events.join(",")));
    let whole = prop_oneof![5 => event, 2 => array];
    (whole, proptest::option::weighted(0.25, (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8))).prop_map(
        |(text, damage)| {
            let mut bytes = text.into_bytes();
            if let Some((at, byte, how)) = damage {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, byte),
                    _ => bytes.push(byte),
                }
            }
            bytes
        },
    )
}

pub fn header_values() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    let names = select(
        &[
            "ce_specversion",
            "CE_Id",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_time",
            "ce_subject",
            "ce_region",
            "ce_data",
            "ce_amount",
            "ce_tenant",
            "content-type",
            "Content-Type",
            "tenant",
            "region",
            "other",
        ][..],
    );
    let values = prop_oneof![
        select(
            &[
                "1.0",
                "acme",
                "eu",
                "EU",
                "7",
                "1e1",
                " 7",
                "application/json",
                " application/cloudevents+json",
                ""
            ][..]
        )
        .prop_map(|text| Some(text.as_bytes().to_vec())),
        select(TYPES).prop_map(|text| Some(text.as_bytes().to_vec())),
        select(TIMES).prop_map(|text| Some(text.as_bytes().to_vec())),
        Just(None),
        Just(Some(vec![0xff])),
    ];
    proptest::collection::vec((names.prop_map(str::to_owned), values), 0..4)
}

/// Headers of an event in binary mode, most of them as they should be.
pub fn binary_headers() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    let sound = |name: &str, text: &str| (name.to_owned(), Some(text.as_bytes().to_vec()));
    (select(TYPES), select(TIMES), header_values(), any::<u8>()).prop_map(
        move |(event_type, time, more, style)| {
            let mut headers = vec![
                sound("ce_specversion", "1.0"),
                sound("ce_id", "i"),
                sound("ce_source", "s"),
                sound("ce_type", event_type),
                sound("ce_time", if style % 2 == 0 { time } else { "2026-11-02T03:04:05Z" }),
                sound("ce_subject", "acme"),
            ];
            if style % 3 == 0 {
                headers.extend(more);
            }
            headers
        },
    )
}

pub fn timestamps() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        select(&[1_793_588_645_000_i64, 1_790_564_645_000, 1_796_612_645_001, 0][..]).prop_map(Some)
    ]
}

pub fn compact() -> impl Strategy<Value = Vec<u8>> {
    let text = || select(&["", "acme", "eu", "EU", "\u{e9}"][..]);
    let event = (
        (
            text(),
            text(),
            text(),
            select(TYPES),
            select(&[1_793_588_645_000_i64, 0, -5, i64::MIN, i64::MAX][..]),
        ),
        (
            proptest::option::of(text()),
            proptest::option::of(text()),
            proptest::option::of(text()),
            any::<Option<bool>>(),
            any::<Option<i64>>(),
            proptest::option::of(select(
                &[0_u64, 1, 250, 251, 65_536, 9_007_199_254_740_991, 9_007_199_254_740_992, u64::MAX][..],
            )),
        ),
    );
    proptest::collection::vec(event, 0..4).prop_map(|events| {
        let events: Vec<CompactEvent<'_>> = events
            .into_iter()
            .map(
                |(
                    (organization, source, id, event_type, time_ms),
                    (region, service, name, published, version, quantity),
                )| {
                    CompactEvent {
                        organization,
                        source,
                        id,
                        event_type,
                        time_ms,
                        region,
                        service,
                        name,
                        published,
                        version,
                        quantity,
                    }
                },
            )
            .collect();
        encode_batch(&events)
    })
}

pub fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (bytes, proptest::option::weighted(0.4, (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8))).prop_map(
        |(mut bytes, damage)| {
            if let Some((at, byte, how)) = damage.filter(|_| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.truncate(at),
                    _ => bytes.insert(at, byte),
                }
            }
            bytes
        },
    )
}
