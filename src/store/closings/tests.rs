use std::ops::Range;

use super::*;
use crate::aggregate::{BlockId, Tally};
use crate::event::RulesHash;

fn row(block: u128, kind: BlockKind, sequence: u64, offsets: Range<i64>) -> LedgerRow {
    LedgerRow {
        lane: Lane { topic: Arc::from("topic"), topic_id: Arc::from("id"), partition: 0 },
        group: "group".to_owned(),
        token: 1,
        tenure: 0,
        sequence,
        block: BlockId(block),
        kind,
        level: u8::from(kind != BlockKind::Live),
        first_offset: offsets.start,
        next_offset: offsets.end,
        tally: Tally::default(),
        quantity: 0,
        times: None,
        window_from: 0,
        leader_epoch: -1,
        digest: 0,
        rules: RulesHash(0),
        loss: String::new(),
    }
}

fn blocks(rows: &[LedgerRow]) -> Vec<u128> {
    rows.iter().map(|row| row.block.0).collect()
}

#[test]
fn what_came_after_a_closing_does_not_count_as_of_it() {
    use BlockKind::{Live, Recount, Roll};
    let mut ledger = vec![row(1, Live, 1, 0..10), row(2, Live, 2, 10..20), row(3, Live, 3, 20..30)];
    let lanes = closed_lanes(&gate::counting(ledger.clone()));
    assert_eq!((lanes[0].next_offset, lanes[0].rank), (30, (1, 3, 0)));
    // Later: another block, a roll of the first two, and then the third counted again.
    ledger.push(row(4, Live, 4, 30..40));
    ledger.push(row(5, Roll, 5, 0..20));
    ledger.push(row(6, Recount, 6, 20..30));
    assert_eq!(blocks(&gate::counting(ledger.clone())), [5, 6, 4]);
    assert_eq!(blocks(&as_of(ledger.clone(), &lanes)), [5, 3]);
    // A recount of what was rolled up hides the roll from today's readers alone.
    ledger.push(row(7, Recount, 7, 0..40));
    assert_eq!(blocks(&gate::counting(ledger.clone())), [7]);
    assert_eq!(blocks(&as_of(ledger, &lanes)), [5, 3]);
}

#[test]
fn a_recount_before_a_closing_counts_as_of_it() {
    use BlockKind::{Live, Recount};
    let mut ledger = vec![row(1, Live, 1, 0..10), row(2, Live, 2, 10..20), row(3, Recount, 3, 0..10)];
    let lanes = closed_lanes(&gate::counting(ledger.clone()));
    ledger.push(row(4, Recount, 4, 0..10));
    assert_eq!(blocks(&as_of(ledger, &lanes)), [3, 2]);
}

#[test]
fn a_lane_that_was_not_there_holds_nothing() {
    let other = Lane { topic: Arc::from("other"), topic_id: Arc::from("id"), partition: 0 };
    let ledger = vec![
        row(1, BlockKind::Live, 1, 0..10),
        LedgerRow { lane: other, ..row(2, BlockKind::Live, 1, 0..10) },
    ];
    let lanes = closed_lanes(&ledger[..1]);
    assert_eq!(blocks(&as_of(ledger, &lanes)), [1]);
}
