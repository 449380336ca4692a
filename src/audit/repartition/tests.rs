use super::progress::place;
use super::route::{FROM, Router, SourceRecord};
use super::*;
use crate::event::Format;

fn topic(name: &str, id: &str, partitions: i32) -> Topic {
    Topic { name: name.to_owned(), id: id.into(), partitions: (0..partitions).collect() }
}

fn router(partitions: i32) -> Router {
    let rules = Rules {
        format: Format::Cloudevents,
        organization: None,
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: 10,
        accept_past_ms: i64::MAX,
        accept_future_ms: i64::MAX,
        max_event_bytes: 4096,
    };
    let reader = NaiveReader::new("from", &rules).expect("rules are sound");
    Router::new(reader, &topic("from", "F", 2), &topic("to", "T", partitions))
}

fn record(partition: i32, offset: i64, value: &str) -> SourceRecord {
    let record = OwnedRecord {
        topic: "from".to_owned(),
        partition,
        key: Some(b"k".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        timestamp_ms: Some(7),
        headers: vec![("trace".to_owned(), Some(b"t".to_vec()))],
    };
    SourceRecord { offset, record }
}

fn event(id: usize) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/g","type":"api.request","time":"2026-11-01T00:00:00Z","subject":"acme"}}"#
    )
}

#[test]
fn events_of_one_key_go_to_one_partition_wherever_they_come_from() {
    let router = router(5);
    let mut used = std::collections::HashSet::new();
    for id in 0..50 {
        let one = router.route(&record(0, 1, &event(id)));
        let other = router.route(&record(1, 9, &format!(" {} ", event(id))));
        assert_eq!(one[0].0.partition, other[0].0.partition);
        used.insert(one[0].0.partition);
    }
    assert_eq!(used.len(), 5);
}

#[test]
fn an_array_becomes_a_record_for_each_event_and_nothing_else_changes() {
    let routed = router(3).route(&record(1, 42, &format!("[{}, {},7]", event(1), event(2))));
    let values: Vec<_> =
        routed.iter().map(|(it, _)| String::from_utf8(it.value.clone().unwrap()).unwrap()).collect();
    assert_eq!(values, [event(1), event(2), "7".to_owned()]);
    assert_eq!(routed.iter().map(|(_, has_key)| *has_key).collect::<Vec<_>>(), [true, true, false]);
    for (index, (routed, _)) in routed.iter().enumerate() {
        assert_eq!(
            (routed.topic.as_str(), routed.timestamp_ms, routed.key.as_deref()),
            ("to", Some(7), Some(&b"k"[..]))
        );
        let from = format!("from/F/1/42/{index}").into_bytes();
        assert_eq!(routed.headers[0].0, "trace");
        assert_eq!(routed.headers[1], (FROM.to_owned(), Some(from)));
    }
}

#[test]
fn what_has_no_key_is_copied_as_it_is() {
    for value in ["", "no JSON", "[]", "[[1]]", "{}"] {
        let routed = router(3).route(&record(0, 0, value));
        assert_eq!(routed.len(), 1, "{value}");
        let (copy, has_key) = &routed[0];
        let expected = if value == "[[1]]" { "[[1]]" } else { value };
        assert_eq!((copy.value.as_deref(), has_key), (Some(expected.as_bytes()), &false));
    }
}

#[test]
fn a_copy_names_its_place_and_only_its_own_topic_s() {
    let source = topic("from", "F", 2);
    assert_eq!(place(b"from/F/1/42/3", &source), Some((1, 42)));
    for other in [&b"from/G/1/42/3"[..], b"other/F/1/42/3", b"from/F/1/42", b"from/F/x/42/3", b"\xff"] {
        assert_eq!(place(other, &source), None);
    }
}
