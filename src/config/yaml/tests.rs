use super::*;

fn line(line: usize) -> Place {
    Place::Line("f.yaml".into(), line)
}

fn read(text: &str) -> Result<Node, Problem> {
    parse(text, &line)
}

fn text(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(text) => text,
        value => panic!("{value:?} is no scalar"),
    }
}

#[test]
fn values_know_their_lines() {
    let root = read("a: 1\n# note\nb:\n  c: [x, y]\n").unwrap();
    assert_eq!(root.child("a").unwrap().place, line(1));
    let list = root.child("b").unwrap().child("c").unwrap();
    assert_eq!(list.place, line(4));
}

#[test]
fn scalars_stay_as_written() {
    let root = read("a: 0123\nb: 'null'\nc: null\nd:\ne: \"x\\ty\"").unwrap();
    assert_eq!(text(root.child("a").unwrap()), "0123");
    assert_eq!(text(root.child("b").unwrap()), "null");
    assert_eq!(root.child("c").unwrap().value, Value::Null);
    assert_eq!(root.child("d").unwrap().value, Value::Null);
    assert_eq!(text(root.child("e").unwrap()), "x\ty");
}

#[test]
fn an_empty_document_is_null() {
    for empty in ["", "\n", "# only a comment\n", "---\n"] {
        assert_eq!(read(empty).unwrap().value, Value::Null, "{empty:?}");
    }
}

#[test]
fn aliases_repeat_their_anchor() {
    let root = read("a: &x {k: v}\nb: *x\n").unwrap();
    assert_eq!(text(root.child("b").unwrap().child("k").unwrap()), "v");
}

#[test]
fn refusals_name_the_line() {
    for (text, at, words) in [
        ("a: 1\na: 2\n", 2, "given twice"),
        ("a: 1\n---\nb: 2\n", 2, "second YAML document"),
        ("a: [1, 2\nb: 3\n", 2, "YAML"),
        ("a: 1\n{x: y}: 2\n", 2, "not a text"),
        ("a: *nothing\n", 1, "YAML"),
    ] {
        let problem = read(text).unwrap_err();
        assert_eq!(problem.place, line(at), "{text:?}: {problem}");
        assert!(problem.message.contains(words), "{text:?}: {problem}");
    }
}
