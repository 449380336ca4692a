use super::*;

struct List(Vec<(&'static str, &'static str)>);

impl Headers for List {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(header, _)| *header == name).map(|(_, value)| value.as_bytes())
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, Some(value.as_bytes())));
    }
}

const LETTER: [(&str, &str); 6] = [
    ("odometer-reason", "too_old"),
    ("odometer-detail", "the event is older"),
    ("odometer-topic", "gateway.events"),
    ("odometer-partition", "3"),
    ("odometer-offset", "1042"),
    ("odometer-index", "7"),
];

fn read(before: &[(&'static str, &'static str)], after: &[(&'static str, &'static str)]) -> Entry {
    let headers = List(before.iter().chain(&LETTER).chain(after).copied().collect());
    entry(&Record {
        topic: "dead",
        partition: 0,
        offset: 0,
        timestamp_ms: Some(5),
        key: None,
        value: Some(b"abc"),
        headers: &headers,
    })
}

#[test]
fn a_letter_is_read_with_what_it_says_of_itself() {
    let Entry::Letter(letter) = read(&[("trace", "x")], &[("odometer-timestamp", "99")]) else {
        panic!("no letter")
    };
    assert_eq!(letter.id.to_string(), "gateway.events/3/1042/7");
    assert_eq!((letter.reason.as_str(), letter.bytes, letter.truncated), ("too_old", 3, false));
    assert_eq!((letter.rejected_at, letter.recorded_at), (Some(Time(5)), Some(Time(99))));
    let Entry::Letter(cut) = read(&[], &[("odometer-truncated", "true")]) else { panic!("no letter") };
    assert!(cut.truncated);
}

#[test]
fn a_mark_is_known_by_its_last_header_alone() {
    assert!(matches!(read(&[], &[("odometer-retried", "1")]), Entry::Mark(id) if id.offset == 1042));
    // An event's own header can't pretend: ours come after it.
    assert!(matches!(read(&[("odometer-retried", "1")], &[]), Entry::Letter(_)));
    assert!(matches!(read(&[("odometer-offset", "1")], &[]), Entry::Letter(letter) if letter.offset == 1042));
}

#[test]
fn other_records_are_no_letters() {
    for missing in 0..LETTER.len() {
        let mut headers = LETTER.to_vec();
        let (name, _) = headers.remove(missing);
        let headers = List(headers);
        let record = Record {
            topic: "dead",
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: &headers,
        };
        let is_letter = matches!(entry(&record), Entry::Letter(_));
        assert_eq!(is_letter, name == "odometer-detail", "without {name}");
    }
}

#[test]
fn only_the_event_s_own_headers_are_sent_again() {
    let headers =
        List(vec![("ce_id", "1"), ("odometer-reason", "malformed"), ("b", "2"), ("odometer-retry-of", "x")]);
    let names: Vec<_> = original_headers(&headers).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ce_id", "b"]);
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id: LetterId = "gateway.events/3/1042/7".parse().expect("an id");
    assert_eq!(id.to_string(), "gateway.events/3/1042/7");
    assert_eq!("a/0/1".parse::<LetterId>().expect("an id").index, 0);
    for wrong in ["", "a", "a/b/c/d", "a/1", "a/1/2/3/4", "/1/2/3", "a//2/3"] {
        assert!(wrong.parse::<LetterId>().is_err(), "{wrong}");
    }
}
