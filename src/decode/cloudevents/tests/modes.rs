//! Content modes, and where organization and region are in each.

use base64::prelude::BASE64_STANDARD;

use super::*;

#[test]
fn binary_mode_by_cases() {
    let mut decoder = decoder(&rules(Format::Cloudevents));
    let value =
        |value: Option<&str>| Sample { value: value.map(|it| it.as_bytes().to_vec()), ..binary(&ATTRIBUTES) };
    let cases = [
        (None, COUNTED),
        (Some(""), COUNTED),
        (Some(" null "), COUNTED),
        (Some("{}"), COUNTED),
        (Some(r#"{"quantity":1.0,"id":"2","subject":"other"}"#), COUNTED),
        (Some(r#"{"quantity":-1}"#), "rejected bad_quantity"),
        (Some(r#"{"region":"EU"}"#), "rejected malformed"),
        (Some(r#"{"quantity":1"#), "rejected malformed"),
        (Some("[]"), "rejected malformed"),
        (Some("text"), "rejected malformed"),
    ];
    for (data, expected) in cases {
        assert_eq!(outcome(&mut decoder, &value(data)), expected, "{data:?}");
    }
    let not_utf8 = Sample { value: Some(b"{\"x\":\"\xff\"}".to_vec()), ..binary(&ATTRIBUTES) };
    assert_eq!(outcome(&mut decoder, &not_utf8), "rejected malformed");
    let empty = Sample { value: Some(b"[]".to_vec()), ..binary(&ATTRIBUTES) }
        .header("content-type", "application/json");
    assert_eq!(outcomes(&mut decoder, &empty), ["rejected malformed"]);
}

#[test]
fn a_missing_header_is_a_missing_attribute() {
    let mut decoder = decoder(&rules(Format::Cloudevents));
    for (left_out, expected) in [
        ("ce_specversion", "rejected malformed"),
        ("ce_id", "rejected missing_id"),
        ("ce_source", "rejected malformed"),
        ("ce_type", "rejected malformed"),
        ("ce_time", "rejected missing_time"),
        ("ce_subject", "rejected missing_organization"),
    ] {
        let others: Vec<_> = ATTRIBUTES.into_iter().filter(|(name, _)| *name != left_out).collect();
        assert_eq!(outcome(&mut decoder, &binary(&others)), expected, "{left_out}");
        let mut null = binary(&others);
        null.headers.push((left_out.to_owned(), None));
        assert_eq!(outcome(&mut decoder, &null), expected, "{left_out}: null");
        let twice = binary(&ATTRIBUTES).header(&left_out.to_uppercase(), "1.0");
        assert_eq!(outcome(&mut decoder, &twice), "rejected malformed", "{left_out} twice");
    }
    let upper: Vec<_> = ATTRIBUTES.iter().map(|(name, value)| (name.to_uppercase(), *value)).collect();
    let upper: Vec<_> = upper.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(outcome(&mut decoder, &binary(&upper)), COUNTED);
    let broken = binary(&ATTRIBUTES[1..]).header("ce_specversion", b"1.0\xff");
    assert_eq!(outcome(&mut decoder, &broken), "rejected malformed");
}

#[test]
fn the_content_type_tells_structured_from_binary() {
    let mut decoder = decoder(&rules(Format::Cloudevents));
    let structured = |content_type: &str| {
        Sample::new(event(&json!({})).to_string())
            .header("ce_id", "other")
            .header("Content-Type", content_type)
    };
    for content_type in [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents-Batch+JSON",
        "application/cloudevents",
    ] {
        assert_eq!(outcome(&mut decoder, &structured(content_type)), COUNTED, "{content_type}");
    }
    assert_eq!(outcome(&mut decoder, &structured("application/json")), "rejected malformed");
    let plain = Sample::new(event(&json!({})).to_string()).header("content-type", "application/json");
    assert_eq!(outcome(&mut decoder, &plain), COUNTED);
    let traced = Sample::new(event(&json!({})).to_string()).header("ce_traceparent", "00");
    assert_eq!(outcome(&mut decoder, &traced), COUNTED);
    assert_eq!(outcome(&mut decoder, &Sample::new("{}").header("é_id", "x")), "rejected malformed");
}

#[test]
fn base64_data_by_cases() {
    let mut decoder = decoder(&rules(Format::Cloudevents));
    let encoded = |data: &[u8]| event(&json!({ "data_base64": BASE64_STANDARD.encode(data) })).to_string();
    let cases: [(&[u8], &str); 8] = [
        (b"", COUNTED),
        (b"null", COUNTED),
        (br#"{"quantity":1}"#, COUNTED),
        (br#" {"quantity":-1} "#, "rejected bad_quantity"),
        (br#"{"region":"EU"}"#, "rejected malformed"),
        (b"{\"x\":\"\xff\"}", "rejected malformed"),
        (br#"{"quantity":1"#, "rejected malformed"),
        (b"7", "rejected malformed"),
    ];
    for (data, expected) in cases {
        assert_eq!(outcome(&mut decoder, &Sample::new(encoded(data))), expected, "{data:?}");
    }
    for text in [json!("e3"), json!("e30=="), json!("?"), json!(7), json!({}), json!("e30-")] {
        let event = event(&json!({ "data_base64": text }));
        assert_eq!(outcome(&mut decoder, &Sample::new(event.to_string())), "rejected malformed", "{text}");
    }
    let unpadded = event(&json!({ "data_base64": "e30" }));
    assert_eq!(outcome(&mut decoder, &Sample::new(unpadded.to_string())), COUNTED);
    let escaped = encoded(br#"{"service":"???>>>"}"#);
    assert!(escaped.contains('/'), "{escaped}");
    assert_eq!(
        outcome(&mut decoder, &Sample::new(escaped.replace('/', "\\/").replace('+', "\\u002b"))),
        COUNTED
    );
}

#[test]
fn organization_and_region_come_from_where_the_rules_say() {
    let base = rules(Format::Cloudevents);
    let extension = Rules { organization: Some("tenant".into()), region: Some("geo".into()), ..base.clone() };
    let patch = json!({ "tenant": "globex", "geo": "eu", "data": { "region": "not read" } });
    assert_eq!(end(&extension, &event(&patch)), "counted globex /gw 1 2026-11-23T18:00:00Z eu api_calls=1");
    assert_eq!(end(&extension, &event(&json!({}))), "rejected missing_organization");
    assert_eq!(
        end(&extension, &event(&json!({ "tenant": "g", "geo": "EU", "type": "other" }))),
        "rejected malformed"
    );
    let headers = binary(&ATTRIBUTES).header("ce_tenant", "globex").header("ce_geo", "eu");
    assert_eq!(
        outcome(&mut decoder(&extension), &headers),
        "counted globex /gw 1 2026-11-23T18:00:00Z eu api_calls=1"
    );

    let within = Rules { organization: Some("data.account.id".into()), ..base.clone() };
    let data = json!({ "account": { "id": "globex" }, "region": "eu" });
    let expected = "counted globex /gw 1 2026-11-23T18:00:00Z eu api_calls=1";
    assert_eq!(end(&within, &event(&json!({ "data": data }))), expected);
    let encoded = BASE64_STANDARD.encode(data.to_string());
    assert_eq!(end(&within, &event(&json!({ "data_base64": encoded }))), expected);
    let sample = Sample { value: Some(data.to_string().into_bytes()), ..binary(&ATTRIBUTES) };
    assert_eq!(outcome(&mut decoder(&within), &sample), expected);

    let header = Rules {
        organization: Some("header:x-org".into()),
        region: Some("topic:^gateway\\.(.*)$".into()),
        ..base
    };
    let plain = Sample::new(event(&json!({})).to_string());
    let expected = "counted globex /gw 1 2026-11-23T18:00:00Z events api_calls=1";
    assert_eq!(
        outcome(&mut decoder(&header), &plain.clone().header("x-org", "a").header("x-org", "globex")),
        expected
    );
    assert_eq!(outcome(&mut decoder(&header), &plain), "rejected missing_organization");
    assert_eq!(
        outcome(&mut decoder(&header), &plain.clone().header("X-Org", "a")),
        "rejected missing_organization"
    );
    assert_eq!(
        outcome(&mut decoder(&header), &plain.clone().header("x-org", "")),
        "rejected missing_organization"
    );
    assert_eq!(outcome(&mut decoder(&header), &plain.header("x-org", b"\xff")), "rejected malformed");
}
