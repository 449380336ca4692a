use proptest::prelude::*;

use super::*;

fn lane() -> Lane {
    Lane { topic: "events".into(), topic_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), partition: 0 }
}

fn mark(high: i64, observed_at_ms: i64) -> Watermark {
    Watermark { lane: lane(), high, observed_at_ms }
}

fn reached(marks: &Watermarks) -> Option<i64> {
    marks.standings()[0].reached_at
}

#[test]
fn an_idle_lane_keeps_up_with_the_clock() {
    let mut marks = Watermarks::default();
    marks.reach(&lane(), 7, 1);
    for observed_at in [100, 200, 300] {
        marks.observe(&[mark(7, observed_at)]);
        assert_eq!(reached(&marks), Some(observed_at));
    }
}

#[test]
fn under_steady_load_the_end_passes_older_looks() {
    let mut marks = Watermarks::default();
    for second in 1..=100 {
        marks.observe(&[mark(second * 10, second * 1000)]);
        // The ledger is always two seconds behind.
        marks.reach(&lane(), (second - 2) * 10, second * 1000);
        assert_eq!(reached(&marks), (second > 2).then_some((second - 2) * 1000));
    }
}

#[test]
fn a_lane_that_nobody_owns_stands_still() {
    let mut marks = Watermarks::default();
    marks.reach(&lane(), 10, 50);
    for _ in 0..3 {
        marks.observe(&[mark(10, 100)]);
        assert_eq!(
            marks.standings(),
            [LaneStanding { lane: lane(), reached_at: Some(100), published_at: Some(50) }]
        );
    }
}

#[test]
fn a_lane_that_was_seen_or_counted_alone_has_reached_nothing() {
    let mut marks = Watermarks::default();
    marks.observe(&[mark(0, 100)]);
    assert_eq!(marks.standings(), [LaneStanding { lane: lane(), reached_at: None, published_at: None }]);
    let mut marks = Watermarks::default();
    marks.reach(&lane(), 0, 90);
    assert_eq!(marks.standings(), [LaneStanding { lane: lane(), reached_at: None, published_at: Some(90) }]);
}

#[test]
fn a_watermark_that_falls_back_takes_back_what_was_seen_beyond_it() {
    let mut marks = Watermarks::default();
    marks.observe(&[mark(50, 100), mark(30, 200)]);
    marks.reach(&lane(), 30, 1);
    assert_eq!(reached(&marks), Some(200));
}

#[test]
fn what_the_store_worked_out_is_taken_over() {
    let mut marks = Watermarks::default();
    let progress = LaneProgress { lane: lane(), complete_through_ms: Some(100), newest: mark(20, 300) };
    marks.take(&[progress]);
    marks.reach(&lane(), 10, 250);
    assert_eq!(reached(&marks), Some(100));
    marks.reach(&lane(), 20, 350);
    assert_eq!(reached(&marks), Some(300));
}

#[test]
fn many_looks_are_kept_within_bounds() {
    let mut marks = Watermarks::default();
    let many = i64::try_from(LOOKS_KEPT).unwrap() * 5;
    for second in 0..many {
        marks.observe(&[mark(second + 1, second)]);
    }
    assert!(marks.lanes[&lane()].ahead.len() <= LOOKS_KEPT);
    marks.reach(&lane(), many, 0);
    assert_eq!(reached(&marks), Some(many - 1));
}

proptest! {
    /// Whatever is seen and read in whatever order: the answer is the latest look whose watermark
    /// the ledger has reached.
    #[test]
    fn nothing_is_called_complete_that_is_not(
        steps in prop::collection::vec((any::<bool>(), 0..3_i64), 1..200),
    ) {
        let mut marks = Watermarks::default();
        let (mut high, mut end, mut now) = (0, 0, 0);
        let mut looks = Vec::new();
        marks.reach(&lane(), 0, 0);
        for (read, amount) in steps {
            now += 1;
            if read {
                end = high.min(end + amount);
                marks.reach(&lane(), end, now);
            } else {
                high += amount;
                looks.push((high, now));
                marks.observe(&[mark(high, now)]);
            }
            let expected = looks.iter().filter(|(high, _)| *high <= end).map(|(_, at)| *at).max();
            prop_assert_eq!(reached(&marks), expected);
        }
    }
}
