use std::sync::Arc;

use super::*;
use crate::aggregate::{BlockKind, Tally};
use crate::event::RulesHash;

const NOW_MS: i64 = 1_000_000;
const LONG_AGO: i64 = 0;
const JUST_NOW: i64 = NOW_MS;
const HIDDEN_BEFORE: i64 = NOW_MS / 2;

fn row(block: u128, kind: BlockKind, sequence: u64, offsets: std::ops::Range<i64>) -> LedgerRow {
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

const BUCKET: Partition = Partition { level: 0, bucket: 0 };

fn published(row: LedgerRow, published_at_ms: i64) -> Published {
    Published { received: 0, published_at_ms, partition: BUCKET, row }
}

fn garbage_of(published: &[Published], prepared: &[LedgerRow]) -> Vec<u128> {
    garbage_beside(published, prepared, &[])
}

fn garbage_beside(
    published: &[Published],
    prepared: &[LedgerRow],
    closings: &[Vec<ClosedLane>],
) -> Vec<u128> {
    let prepared: Vec<_> = prepared.iter().map(|row| (row.clone(), BUCKET)).collect();
    let blocks = Blocks::of(published, &prepared, closings, HIDDEN_BEFORE);
    blocks.garbage.values().flatten().map(|block| block.0).collect()
}

#[test]
fn what_was_hidden_for_long_is_garbage() {
    use BlockKind::{Live, Roll};
    let live = |at| published(row(1, Live, 1, 0..10), at);
    let roll = |at| published(row(2, Roll, 2, 0..10), at);
    assert_eq!(garbage_of(&[live(LONG_AGO), roll(LONG_AGO)], &[]), [1]);
    assert_eq!(
        garbage_of(&[live(LONG_AGO), roll(JUST_NOW)], &[]),
        [],
        "a reader may have read the gate before"
    );
    assert_eq!(garbage_of(&[live(JUST_NOW), roll(LONG_AGO)], &[]), [], "published late: let it lie");
    assert_eq!(garbage_of(&[live(LONG_AGO)], &[]), []);
}

#[test]
fn what_counts_again_is_not_garbage() {
    use BlockKind::{Live, Roll};
    let ledger = [
        published(row(1, Live, 1, 0..10), LONG_AGO),
        published(row(2, Live, 2, 10..20), LONG_AGO),
        published(row(3, Roll, 3, 0..20), LONG_AGO),
        // Overlaps the roll in part: what that covers counts again, but for what this one covers.
        published(row(4, Roll, 4, 10..30), JUST_NOW),
    ];
    assert_eq!(garbage_of(&ledger, &[]), [2]);
}

#[test]
fn what_is_prepared_is_garbage_once_the_lane_is_past_it() {
    use BlockKind::{Live, Roll};
    let ledger = [published(row(1, Live, 5, 0..10), LONG_AGO)];
    let prepared =
        [row(1, Live, 5, 0..10), row(2, Live, 5, 0..10), row(3, Roll, 4, 0..10), row(4, Live, 6, 10..20)];
    assert_eq!(garbage_of(&ledger, &prepared), [3]);
    let elsewhere =
        LedgerRow { lane: Lane { partition: 1, ..row(5, Live, 0, 0..1).lane }, ..row(5, Live, 0, 0..1) };
    assert_eq!(garbage_of(&ledger, &[elsewhere]), [], "a lane of its own");
}

#[test]
fn what_a_closed_month_counted_is_never_garbage() {
    use BlockKind::{Live, Recount, Roll};
    let mut ledger = vec![
        published(row(1, Live, 1, 0..10), LONG_AGO),
        published(row(2, Live, 2, 10..20), LONG_AGO),
        published(row(3, Live, 3, 20..30), LONG_AGO),
    ];
    let closing = super::super::closings::closed_lanes(&ledger);
    ledger.push(published(row(4, Roll, 4, 0..20), LONG_AGO));
    assert_eq!(
        garbage_beside(&ledger, &[], std::slice::from_ref(&closing)),
        [1, 2],
        "the roll stands for them"
    );
    ledger.push(published(row(5, Recount, 5, 0..30), LONG_AGO));
    assert_eq!(garbage_of(&ledger, &[]), [1, 2, 3, 4]);
    assert_eq!(garbage_beside(&ledger, &[], &[closing]), [1, 2]);
}
