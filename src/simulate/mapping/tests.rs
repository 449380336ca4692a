use super::*;

#[test]
fn a_path_is_made_where_it_is_missing() {
    for (event, expected) in [
        (r#"{}"#, r#"{"a":{"b":"acme"}}"#),
        (r#"{"a":null,"z":1.5}"#, r#"{"a":{"b":"acme"},"z":1.5}"#),
        (r#"{"a":{"b":7,"c":8}}"#, r#"{"a":{"b":"acme","c":8}}"#),
    ] {
        let mut bytes = event.as_bytes().to_vec();
        put(&mut bytes, &["a".to_owned(), "b".to_owned()], "acme");
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
