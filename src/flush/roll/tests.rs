use proptest::prelude::*;

use super::*;
use crate::event::{Lane, RulesHash};

fn live(first: i64, next: i64) -> LedgerRow {
    LedgerRow {
        lane: Lane { topic: "t".into(), topic_id: "i".into(), partition: 0 },
        group: "g".into(),
        token: 1,
        tenure: 1,
        sequence: first as u64,
        block: BlockId(first as u128),
        kind: BlockKind::Live,
        level: 0,
        first_offset: first,
        next_offset: next,
        tally: Tally { counted: (next - first) as u64, ..Tally::default() },
        quantity: (next - first) as u128,
        times: None,
        window_from: 0,
        leader_epoch: 0,
        digest: 1,
        rules: RulesHash(0),
        loss: String::new(),
    }
}

fn apply(rows: &mut Vec<LedgerRow>) -> bool {
    let Some(range) = plan(rows, &[]).into_iter().next() else { return false };
    let tenure = Tenure { lane: rows[0].lane.clone(), token: 2, id: 2 };
    let rolled = row(&rows[range.clone()], &tenure, 0, BlockId(0));
    rows.splice(range, [rolled]);
    true
}

#[test]
fn one_block_is_not_rolled_up_and_two_are() {
    assert!(plan(&[live(0, 1)], &[]).is_empty());
    assert_eq!(plan(&[live(0, 1), live(1, 2)], &[]), [0..2]);
    assert!(plan(&[], &[]).is_empty());
}

#[test]
fn no_roll_crosses_where_a_month_was_closed() {
    let rows = [live(0, 1), live(1, 2), live(2, 3), live(3, 4)];
    assert_eq!(plan(&rows, &[2]), [0..2, 2..4]);
    assert_eq!(plan(&rows, &[1]), [1..4]);
    assert_eq!(plan(&rows, &[0, 4]), [0..4]);
}

#[test]
fn no_roll_crosses_other_rules_another_window_a_loss_or_a_gap() {
    let other_rules = LedgerRow { rules: RulesHash(1), ..live(1, 2) };
    let other_window = LedgerRow { window_from: 1, ..live(1, 2) };
    let loss = LedgerRow { loss: "log starts later".into(), ..live(1, 2) };
    for between in [other_rules, other_window, loss, live(2, 3)] {
        assert!(plan(&[live(0, 1), between.clone()], &[]).is_empty(), "{between:?}");
        assert!(plan(&[live(0, 1), between.clone(), live(2, 3)], &[]).is_empty(), "{between:?}");
    }
    let loss = LedgerRow { loss: "x".into(), ..live(0, 1) };
    assert!(plan(&[loss.clone(), LedgerRow { first_offset: 1, next_offset: 2, ..loss }], &[]).is_empty());
}

proptest! {
    #[test]
    fn rolling_up_keeps_range_tally_and_digest_and_leaves_few_rows(lengths in prop::collection::vec(0i64..5, 1..700)) {
        let mut rows = Vec::new();
        let mut first = 0;
        for (count, length) in lengths.iter().enumerate() {
            rows.push(LedgerRow { sequence: count as u64, ..live(first, first + length) });
            first += length;
            if count % 20 == 19 {
                while apply(&mut rows) {}
            }
        }
        while apply(&mut rows) {}
        prop_assert!(rows.len() <= 3 * FAN_IN, "{} rows", rows.len());
        prop_assert_eq!(rows[0].first_offset, 0);
        prop_assert_eq!(rows.last().unwrap().next_offset, first);
        prop_assert!(rows.windows(2).all(|pair| pair[0].next_offset == pair[1].first_offset));
        prop_assert_eq!(rows.iter().map(|row| row.tally.counted).sum::<u64>(), first as u64);
        prop_assert_eq!(rows.iter().map(|row| row.digest).sum::<u128>(), lengths.len() as u128);
    }
}
