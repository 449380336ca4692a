use super::*;
use crate::aggregate::{BlockId, BlockKind};
use crate::event::{Format, Lane, NoHeaders, Rules};

fn rules(window: u64) -> Rules {
    Rules {
        format: Format::Cloudevents,
        organization: None,
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: window,
        accept_past_ms: i64::MAX,
        accept_future_ms: i64::MAX,
        max_event_bytes: 1024,
    }
}

fn planned(rules: &Rules, first_offset: i64, next_offset: i64, window_from: i64) -> PlannedRow {
    let row = LedgerRow {
        lane: Lane { topic: "t".into(), topic_id: "id".into(), partition: 0 },
        group: "g".to_owned(),
        token: 1,
        tenure: 1,
        sequence: 0,
        block: BlockId(u128::try_from(first_offset).unwrap_or(0)),
        kind: BlockKind::Live,
        level: 0,
        first_offset,
        next_offset,
        tally: Tally::default(),
        quantity: 0,
        times: None,
        window_from,
        leader_epoch: 0,
        digest: 0,
        rules: rules.hash(),
        loss: String::new(),
    };
    PlannedRow { row, judged: true, window_is_whole: true }
}

fn event(id: &str, quantity: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/g","type":"api.request","time":"2026-11-01T00:00:00Z",
            "subject":"acme","data":{{"quantity":{quantity}}}}}"#
    )
}

/// Counts (offset, value) under rows with windows of 10 offsets.
fn count(rows: Vec<PlannedRow>, log: &[(i64, String)]) -> Vec<Counted> {
    count_slice(rows, log, Slice { index: 0, of: 1 })
}

fn count_slice(rows: Vec<PlannedRow>, log: &[(i64, String)], slice: Slice) -> Vec<Counted> {
    let rules = rules(10);
    let reader = NaiveReader::new("t", &rules).expect("rules are sound");
    let mut counter = Counter::new(rows, HashMap::from([(rules.hash(), (reader, 10))]), slice);
    for (offset, value) in log {
        counter.take(&Record {
            topic: "t",
            partition: 0,
            offset: *offset,
            timestamp_ms: None,
            key: None,
            value: Some(value.as_bytes()),
            headers: &NoHeaders,
        });
    }
    counter.reach(i64::MAX);
    counter.take_finished()
}

fn tallies(counted: &[Counted]) -> Vec<(u64, u64, u64, u64)> {
    counted
        .iter()
        .map(|it| {
            (
                it.totals.tally.counted,
                it.totals.tally.duplicate,
                it.totals.tally.rejected,
                it.totals.tally.ignored,
            )
        })
        .collect()
}

#[test]
fn a_duplicate_is_one_within_the_window_and_not_beyond() {
    let rules = rules(10);
    let log = [
        (0, event("a", 1)),
        (10, event("a", 1)),
        (21, event("a", 1)),
        (22, event("a", 2)),
        (23, event("a", 2)),
    ];
    let counted = count(vec![planned(&rules, 0, 21, 0), planned(&rules, 21, 30, 0)], &log);
    // 10 is a duplicate of 0; 21 is too far from 10; 22 conflicts with 21; 23 is what 22 said.
    assert_eq!(tallies(&counted), [(1, 1, 0, 0), (1, 1, 1, 0)]);
}

#[test]
fn within_one_record_too() {
    let rules = rules(10);
    let log = [(0, format!("[{},{},7]", event("a", 1), event("a", 1))), (1, "[]".to_owned())];
    assert_eq!(tallies(&count(vec![planned(&rules, 0, 5, 0)], &log)), [(1, 1, 1, 1)]);
}

#[test]
fn keys_from_before_the_window_was_whole_are_unknown() {
    let rules = rules(10);
    let log = [(0, event("a", 1)), (5, event("a", 1))];
    let rows = |window_from| vec![planned(&rules, 0, 3, 0), planned(&rules, 3, 6, window_from)];
    assert_eq!(tallies(&count(rows(0), &log)), [(1, 0, 0, 0), (0, 1, 0, 0)]);
    assert_eq!(tallies(&count(rows(3), &log)), [(1, 0, 0, 0), (1, 0, 0, 0)]);
}

#[test]
fn rows_without_records_are_complete_too() {
    let rules = rules(10);
    let rows = vec![planned(&rules, 0, 0, 0), planned(&rules, 0, 4, 0), planned(&rules, 4, 8, 0)];
    let counted = count(rows, &[(5, event("a", 3))]);
    assert_eq!(tallies(&counted), [(0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0)]);
    let key = ("acme".to_owned(), "api_calls".to_owned(), "us".to_owned(), 498_192);
    assert_eq!(counted[2].counts[&key], Value { fold: Fold::Sum, value: 3 });
}

#[test]
fn the_digest_does_not_depend_on_where_the_log_is_cut() {
    let rules = rules(10);
    let log: Vec<_> = (0..40).map(|offset| (offset, event(&(offset % 7).to_string(), 1))).collect();
    let whole = count(vec![planned(&rules, 0, 40, 0)], &log);
    let cut =
        count(vec![planned(&rules, 0, 13, 0), planned(&rules, 13, 14, 0), planned(&rules, 14, 40, 0)], &log);
    assert_eq!(
        whole[0].totals.digest,
        cut.iter().fold(0, |sum: u128, it| sum.wrapping_add(it.totals.digest))
    );
    assert_eq!(whole[0].totals.tally.counted, cut.iter().map(|it| it.totals.tally.counted).sum::<u64>());
}

#[test]
fn passes_add_up_to_one() {
    let rules = rules(10);
    let organizations = ["acme", "globex", "initech", "umbrella"];
    let log: Vec<_> = (0..200)
        .map(|offset: i64| {
            let event = event(&(offset % 9).to_string(), 1);
            let organization = organizations[usize::try_from(offset % 9 % 4).unwrap()];
            (
                offset,
                if offset % 31 == 0 { "no JSON".to_owned() } else { event.replace("acme", organization) },
            )
        })
        .collect();
    let rows = || vec![planned(&rules, 0, 77, 0), planned(&rules, 77, 200, 0)];
    let whole = count(rows(), &log);
    let mut totals = [Totals::default(); 2];
    let mut counts = [HashMap::new(), HashMap::new()];
    for index in 0..3 {
        for (at, part) in count_slice(rows(), &log, Slice { index, of: 3 }).into_iter().enumerate() {
            totals[at].add(&part.totals);
            counts[at].extend(part.counts);
        }
    }
    for at in 0..2 {
        assert_eq!((totals[at], &counts[at]), (whole[at].totals, &whole[at].counts));
    }
    assert!(whole[1].totals.tally.duplicate > 0 && whole[1].totals.tally.rejected > 0);
}
