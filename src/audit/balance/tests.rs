use super::*;
use crate::aggregate::{BlockKind, LedgerRow, Tally};
use crate::event::{Lane, RulesHash};

fn row(block: u128, first_offset: i64, next_offset: i64) -> LedgerRow {
    LedgerRow {
        lane: Lane { topic: "t".into(), topic_id: "id".into(), partition: 0 },
        group: "g".to_owned(),
        token: 1,
        tenure: 1,
        sequence: u64::try_from(first_offset).unwrap_or(0),
        block: BlockId(block),
        kind: BlockKind::Live,
        level: 0,
        first_offset,
        next_offset,
        tally: Tally { counted: 7, duplicate: 2, rejected: 1, ignored: 0 },
        quantity: 9,
        times: Some((1, 2)),
        window_from: 0,
        leader_epoch: 0,
        digest: 0,
        rules: RulesHash(1),
        loss: String::new(),
    }
}

fn entry(row: LedgerRow, received: u64) -> Entry {
    Entry { row, received }
}

fn sums(rows: &[(u128, u128)]) -> HashMap<BlockId, BlockSum> {
    rows.iter().map(|&(block, sum)| (BlockId(block), BlockSum { rows: 1, sum })).collect()
}

fn problems(findings: &[Finding]) -> Vec<Problem> {
    findings.iter().map(|finding| finding.problem).collect()
}

#[test]
fn a_sound_row_has_no_findings() {
    let rows = [entry(row(1, 0, 10), 10)];
    assert_eq!(check_rows(&rows, &sums(&[(1, 9)])), []);
    assert_eq!(check_order(&rows), []);
}

#[test]
fn each_figure_that_was_changed_by_hand_is_found() {
    let sound = entry(row(1, 0, 10), 10);
    let changed = |change: &dyn Fn(&mut Entry)| {
        let mut entry = sound.clone();
        change(&mut entry);
        problems(&check_rows(&[entry], &sums(&[(1, 9)])))
    };
    assert_eq!(changed(&|entry| entry.received = 11), [Problem::Tally]);
    assert_eq!(changed(&|entry| entry.row.tally.counted = 8), [Problem::Tally]);
    assert_eq!(changed(&|entry| entry.row.tally.duplicate = 0), [Problem::Tally]);
    assert_eq!(changed(&|entry| entry.row.tally.rejected = 2), [Problem::Tally]);
    assert_eq!(changed(&|entry| entry.row.tally.ignored = u64::MAX), [Problem::Tally]);
    assert_eq!(changed(&|entry| entry.row.quantity = 10), [Problem::Quantity]);
    assert_eq!(changed(&|entry| entry.row.block = BlockId(2)), [Problem::Quantity]);
    assert_eq!(changed(&|entry| entry.row.times = Some((3, 2))), [Problem::Range]);
    assert_eq!(changed(&|entry| entry.row.times = None), [Problem::Range]);
    assert_eq!(changed(&|entry| entry.row.next_offset = -1), [Problem::Range]);
    assert_eq!(problems(&check_rows(&[sound], &sums(&[(1, 8)]))), [Problem::Quantity]);
}

#[test]
fn gaps_and_overlaps_are_named_with_their_offsets() {
    let order = |ranges: &[(i64, i64)]| {
        let rows: Vec<_> =
            (1..).zip(ranges).map(|(block, &(first, next))| entry(row(block, first, next), 10)).collect();
        let findings = check_order(&rows);
        findings
            .iter()
            .map(|it| (it.problem, it.place.first_offset, it.place.next_offset))
            .collect::<Vec<_>>()
    };
    assert_eq!(order(&[(5, 5), (5, 10), (10, 20)]), []);
    assert_eq!(order(&[(0, 10), (12, 20)]), [(Problem::Gap, 10, 12)]);
    assert_eq!(order(&[(0, 10), (8, 20)]), [(Problem::Overlap, 8, 10)]);
}

#[test]
fn a_loss_is_reported_and_is_no_finding() {
    let mut lost = row(1, 10, 20);
    (lost.tally, lost.quantity, lost.times) = (Tally::default(), 0, None);
    lost.loss = "the log starts at 20".to_owned();
    let rows = [entry(lost, 0)];
    assert_eq!(check_rows(&rows, &sums(&[])), []);
    assert_eq!(losses(&rows)[0].loss, "the log starts at 20");
}

#[test]
fn offsets_are_those_that_the_block_was_stored_for() {
    let rows = [entry(row(1, 0, 10), 10), entry(row(2, 10, 21), 10), entry(row(3, 21, 30), 10)];
    let prepared = HashMap::from([(BlockId(1), (0, 10)), (BlockId(2), (10, 20))]);
    let findings = check_offsets(&rows, &prepared);
    assert_eq!(problems(&findings), [Problem::Range]);
    assert_eq!(findings[0].block, Some(BlockId(2).to_string()));
}
