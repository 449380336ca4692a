use proptest::prelude::*;

use super::*;
use crate::dedup::CacheSettings;
use crate::event::{Format, HOUR_MS, NoHeaders};

/// 2026-11-23T18:00:00Z.
const NOW_MS: i64 = 1_795_456_800_000;

fn cache(memory: u64, budget: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory, budget }).unwrap();
    (dir, cache)
}

fn counter(cache: &Cache, width: u64) -> LaneCounter {
    let lane = Lane { topic: "events".into(), topic_id: "".into(), partition: 0 };
    let rules = Rules {
        format: Format::Cloudevents,
        organization: None,
        region: None,
        default_region: "us".into(),
        meters: Vec::new(),
        dedup_window: width,
        accept_past_ms: 35 * 24 * HOUR_MS,
        accept_future_ms: HOUR_MS,
        max_event_bytes: 1 << 20,
    };
    LaneCounter::from_start(&lane, &rules, cache).unwrap()
}

fn record(value: &[u8], offset: i64) -> (Record<'_>, i32) {
    let record = Record {
        topic: "events",
        partition: 0,
        offset,
        timestamp_ms: Some(NOW_MS),
        key: Some(b"key"),
        value: Some(value),
        headers: &NoHeaders,
    };
    (record, 7)
}

/// Usage, a service event, an event without an organization, one that is ignored, and no event at all.
fn event(kind: u8, id: u16, quantity: u8) -> String {
    let event = |event_type: &str, subject: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/g","type":"{event_type}","time":"2026-11-23T18:00:00Z"{subject},"data":{data}}}"#
        )
    };
    let subject = format!(r#","subject":"org-{}""#, id % 5);
    match kind {
        0..=11 => event("api.request", &subject, &format!(r#"{{"quantity":{quantity}}}"#)),
        12 => event("service.created", &subject, r#"{"service":"s"}"#),
        13 => event("api.request", "", "{}"),
        14 => event("else", &subject, "{}"),
        _ => "1".into(),
    }
}

/// One event, or an array of several.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let one = || (0u8..16, 0u16..150, 0u8..2).prop_map(|(kind, id, quantity)| event(kind, id, quantity));
    let array = prop::collection::vec(one(), 0..90).prop_map(|events| format!("[{}]", events.join(",")));
    prop_oneof![8 => one(), 2 => array].prop_map(String::into_bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However records are taken together, everything comes out byte for byte as of one after the other,
    /// the order of dead letters too.
    #[test]
    fn groups_change_nothing(
        values in prop::collection::vec(value(), 1..80),
        cuts in prop::collection::vec(1usize..40, 80),
        memory in prop::sample::select(vec![40_000u64, 1 << 30]),
    ) {
        let (_one_dir, one_cache) = cache(1 << 30, 1 << 30);
        let mut one_by_one = counter(&one_cache, 50);
        let (_dir, cache) = cache(memory, 1 << 30);
        let mut together = counter(&cache, 50);
        let records: Vec<_> = values.iter().zip(0..).map(|(value, offset)| record(value, offset)).collect();
        let mut cuts = cuts.into_iter();
        let mut rest = &records[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            together.take_all(some).unwrap();
            // A pause of the client's: what was taken comes again.
            together.take_all(&some[some.len() / 2..]).unwrap();
            rest = others;
        }
        for (record, leader_epoch) in &records {
            one_by_one.take(record, *leader_epoch).unwrap();
        }
        let (expected, block) = (one_by_one.close().finish(), together.close().finish());
        prop_assert_eq!(format!("{:?}", block.contents), format!("{:?}", expected.contents));
        prop_assert_eq!(block.occurrences, expected.occurrences);
        prop_assert_eq!((block.first, block.next, block.leader_epoch), (0, records.len() as i64, 7));
    }
}

/// What was counted of the records that had no room is not published, whatever ends the session.
#[test]
fn records_that_were_taken_in_part_are_never_published() {
    let (_dir, cache) = cache(8_000, 0);
    let mut counter = counter(&cache, 1 << 20);
    let values: Vec<_> = (0..1_000).map(|id| event(0, id, 1).into_bytes()).collect();
    let records: Vec<_> = values.iter().zip(0..).map(|(value, offset)| record(value, offset)).collect();
    counter.take_all(&records[..10]).unwrap();
    assert!(counter.has_news());
    let error = counter.take_all(&records[10..]).unwrap_err();
    assert!(error.to_string().contains("cache.budget"), "{error}");
    assert!(!counter.has_news());
}
