use super::super::Decoder;
use super::super::tests::{meter, rules};
use super::*;

fn error(topic: &str, rules: &Rules) -> String {
    match Decoder::new(topic, rules) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn organization_error(format: Format, text: &str) -> String {
    let rules = Rules { organization: Some(text.to_owned()), ..rules(format) };
    error("logs.eu.acme", &rules)
}

#[test]
fn organization_locators_by_cases() {
    for good in [
        "konnect.org_id",
        "org",
        "header:x-org",
        "topic:\\.([a-z]+)$",
        "topic:^logs\\.eu\\.(?:x|(.*))$",
        "a:b",
    ] {
        assert_eq!(organization_error(Format::KafkaLog, good), "none", "{good}");
    }
    let bad = [
        ("", "a dotted path is"),
        ("a..b", "a dotted path is"),
        (".a", "a dotted path is"),
        ("a.", "a dotted path is"),
        ("a. b", "a dotted path is"),
        ("header:", "a header's name must follow"),
        ("topic:[", "no regular expression: unclosed character class"),
        ("topic:^logs", "exactly one capture group, such as topic:^logs\\.([a-z]+)$, and has 0"),
        ("topic:(l)(o)gs", "and has 2"),
        ("topic:^metrics\\.(.*)$", "finds nothing in the topic's name \"logs.eu.acme\""),
        ("topic:logs()", "finds nothing"),
    ];
    for (text, expected) in bad {
        let error = organization_error(Format::KafkaLog, text);
        assert!(error.starts_with("organization \"") && error.contains(expected), "{text}: {error}");
    }
    let deep = ["a"; 33].join(".");
    assert!(organization_error(Format::KafkaLog, &deep).contains("at most 32"));
    assert!(organization_error(Format::Batch, "subject").contains("no paths"));
    assert_eq!(organization_error(Format::Batch, "organization"), "none");
}

#[test]
fn a_log_has_no_organization_by_itself() {
    let rules = Rules { organization: None, ..rules(Format::KafkaLog) };
    assert!(error("logs", &rules).contains("a kafka-log topic needs it"));
}

#[test]
fn regions_by_cases() {
    for bad in ["", "US", "a_b", "seventeen-letters", "é"] {
        let rules = Rules { default_region: bad.to_owned(), ..rules(Format::Cloudevents) };
        assert!(error("events", &rules).contains("1 to 16 of a-z, 0-9 and -"), "{bad}");
    }
    let region = |topic: &str, text: &str| {
        error(topic, &Rules { region: Some(text.to_owned()), ..rules(Format::Cloudevents) })
    };
    assert_eq!(region("logs.eu", "topic:^logs\\.(.*)$"), "none");
    assert_eq!(region("events", "topic:^logs\\.(.*)$"), "none");
    assert!(region("logs.EU", "topic:^logs\\.(.*)$").contains("finds \"EU\""));
    assert!(region("logs.eu", "a..b").starts_with("region \"a..b\""));
}

#[test]
fn meters_by_cases() {
    use Aggregation::{Count, Max, Sum};
    let cases = [
        (meter("tokens", "llm.completion", Sum, Some("data.tokens")), "none"),
        (meter("logins", "portal.login", Count, None), "none"),
        (meter("requests_2", "api.request", Count, Some("data.unused")), "none"),
        (meter("", "t", Count, None), "1 to 64"),
        (meter("Tokens", "t", Count, None), "1 to 64"),
        (meter("to-kens", "t", Count, None), "1 to 64"),
        (meter(&"x".repeat(65), "t", Count, None), "1 to 64"),
        (meter("api_calls", "t", Count, None), "taken by a built-in"),
        (meter("services", "t", Count, None), "taken by a built-in"),
        (meter("published_services", "t", Count, None), "taken by a built-in"),
        (meter("regions", "t", Count, None), "taken by a built-in"),
        (meter("tokens", "", Count, None), "type must name"),
        (meter("tokens", "service.created", Count, None), "no meter can take them"),
        (meter("tokens", "t", Sum, None), "need value"),
        (meter("tokens", "t", Max, None), "need value"),
        (meter("tokens", "t", Max, Some("data..x")), "value \"data..x\": a dotted path"),
    ];
    for (meter, expected) in cases {
        let rules = Rules { meters: vec![meter.clone()], ..rules(Format::Cloudevents) };
        let error = error("events", &rules);
        assert!(error.contains(expected), "{meter:?}: {error}");
    }
    let twice = vec![meter("a", "t", Count, None), meter("a", "u", Count, None)];
    assert!(error("events", &Rules { meters: twice, ..rules(Format::Batch) }).contains("another meter"));
    let many = (0..1001).map(|number| meter(&format!("m{number}"), "t", Count, None)).collect();
    assert!(error("events", &Rules { meters: many, ..rules(Format::Batch) }).contains("at most 1000"));
}

#[test]
fn meters_are_numbered_in_order() {
    let meters =
        vec![meter("b", "t", Aggregation::Max, Some("v")), meter("a", "u", Aggregation::Count, None)];
    let decoder =
        Decoder::new("events", &Rules { meters, ..rules(Format::Cloudevents) }).expect("good rules");
    let names: Vec<_> = decoder.meters().iter().map(|meter| (&*meter.name, meter.aggregation)).collect();
    assert_eq!(names, [("api_calls", Aggregation::Sum), ("b", Aggregation::Max), ("a", Aggregation::Count)]);
}
