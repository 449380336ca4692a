use super::*;
use crate::aggregate::{BlockId, Tally};
use crate::event::RulesHash;
use crate::store::Watermark;

const NOW_MS: i64 = 1_793_491_200_000;

fn lane() -> Lane {
    Lane { topic: "t".into(), topic_id: "id".into(), partition: 0 }
}

fn progress(seen_before_ms: i64, through_before_ms: i64) -> LaneProgress {
    LaneProgress {
        lane: lane(),
        complete_through_ms: Some(NOW_MS - through_before_ms),
        newest: Watermark { lane: lane(), high: 100, observed_at_ms: NOW_MS - seen_before_ms },
    }
}

/// (ledger end, log, seen before, complete through before, verdict)
#[test]
fn a_lane_is_judged_by_ledger_log_and_owner() {
    use Health::{Doubtful, Wrong};
    let cases = [
        (Some(100), (0, 100), 1_000, 1_000, None),
        (Some(90), (0, 100), 1_000, 1_000, None),
        (Some(90), (0, 100), 1_000, 600_000, Some(Wrong)),
        (Some(100), (0, 100), 1_000, 600_000, None),
        (Some(100), (0, 100), 120_000, 120_000, Some(Doubtful)),
        (Some(90), (0, 100), 120_000, 120_000, Some(Wrong)),
        (Some(90), (95, 100), 1_000, 1_000, Some(Wrong)),
        (Some(110), (0, 100), 1_000, 1_000, Some(Wrong)),
        (None, (0, 100), 1_000, 1_000, Some(Wrong)),
        (None, (100, 100), 1_000, 1_000, None),
    ];
    for (end, (log_start, log_end), seen, through, expected) in cases {
        let progress = progress(seen, through);
        let seen = Seen { lane: lane(), end, log_start, log_end, progress: Some(&progress) };
        let judged = judge(&seen, NOW_MS);
        assert_eq!(
            judged.as_ref().map(|(health, _)| *health),
            expected,
            "{end:?} {log_start} {log_end}: {judged:?}"
        );
    }
    let never = Seen { lane: lane(), end: Some(5), log_start: 0, log_end: 5, progress: None };
    assert_eq!(judge(&never, NOW_MS), Some((Doubtful, "t[0] has no owner ever".to_owned())));
}

#[test]
fn the_window_is_told_in_hours_at_the_rate_of_now() {
    let row = |next_offset: i64| LedgerRow {
        lane: lane(),
        group: "g".to_owned(),
        token: 1,
        tenure: 1,
        sequence: 0,
        block: BlockId(1),
        kind: BlockKind::Live,
        level: 0,
        first_offset: 0,
        next_offset,
        tally: Tally::default(),
        quantity: 0,
        times: None,
        window_from: 0,
        leader_epoch: 0,
        digest: 0,
        rules: RulesHash(1),
        loss: String::new(),
    };
    let (first, last) = (row(1_000), row(1_000 + 60_000));
    // 1,000 offsets a second.
    assert_eq!(window_hours(&[(&first, NOW_MS), (&last, NOW_MS + 60_000)], 86_400_000), Some(24));
    assert_eq!(window_hours(&[(&first, NOW_MS), (&last, NOW_MS + 60_000)], 86_399_000), Some(23));
    assert_eq!(window_hours(&[(&first, NOW_MS), (&last, NOW_MS + 900)], 1), None);
    assert_eq!(window_hours(&[(&first, NOW_MS), (&first, NOW_MS + 60_000)], 1), None);
    assert_eq!(window_hours(&[], 1), None);
}

#[test]
fn of_each_topic_the_lane_is_told_whose_window_lasts_least() {
    let lanes = [("a", 0), ("a", 1), ("b", 0)].map(|(topic, partition)| Lane {
        topic: topic.into(),
        topic_id: "".into(),
        partition,
    });
    assert_eq!(judge_window(&[]), None);
    let check = judge_window(&[(90, &lanes[0]), (30, &lanes[1]), (24, &lanes[2])]).unwrap();
    let told = "24 hours at the rate of b[0] now; 30 hours at the rate of a[1] now";
    assert_eq!((check.health, check.detail.as_str()), (Health::Good, told));
    let check = judge_window(&[(90, &lanes[0]), (23, &lanes[1]), (24, &lanes[2])]).unwrap();
    assert!(check.health == Health::Doubtful && check.detail.starts_with("23 hours at the rate of a[1]"));
}
