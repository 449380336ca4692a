use super::*;
use crate::aggregate::{BlockId, BlockKind, Tally};
use crate::event::RulesHash;

fn lane(topic: &str, topic_id: &str, partition: i32) -> Lane {
    Lane { topic: topic.into(), topic_id: topic_id.into(), partition }
}

fn standing(lane: Lane, reached_at: Option<i64>, published_at: i64) -> LaneStanding {
    LaneStanding { lane, reached_at, published_at: Some(published_at) }
}

fn topics(names: &[&str]) -> Expected {
    let topics = names.iter().map(|name| (*name).to_owned()).collect();
    Expected { topics, partitions: BTreeMap::new() }
}

#[test]
fn the_lane_that_is_furthest_behind_decides() {
    let lanes = [
        standing(lane("events", "1", 0), Some(100), 100),
        standing(lane("events", "1", 1), Some(90), 120),
        standing(lane("logs", "2", 0), Some(110), 110),
    ];
    assert_eq!(complete_through(&lanes, &topics(&["events", "logs"])), Some(Time(90)));
}

#[test]
fn a_lane_or_topic_that_was_never_read_holds_all_back() {
    let first = standing(lane("events", "1", 0), Some(100), 100);
    let lanes = std::slice::from_ref(&first);
    assert_eq!(complete_through(lanes, &topics(&["events"])), Some(Time(100)));
    assert_eq!(complete_through(lanes, &topics(&["events", "logs"])), None);
    let mut told = Partitions::default();
    told.told(2, 50);
    let two = Expected { partitions: BTreeMap::from([("events".into(), told)]), ..topics(&["events"]) };
    assert_eq!(complete_through(lanes, &two), None);
    let unread = standing(lane("events", "1", 1), None, 100);
    assert_eq!(complete_through(&[first.clone(), unread], &two), None);
    let read = standing(lane("events", "1", 1), Some(120), 120);
    assert_eq!(complete_through(&[first, read], &two), Some(Time(100)));
    assert_eq!(complete_through(&[], &Expected::default()), None);
}

#[test]
fn a_partition_that_was_added_is_read_up_to_when_it_was_not_there() {
    let lanes = [standing(lane("events", "1", 0), Some(100), 100)];
    let mut expected = topics(&["events"]);
    for (count, asked_at, through) in [(1, 40, 100), (1, 60, 100), (3, 70, 60), (3, 80, 60)] {
        expected.partitions.entry("events".into()).or_default().told(count, asked_at);
        assert_eq!(complete_through(&lanes, &expected), Some(Time(through)), "{count} at {asked_at}");
    }
    let read = [1, 2].map(|partition| standing(lane("events", "1", partition), Some(90), 90));
    assert_eq!(complete_through(&[&lanes[..], &read].concat(), &expected), Some(Time(90)));
}

#[test]
fn a_partition_that_nothing_ever_reached_needs_no_reader() {
    let mut expected = topics(&["events"]);
    let mut told = Partitions::default();
    told.told(2, 50);
    told.empty(0, 50);
    expected.partitions.insert("events".into(), told.clone());
    assert_eq!(complete_through(&[], &expected), None, "something may be in the other one");
    told.empty(1, 60);
    expected.partitions.insert("events".into(), told);
    assert_eq!(complete_through(&[], &expected), Some(Time(50)));
    let read = standing(lane("events", "1", 0), Some(100), 100);
    assert_eq!(complete_through(&[read], &expected), Some(Time(60)));
}

#[test]
fn lanes_of_topics_that_are_gone_hold_nothing_back() {
    let lanes = [
        standing(lane("removed", "1", 0), Some(10), 10),
        standing(lane("events", "3", 0), Some(100), 100),
        standing(lane("events", "2", 0), None, 20),
    ];
    assert_eq!(complete_through(&lanes, &topics(&["events"])), Some(Time(100)));
    assert_eq!(complete_through(&lanes, &Expected::default()), Some(Time(10)), "every topic counts");
}

#[test]
fn a_month_is_complete_once_its_end_was_passed() {
    let november: Month = "2026-11".parse().unwrap();
    let end = november.end_ms();
    let cases = [
        // (complete through, as of, complete)
        (Some(end), end, true),
        (Some(end - 1), end, false),
        (Some(end - 1), end + 10 * FRESH_WITHIN_MS, false),
        (Some(end), end + 10 * FRESH_WITHIN_MS, true),
        (Some(end - 5000 - FRESH_WITHIN_MS), end - 5000, true),
        (Some(end - 5001 - FRESH_WITHIN_MS), end - 5000, false),
        (None, end - 5000, false),
    ];
    for (through, as_of, complete) in cases {
        let answer = is_complete(november, through.map(Time), Time(as_of), &[]);
        assert_eq!(answer, complete, "{through:?} {as_of}");
    }
}

const ACCEPTANCE: Acceptance = Acceptance { past_ms: 1000, future_ms: 10 };

fn block(partition: i32, offsets: std::ops::Range<i64>, times: Option<(i64, i64)>, loss: &str) -> LedgerRow {
    LedgerRow {
        lane: lane("events", "1", partition),
        group: "odometer".into(),
        token: 1,
        tenure: 0,
        sequence: 0,
        block: BlockId(0),
        kind: BlockKind::Live,
        level: 0,
        first_offset: offsets.start,
        next_offset: offsets.end,
        tally: Tally::default(),
        quantity: 0,
        times,
        window_from: 0,
        leader_epoch: -1,
        digest: 0,
        rules: RulesHash(0),
        loss: loss.into(),
    }
}

#[test]
fn a_loss_lies_between_the_block_before_it_and_its_publication() {
    let rows = [
        block(0, 0..10, Some((5000, 6000)), ""),
        block(0, 10..12, None, ""),
        block(0, 12..50, None, "log starts at 50"),
        block(0, 50..60, Some((9000, 9500)), ""),
        block(1, 7..9, None, ""),
    ];
    let counting: Vec<_> = rows.iter().zip([1, 2, 8000, 4, 5]).collect();
    assert_eq!(losses(&counting, ACCEPTANCE), [Loss { from_ms: 4000, to_ms: 8010 }]);
}

#[test]
fn a_gap_between_blocks_is_a_loss_until_a_block_covers_it() {
    let rows =
        [block(0, 10..20, None, ""), block(0, 20..30, Some((5000, 6000)), ""), block(0, 40..50, None, "")];
    let counting: Vec<_> = rows.iter().zip([1, 2, 7000]).collect();
    assert_eq!(losses(&counting, ACCEPTANCE), [Loss { from_ms: 4000, to_ms: 7010 }]);
    let healed = [&rows[..2], &[block(0, 30..40, None, "")], &rows[2..]].concat();
    let counting: Vec<_> = healed.iter().zip([1, 2, 3, 7000]).collect();
    assert_eq!(losses(&counting, ACCEPTANCE), []);
}

#[test]
fn a_loss_before_any_block_may_be_of_any_time_until_then() {
    let rows = [block(0, 0..5, None, "topic was made again")];
    let expected = Loss { from_ms: i64::MIN, to_ms: 110 };
    assert_eq!(losses(&[(&rows[0], 100)], ACCEPTANCE), [expected]);
}

#[test]
fn a_loss_touches_the_months_that_its_events_may_belong_to() {
    let months = ["2026-09", "2026-10", "2026-11", "2026-12"].map(|text| text.parse::<Month>().unwrap());
    let loss = Loss { from_ms: months[1].end_ms() - 1, to_ms: months[3].start_ms() };
    let end = Time(months[3].end_ms());
    let complete = |month, loss: &Loss| is_complete(month, Some(end), end, std::slice::from_ref(loss));
    assert_eq!(months.map(|month| complete(month, &loss)), [true, false, false, false]);
    let before = Loss { to_ms: months[3].start_ms() - 1, ..loss };
    assert!(complete(months[3], &before));
}
