use super::*;

#[test]
fn owned_properties_are_refused_with_a_reason() {
    for (name, _) in OWNED {
        let reason = refusal(name, Some("x")).unwrap();
        assert!(reason.starts_with("is odometer's own: "), "{name}: {reason}");
        assert!(refusal(name, None).is_some(), "{name}");
    }
}

#[test]
fn others_are_what_librdkafka_takes() {
    assert_eq!(refusal("security.protocol", Some("sasl_ssl")), None);
    assert_eq!(refusal("fetch.min.bytes", Some("1")), None);
    assert_eq!(refusal("sasl.password", None), None);
    assert_eq!(refusal("no.such.property", Some("1")).unwrap(), "is no property of librdkafka");
    assert_eq!(
        refusal("fetch.min.bytes", Some("many")).unwrap(),
        "has a value that librdkafka does not take"
    );
}
