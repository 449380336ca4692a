use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;

fn read(path: &str, event: &[u8]) -> Field<String> {
    let mut tree = Tree::default();
    tree.want("data.other");
    let node = tree.want(path);
    let mut fields = FoundFields::default();
    fields.clear(&tree);
    fields.read_event(&tree, event, &mut ()).expect("valid JSON");
    View { fields: &fields, event: Text::Bytes(event), data: &[] }
        .text(node)
        .and_then(|text| Some(text.to_owned()))
}

fn found(text: &str) -> Field<String> {
    Field::Found(text.to_owned())
}

#[test]
fn paths_by_cases() {
    let cases = [
        ("org", r#"{"org":"acme"}"#, found("acme")),
        ("org", r#"{}"#, Field::Absent),
        ("org", r#"{"org":null}"#, Field::Absent),
        ("org", r#"{"org":7}"#, Field::Wrong),
        ("org", r#"{"org":["acme"]}"#, Field::Wrong),
        ("org", r#"{"org":"\ud800"}"#, Field::Wrong),
        ("org", r#"{"org":"a","org":"b"}"#, Field::Twice),
        ("org", r#"{"org":null,"org":"b"}"#, Field::Twice),
        ("org", r#"{"\u006frg":"\u0061cme"}"#, found("acme")),
        ("org", r#"{"\u006frg":"a","org":"b"}"#, Field::Twice),
        ("org", r#"{"Org":"acme"}"#, Field::Absent),
        ("a.b", r#"{"a":{"b":"acme"}}"#, found("acme")),
        ("a.b", r#"{"a.b":"acme"}"#, Field::Absent),
        ("a.b", r#"{"a":{"b":"x"},"a":{}}"#, Field::Twice),
        ("a.b", r#"{"a":[],"a":{"b":"x"}}"#, Field::Twice),
        ("a.b", r#"{"a":{"b":"x","b":"y"}}"#, Field::Twice),
        ("a.b", r#"{"a":{"c":1,"c":2,"b":"x"},"c":{"a":1},"c":2}"#, found("x")),
        ("a.b", r#"{"a":[]}"#, Field::Absent),
        ("a.b", r#"{"a":[{"b":"x"}]}"#, Field::Absent),
        ("a.b", r#"{"a":"b"}"#, Field::Absent),
        ("a.b", r#"{"a":{"a":{"b":"x"}},"b":"y"}"#, Field::Absent),
        ("data", r#"{"data":{"other":1}}"#, Field::Wrong),
        ("data", r#"{"data":"x"}"#, found("x")),
        ("a.b.c.d.e", r#"{"a":{"b":{"c":{"d":{"e":"deep"}}}}}"#, found("deep")),
        ("ключ", r#"{"ключ":"x","\u043a\u043b\u044e\u0447\u0000":"y"}"#, found("x")),
    ];
    for (path, event, expected) in cases {
        assert_eq!(read(path, event.as_bytes()), expected, "{path} of {event}");
    }
}

#[test]
fn names_that_are_not_unicode_are_names_that_nobody_wants() {
    assert_eq!(read("org", b"{\"\xff\":1,\"\\ud800\":2,\"\\u0041\xff\":3,\"org\":\"acme\"}"), found("acme"));
    assert_eq!(read("org", b"{\"org\":\"acme\xff\"}"), Field::Wrong);
    assert_eq!(read("org", b"{\"org\":\"\\n\xff\"}"), Field::Wrong);
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[a-c\"\\\\/é\n]{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::hash_map("[abc]|é|a\"b", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_path_leads_where_serde_json_says(root in any_json(), path in "[abcé](\\.[abcé]){0,3}", pretty in any::<bool>()) {
        let event = json!({ "a": root, "c": { "b": root } });
        let text = if pretty { serde_json::to_vec_pretty(&event) } else { serde_json::to_vec(&event) };
        let expected = path.split('.').try_fold(&event, |value, name| value.as_object()?.get(name));
        let expected = match expected {
            None | Some(Json::Null) => Field::Absent,
            Some(Json::String(text)) => found(text),
            Some(_) => Field::Wrong,
        };
        prop_assert_eq!(read(&path, &text.expect("plain data")), expected);
    }
}
