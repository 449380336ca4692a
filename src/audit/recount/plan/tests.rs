use super::*;
use crate::aggregate::{BlockId, BlockKind, Tally};
use crate::event::{Format, Lane};

fn rules(window: u64) -> Rules {
    Rules {
        format: Format::Cloudevents,
        organization: None,
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: window,
        accept_past_ms: 1,
        accept_future_ms: 1,
        max_event_bytes: 1,
    }
}

fn row(rules: &Rules, first_offset: i64, next_offset: i64) -> LedgerRow {
    LedgerRow {
        lane: Lane { topic: "t".into(), topic_id: "id".into(), partition: 0 },
        group: "g".to_owned(),
        token: 1,
        tenure: 1,
        sequence: 0,
        block: BlockId(1),
        kind: BlockKind::Live,
        level: 0,
        first_offset,
        next_offset,
        tally: Tally::default(),
        quantity: 0,
        times: None,
        window_from: 0,
        leader_epoch: 0,
        digest: 0,
        rules: rules.hash(),
        loss: String::new(),
    }
}

struct Case {
    rows: Vec<LedgerRow>,
    wanted: fn(&LedgerRow) -> bool,
    log: Result<LogBounds, String>,
    window: u64,
}

fn of(case: &Case) -> Plan {
    let rules = rules(case.window);
    let rows: Vec<_> = case.rows.iter().map(|row| LedgerRow { rules: rules.hash(), ..row.clone() }).collect();
    plan(&rows, case.wanted, &case.log, &HashMap::from([(rules.hash(), rules.clone())]))
}

fn judged(plan: &Plan) -> Vec<(i64, i64)> {
    plan.rows.iter().filter(|row| row.judged).map(|row| (row.row.first_offset, row.row.next_offset)).collect()
}

fn ranges(plan: &Plan) -> Vec<(i64, i64)> {
    plan.ranges.iter().map(|range| (range.start, range.end)).collect()
}

fn case(ranges: &[(i64, i64)], window: u64, log: (i64, i64)) -> Case {
    let rows = ranges.iter().map(|&(first, next)| row(&rules(window), first, next)).collect();
    Case { rows, wanted: |_| true, log: Ok(LogBounds { start: log.0, end: log.1 }), window }
}

#[test]
fn the_window_before_a_row_is_read_too() {
    let mut one = case(&[(0, 50), (50, 60), (60, 90)], 20, (0, 90));
    one.wanted = |row| row.first_offset == 50;
    let plan = of(&one);
    assert_eq!(judged(&plan), [(50, 60)]);
    assert_eq!(ranges(&plan), [(30, 60)]);
}

#[test]
fn ranges_that_touch_are_read_once() {
    let plan = of(&case(&[(0, 50), (50, 50), (50, 60), (60, 90)], 20, (0, 90)));
    assert_eq!(judged(&plan), [(0, 50), (50, 50), (50, 60), (60, 90)]);
    assert_eq!(ranges(&plan), [(0, 90)]);
    let mut apart = case(&[(0, 10), (10, 100), (100, 110)], 20, (0, 200));
    apart.wanted = |row| row.next_offset - row.first_offset == 10;
    assert_eq!(ranges(&of(&apart)), [(0, 10), (80, 110)]);
}

#[test]
fn what_the_log_no_longer_holds_is_not_verifiable() {
    let plan = of(&case(&[(0, 50), (50, 60), (60, 90)], 20, (35, 90)));
    assert_eq!(judged(&plan), [(60, 90)]);
    let reasons: Vec<_> =
        plan.not_verifiable.iter().map(|it| (it.place.first_offset, it.reason.as_str())).collect();
    assert_eq!(reasons, [(0, "the log starts at 35"), (50, "the log starts at 35")]);
    let merged = NotVerifiable::merged(plan.not_verifiable);
    assert_eq!(merged.iter().map(|it| (it.place.next_offset, it.rows)).collect::<Vec<_>>(), [(60, 2)]);
    assert_eq!(of(&case(&[(0, 50)], 20, (0, 49))).not_verifiable[0].reason, "the log ends at 49");
}

#[test]
fn where_the_window_was_not_whole_no_more_is_read_than_was() {
    let mut late = case(&[(40, 60)], 20, (35, 90));
    late.rows[0].window_from = 38;
    let plan = of(&late);
    assert_eq!((judged(&plan), ranges(&plan)), (vec![(40, 60)], vec![(38, 60)]));
    assert!(plan.rows[0].window_is_whole, "a lane has no keys from before its start");
    let mut after_loss = case(&[(0, 40), (50, 60), (60, 90)], 20, (50, 90));
    after_loss.rows.iter_mut().skip(1).for_each(|row| row.window_from = 50);
    assert_eq!(
        of(&after_loss).rows.iter().map(|row| row.window_is_whole).collect::<Vec<_>>(),
        [true, false, false]
    );
    after_loss.rows.push(LedgerRow { window_from: 50, ..row(&rules(20), 90, 95) });
    after_loss.log = Ok(LogBounds { start: 50, end: 95 });
    assert!(of(&after_loss).rows[3].window_is_whole, "the window has passed the loss");
}

#[test]
fn losses_and_rows_without_a_log_are_not_judged() {
    let mut lost = case(&[(0, 10), (10, 20)], 5, (10, 20));
    lost.rows[0].loss = "gone".to_owned();
    lost.rows[1].window_from = 10;
    assert_eq!(judged(&of(&lost)), [(10, 20)]);
    lost.log = Err("topic t was made again".to_owned());
    let plan = of(&lost);
    assert!(!plan.judges_anything());
    assert_eq!(plan.not_verifiable[0].reason, "topic t was made again");
}
