//! Events are read alike, whatever was learned before.

use proptest::prelude::*;

use super::learn::{MOST_LITERAL_BYTES, MOST_STEPS};
use super::trust::Trust;
use super::*;
use crate::decode::fields::{Text, View};

fn tree() -> (Tree, Vec<Node>) {
    let mut tree = Tree::default();
    let paths = ["id", "data", "data.service", "data.quantity", "konnect.org_id", "service", "deep.a.b"];
    let nodes = paths.map(|path| tree.want(path)).to_vec();
    (tree, nodes)
}

/// What is in each wanted place, or where the text is broken.
fn contents(nodes: &[Node], read: Result<(), Invalid>, fields: &FoundFields, event: &[u8]) -> String {
    let view = View { fields, event: Text::Bytes(event), data: &[] };
    let one = |node: &Node| (view.value(*node), view.text(*node), view.integer::<i64>(*node));
    match read {
        Ok(()) => format!("{:?}", nodes.iter().map(one).collect::<Vec<_>>()),
        Err(invalid) => invalid.to_string(),
    }
}

fn full(event: &[u8]) -> String {
    let (tree, nodes) = tree();
    let mut fields = FoundFields::default();
    fields.clear(&tree);
    let read = fields.read_event(&tree, event, &mut ());
    contents(&nodes, read, &fields, event)
}

struct Reader {
    tree: Tree,
    nodes: Vec<Node>,
    fields: FoundFields,
    shapes: Shapes,
}

impl Reader {
    fn new() -> Self {
        let (tree, nodes) = tree();
        Self { tree, nodes, fields: FoundFields::default(), shapes: Shapes::default() }
    }

    fn read(&mut self, event: &[u8]) -> String {
        let read = self.shapes.read_event(&self.tree, &mut self.fields, event);
        contents(&self.nodes, read, &self.fields, event)
    }

    fn is_known(&mut self, event: &str) -> bool {
        self.end_of(event.as_bytes()) == Some(event.len())
    }

    fn end_of(&mut self, event: &[u8]) -> Option<usize> {
        self.shapes.read_known(&self.tree, &mut self.fields, event, 0)
    }
}

#[test]
fn a_shape_takes_other_values_and_nothing_else() {
    let mut reader = Reader::new();
    let learned = r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#;
    reader.read(learned.as_bytes());
    for known in [
        learned,
        r#"{"id":"", "n":0,"data" : {"service":"other","quantity":1e3,"tags":{}},"ok":null}"#,
        r#"{"id":"a\/\u00e9", "n":-7,"data" : {"service":"é","quantity":[],"tags":[[]]},"ok":0}"#,
        // A value that nobody looks into may be any other.
        r#"{"id":"x", "n":{"id":"y"},"data" : {"service":"s","quantity":null,"tags":0},"ok":[]}"#,
    ] {
        assert!(reader.is_known(known), "{known}");
        assert_eq!(reader.read(known.as_bytes()), full(known.as_bytes()), "{known}");
    }
    for unknown in [
        r#"{"id":7, "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#,
        r#"{"id":"x1","n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#,
        r#"{"id":"x1", "n": 1,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#,
        r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":"3","tags":["a"]},"ok":true}"#,
        r#"{"id":"x1", "n":01,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#,
        r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"},"ok":true}"#,
        r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":tru}"#,
        r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}}"#,
        r#"{"id":"x\q", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true}"#,
        "{\"id\":\"x\n\", \"n\":1.5,\"data\" : {\"service\":\"s\",\"quantity\":3,\"tags\":[\"a\"]},\"ok\":true}",
        r#"{"id":"x1", "n":1.5,"data" : {"service":"s","quantity":3,"tags":["a"]},"ok":true"#,
    ] {
        assert!(!reader.is_known(unknown), "{unknown}");
        assert_eq!(reader.read(unknown.as_bytes()), full(unknown.as_bytes()), "{unknown}");
    }
}

#[test]
fn a_field_that_is_there_twice_makes_no_shape() {
    let mut reader = Reader::new();
    for twice in [
        r#"{"id":"a","id":"b"}"#,
        r#"{"konnect":{"org_id":"a","org_id":"b"}}"#,
        r#"{"konnect":{"org_id":"a"},"konnect":1}"#,
    ] {
        reader.read(twice.as_bytes());
        assert!(!reader.is_known(twice), "{twice}");
        assert_eq!(reader.read(twice.as_bytes()), full(twice.as_bytes()), "{twice}");
    }
}

/// What is wanted of an object is found, though the same field held something else before.
#[test]
fn an_object_is_looked_into_wherever_it_stands() {
    let mut reader = Reader::new();
    let events = [
        r#"{"konnect":null}"#,
        r#"{"konnect":{}}"#,
        r#"{"konnect":{"org_id":"o"}}"#,
        r#"{"konnect":[{"org_id":"o"}]}"#,
        r#"{"deep":{"a":1}}"#,
        r#"{"deep":{"a":{"b":1}}}"#,
        r#"{"deep":{"a":{"b":{"c":1}}}}"#,
    ];
    for first in events {
        reader.shapes = Shapes::default();
        for event in [first].into_iter().chain(events) {
            assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()), "{event} after {first}");
        }
    }
}

#[test]
fn shapes_that_begin_alike_are_told_apart_wherever_they_part() {
    let mut reader = Reader::new();
    let events = [
        r#"{"a":"1","b":"2","id":"3"}"#,
        r#"{"a":"1","b":"2","id":3}"#,
        r#"{"a":"1","b":"2","id":"3","c":1}"#,
        r#"{"a":"1","bb":"2","id":"3"}"#,
        r#"{"a":1,"b":"2","id":"3"}"#,
        r#"{"a":"1","b":"2"}"#,
        r#"{"a":"1","b":"2","konnect":{"org_id":"o"},"deep":{"a":{"b":1}}}"#,
        r#"{"a":"1","b":"2","konnect":{"org_id":"o"},"deep":{"a":{"c":1}}}"#,
    ];
    events.iter().for_each(|event| drop(reader.read(event.as_bytes())));
    for event in events.iter().chain(events.iter().rev()) {
        assert!(reader.is_known(event), "{event}");
        assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut reader = Reader::new();
    let long = format!(r#"{{"{}":"x"}}"#, "n".repeat(MOST_LITERAL_BYTES));
    let many = format!("{{{}\"x\":1}}", "\"x\":1,".repeat(MOST_STEPS));
    let wide = format!("{{\"data\":{{{}\"service\":1}}}}", " ".repeat(usize::from(u16::MAX)));
    for event in [&long, &many, &wide] {
        reader.read(event.as_bytes());
        assert_eq!(reader.shapes.events.shapes(), 0);
        assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
    }
    for n in 0..20_000 {
        reader.read(format!(r#"{{"name-{n}":"x"}}"#).as_bytes());
    }
    assert_eq!(reader.shapes.events.shapes(), MOST_SHAPES);
    for n in 0..20_000 {
        reader.read(format!(r#"{{"id":"x","place-{}":{{"name-{n}":1}}}}"#, n % 100).as_bytes());
        reader.read(format!(r#"{{"id":"x","{}":{{"n":1}}}}"#, "long".repeat(n % 100)).as_bytes());
    }
    assert!(reader.shapes.places.is_bounded(), "{:?}", reader.shapes.places);
    // Values that are many, or long, fit into no sample.
    let values: String = (0..250).map(|n| format!(r#""v-{n}":"{}","#, "v".repeat(250))).collect();
    for event in [format!(r#"{{{values}"id":"x"}}"#), format!(r#"{{"id":"{}"}}"#, "v".repeat(70_000))] {
        for _ in 0..300 {
            assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
        }
    }
}

/// What was passed over as constant belongs to the event also where another shape goes on.
#[test]
fn constants_are_told_where_an_event_leaves_their_shape() {
    let mut reader = Reader::new();
    let event = |last: &str, n: usize| {
        format!(r#"{{"id":"c","konnect":{{"org_id":"o"}},"data":{{"quantity":5}},"{last}":{n}}}"#)
    };
    for n in 0..300 {
        for event in [event("x", n), event("y", n)] {
            assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
        }
    }
}

/// The positions of shapes in one another are kept up one by one.
#[test]
fn shapes_are_compared_as_they_come() {
    let mut reader = Reader::new();
    for n in 0..20_000 {
        reader.read(format!(r#"{{"id":"x","a{}":1,"b{}":2,"c{n}":3}}"#, n % 3, n % 7).as_bytes());
    }
    assert!(reader.shapes.events.is_compared(), "{:?}", reader.shapes.events);
}

/// A value that was the same long enough to be compared with the runs around it, and is another then.
#[test]
fn a_constant_may_break_anywhere() {
    let mut reader = Reader::new();
    let events = |changing: usize| {
        format!(
            r#"{{"a":"const","n":12,"id":"{changing}","data":{{"service":"svc","quantity":1,"tags":["x",{{}}]}},"konnect":{{"org_id":"o"}},"end":null}}"#
        )
    };
    for changing in 0..1000 {
        let event = events(changing);
        assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
    }
    let event = events(7);
    for at in 0..event.len() {
        for byte in *b"\"\\x1{}[],: \n.e-\xff" {
            for insert in [false, true] {
                let mut text = event.clone().into_bytes();
                if insert {
                    text.insert(at, byte)
                } else {
                    text[at] = byte
                }
                assert_eq!(reader.read(&text), full(&text), "{}", String::from_utf8_lossy(&text));
            }
        }
        assert_eq!(reader.read(&event.as_bytes()[..at]), full(&event.as_bytes()[..at]));
    }
    for (was, is) in [
        ("const", "constant"),
        ("const", "c"),
        ("const", ""),
        ("const", "c\\u00e9"),
        ("12", "1"),
        ("12", "123"),
        ("12", "12.5"),
        ("12", "12e3"),
        ("12", "{}"),
        ("12", "null"),
        ("\"svc\"", "\"other\""),
        ("1,", "-1,"),
        ("[\"x\",{}]", "[\"x\",{} ]"),
        ("[\"x\",{}]", "0"),
        ("null", "true"),
        ("null", "nul"),
        ("null", "{}"),
        ("{\"org_id\":\"o\"}", "{\"org_id\":\"other\"}"),
        ("{\"org_id\":\"o\"}", "null"),
    ] {
        let text = event.replace(was, is);
        assert_ne!(text, event);
        assert_eq!(reader.read(text.as_bytes()), full(text.as_bytes()), "{text}");
    }
}

/// Constants are learned, and where they change for good, the new ones are.
#[test]
fn constants_follow_the_traffic() {
    let mut reader = Reader::new();
    let mut unread = 0;
    for (month, changing) in
        ["2026-11", "2026-12"].iter().flat_map(|month| (0..1000).map(move |n| (month, n)))
    {
        let event = format!(r#"{{"month":"{month}","id":"{changing}","data":{{"service":"s"}}}}"#);
        assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
        unread += usize::from(reader.shapes.events.holes_of_latest() == 1);
    }
    assert!(unread > 1500, "{unread}");
}

/// Objects that nobody looks into are known by their own shapes, whatever else differs.
#[test]
fn containers_have_shapes_of_their_own() {
    let mut reader = Reader::new();
    let event = |n: usize| {
        let headers = [r#"{"host":"h","agent":"a1"}"#, r#"{"host":"h","trace":"t","n":[1,2]}"#, "{}"][n % 3];
        let tries = [r#"[{"port":1}]"#, r#"[{"port":1},{"port":2}]"#][n % 2];
        format!(r#"{{"id":"{n}","headers":{headers},"deep":{{"a":{{"x":{{"y":{n}}}}}}},"tries":{tries}}}"#)
    };
    for n in 0..500 {
        let event = event(n);
        assert_eq!(reader.read(event.as_bytes()), full(event.as_bytes()));
    }
    assert_eq!(
        reader.shapes.events.shapes(),
        1,
        "what is in a container does not matter to the event's shape"
    );
    assert_eq!(reader.shapes.places.shapes(), 5);
    for (was, is) in [
        ("host\":\"h", "host\":\"h\u{1}"),
        ("\"n\":[1,2]", "\"n\":[1,]"),
        ("port\":1", "port\":01"),
        ("}]", "}"),
    ] {
        for n in 0..6 {
            let text = event(n).replace(was, is);
            assert_eq!(reader.read(text.as_bytes()), full(text.as_bytes()), "{text}");
        }
    }
}

#[test]
fn a_new_shape_takes_the_place_of_one_that_no_event_has_any_more() {
    let mut reader = Reader::new();
    for n in 0..MOST_SHAPES {
        reader.read(format!(r#"{{"name-{n}":"x"}}"#).as_bytes());
    }
    for round in 0..20_000 {
        reader.read(if round % 2 == 0 { br#"{"name-0":"x"}"# } else { br#"{"new":"x"}"# });
    }
    assert!(reader.is_known(r#"{"name-0":"x"}"#) && reader.is_known(r#"{"new":"x"}"#));
}

#[test]
fn traffic_without_shapes_is_seldom_tried() {
    let (mut trust, mut tried, mut lessons) = (Trust::default(), 0, 0);
    for _ in 0..1_000_000 {
        if trust.take_turn() {
            tried += 1;
            lessons += u32::from(trust.note_miss());
        }
    }
    assert!(tried < 1_000_000 / 128, "{tried}");
    assert!(lessons <= tried / 128, "{lessons}");
    // And it is tried again when it has shapes.
    let mut events = 0;
    while !trust.take_turn() {
        events += 1;
    }
    (0..256).for_each(|_| trust.note_hit());
    assert!(!trust.is_asleep() && events <= 1 << 16);
}

/// Values, most of them sound.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => r#""[a-c]{0,3}""#,
        1 => prop::sample::select(vec![
            "1", "-0", "1.0", "1e3", "01", "1.", "true", "null", "tru", "{}", "[]", "{\"id\":1}", "[1,]", "\"é\"",
            "\"a\\/b\"", "\"\\u00e9\"", "\"\\ud800\"", "\"\\q\"", "\"\n\"", "\"", "", " 1 ", "{\"service\":\"s\"}",
            "{\"a\":{\"b\":\"deep\"}}", "{\"b\":[{}]}",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Objects of the wanted names and others, in any order, some twice, one in another.
fn object() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "id", "data", "service", "quantity", "konnect", "org_id", "deep", "a", "b", "other", "\\u0069d",
    ]);
    let leaf = value().boxed();
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let members = prop::collection::vec((name.clone(), inner, 0..9_u8), 0..5);
        members.prop_map(|members| {
            let one = |(name, value, space): (&str, String, u8)| match space {
                0 => format!(" \"{name}\" : {value}\n"),
                _ => format!("\"{name}\":{value}"),
            };
            format!("{{{}}}", members.into_iter().map(one).collect::<Vec<_>>().join(","))
        })
    })
}

/// One event's text with a little changed.
fn changed(event: &str, at: prop::sample::Index, how: u8, byte: u8) -> Vec<u8> {
    let mut text = event.as_bytes().to_vec();
    let at = at.index(text.len() + 1);
    match how {
        0 if at < text.len() => text[at] = byte,
        1 => text.truncate(at),
        2 => text.insert(at, byte),
        3 => text.extend_from_within(at..),
        4 if at < text.len() => drop(text.remove(at)),
        _ => {}
    }
    text
}

/// Damaged arrays give no event that would be read, and still end the tries.
#[test]
fn what_never_has_a_known_shape_is_not_tried_for_ever() {
    let mut reader = Reader::new();
    let (known, damaged) = (r#"{"tags":[1],"id":"a"}"#, r#"{"tags":[1"#);
    reader.read(known.as_bytes());
    assert!(reader.is_known(known));
    for _ in 0..1000 {
        assert!(!reader.is_known(damaged));
    }
    assert!(!reader.is_known(known), "it is left alone for a while");
    assert_eq!(reader.read(known.as_bytes()), full(known.as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_event_is_read_as_in_full_whatever_was_read_before(
        events in prop::collection::vec(object(), 1..6),
        times in prop::sample::select(vec![1, 2, 80]),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_u8,
             prop::sample::select(b"{}[]\",:\\u0e.-+ tn1\x00\xff".to_vec())),
            0..30,
        ),
    ) {
        let mut reader = Reader::new();
        for event in &events {
            let event = event.as_bytes();
            let expected = full(event);
            // Often enough that its values are taken for constants.
            for _ in 0..times {
                prop_assert_eq!(&reader.read(event), &expected);
            }
        }
        for (which, at, how, byte) in changes {
            let event = changed(&events[which.index(events.len())], at, how, byte);
            let text = String::from_utf8_lossy(&event).into_owned();
            if let Some(end) = reader.end_of(&event) {
                let known = contents(&reader.nodes, Ok(()), &reader.fields, &event);
                prop_assert_eq!(known, full(&event[..end]), "{}", text);
            }
            prop_assert_eq!(reader.read(&event), full(&event), "{}", text);
        }
    }
}
