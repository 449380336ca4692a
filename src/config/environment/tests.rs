use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::super::yaml::parse;
use super::*;

fn overlaid(file: &str, variables: &[(&str, &str)]) -> (Node, Vec<Problem>) {
    let mut root = parse(file, &|line| Place::Line("f.yaml".into(), line)).unwrap();
    let mut problems = Vec::new();
    let variables = variables.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
    overlay(&mut root, variables, &mut problems);
    (root, problems)
}

/// The text at a dotted path, if a scalar is there.
fn at(root: &Node, path: &str) -> Option<String> {
    let node = path.split('/').try_fold(root, |node, key| node.child(key))?;
    match &node.value {
        Value::Scalar(text) | Value::Raw(text) => Some(text.clone()),
        _ => None,
    }
}

#[test]
fn variables_replace_and_add_keys() {
    let (root, problems) = overlaid(
        "kafka: { brokers: a, group: g }",
        &[("ODOMETER__KAFKA__BROKERS", "b"), ("ODOMETER__METERING__DEDUP_WINDOW", "5"), ("OTHER__X", "no")],
    );
    assert_eq!(problems, []);
    assert_eq!(at(&root, "kafka/brokers").as_deref(), Some("b"));
    assert_eq!(at(&root, "kafka/group").as_deref(), Some("g"));
    assert_eq!(at(&root, "metering/dedup_window").as_deref(), Some("5"));
}

#[test]
fn the_longer_path_wins_over_an_inline_map() {
    for variables in [
        [("ODOMETER__KAFKA__GROUP", "two"), ("ODOMETER__KAFKA", "{ group: one, brokers: b }")],
        [("ODOMETER__KAFKA", "{ group: one, brokers: b }"), ("ODOMETER__KAFKA__GROUP", "two")],
    ] {
        for file in ["", "kafka: { start: latest }"] {
            let (root, problems) = overlaid(file, &variables);
            assert_eq!(problems, []);
            assert_eq!(at(&root, "kafka/group").as_deref(), Some("two"));
            assert_eq!(at(&root, "kafka/brokers").as_deref(), Some("b"));
        }
    }
}

#[test]
fn inline_maps_are_merged_into_the_files() {
    let (root, _) =
        overlaid("kafka: { properties: { a.b: x } }", &[("ODOMETER__KAFKA", "{ properties: { c.d: y } }")]);
    assert_eq!(at(&root, "kafka/properties/a.b").as_deref(), Some("x"));
    assert_eq!(at(&root, "kafka/properties/c.d").as_deref(), Some("y"));
}

#[test]
fn properties_have_dots_for_underscores() {
    let (root, _) = overlaid("", &[("ODOMETER__KAFKA__PROPERTIES__SASL_USERNAME", "me")]);
    assert_eq!(at(&root, "kafka/properties/sasl.username").as_deref(), Some("me"));
}

#[test]
fn a_key_below_a_list_or_text_is_refused() {
    for file in ["region: us", "region: [us]"] {
        let (_, problems) = overlaid(file, &[("ODOMETER__REGION__0", "x")]);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].to_string().starts_with("environment variable ODOMETER__REGION__0: "),
            "{}",
            problems[0]
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let mut root = Node::null(Place::Default);
    let mut problems = Vec::new();
    let bytes = OsStr::from_bytes(b"\xff").to_owned();
    overlay(&mut root, [(OsString::from("ODOMETER__REGION"), bytes)], &mut problems);
    assert_eq!(problems[0].to_string(), "environment variable ODOMETER__REGION: region: is not UTF-8");
}
