use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::aggregate::Tally;
use crate::event::RulesHash;

/// (kind, token, sequence, first, next)
type Short = (BlockKind, u64, u64, i64, i64);

fn row(index: usize, (kind, token, sequence, first_offset, next_offset): Short) -> LedgerRow {
    LedgerRow {
        lane: Lane { topic: Arc::from("topic"), topic_id: Arc::from("id"), partition: 0 },
        group: "group".to_owned(),
        token,
        tenure: u128::from(token % 2),
        sequence,
        block: BlockId(index as u128),
        kind,
        level: u8::from(kind != BlockKind::Live),
        first_offset,
        next_offset,
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

fn rows(shorts: &[Short]) -> Vec<LedgerRow> {
    shorts.iter().enumerate().map(|(index, short)| row(index, *short)).collect()
}

/// The numbers of the rows that count.
fn counting_of(shorts: &[Short]) -> Vec<u128> {
    let mut blocks: Vec<u128> = counting(rows(shorts)).iter().map(|row| row.block.0).collect();
    blocks.sort_unstable();
    blocks
}

/// The rule word for word: every row against every row of greater rank, greatest first.
fn by_the_book(rows: &[LedgerRow]) -> Vec<u128> {
    let mut ranked: Vec<&LedgerRow> = rows.iter().collect();
    ranked.sort_by_key(|row| std::cmp::Reverse(rank(row)));
    let mut taken: Vec<&LedgerRow> = Vec::new();
    let mut counting = Vec::new();
    for row in ranked {
        let is_empty = row.first_offset == row.next_offset;
        let may_hide = |other: &&LedgerRow| {
            !is_empty || (other.kind != BlockKind::Live && other.first_offset < row.first_offset)
        };
        let shares = |other: &&LedgerRow| {
            other.first_offset < other.next_offset
                && other.first_offset < row.next_offset.max(row.first_offset + 1)
                && row.first_offset < other.next_offset
        };
        let counts = match row.kind {
            BlockKind::Live => !taken.iter().copied().filter(may_hide).any(|other| other.covers(row)),
            BlockKind::Roll | BlockKind::Recount => {
                !taken.iter().copied().filter(may_hide).any(|other| shares(&other))
            }
        };
        if counts {
            counting.push(row.block.0);
        }
        if counts || row.kind == BlockKind::Live {
            taken.push(row);
        }
    }
    counting.sort_unstable();
    counting
}

use BlockKind::{Live, Recount, Roll};

#[test]
fn the_rule_by_example() {
    let cases: &[(&str, &[Short], &[u128])] = &[
        ("nothing", &[], &[]),
        ("blocks that follow one another", &[(Live, 1, 0, 0, 10), (Live, 1, 1, 10, 20)], &[0, 1]),
        (
            "a roll replaces what it covers",
            &[(Live, 1, 0, 0, 10), (Live, 1, 1, 10, 20), (Roll, 1, 2, 0, 20)],
            &[2],
        ),
        (
            "a roll of rolls",
            &[(Live, 1, 0, 0, 10), (Roll, 1, 1, 0, 10), (Live, 1, 2, 10, 20), (Roll, 1, 3, 0, 20)],
            &[3],
        ),
        ("a roll of smaller rank hides nothing", &[(Live, 2, 0, 0, 10), (Roll, 1, 9, 0, 20)], &[0]),
        (
            "of two rolls that overlap in part the greater counts",
            &[
                (Live, 1, 0, 0, 10),
                (Live, 1, 1, 10, 20),
                (Live, 1, 2, 20, 30),
                (Roll, 1, 3, 0, 20),
                (Roll, 2, 0, 10, 30),
            ],
            &[0, 4],
        ),
        (
            "what doesn't count keeps nothing else from counting",
            &[(Live, 1, 0, 0, 40), (Roll, 1, 1, 0, 20), (Roll, 1, 2, 10, 30), (Roll, 1, 3, 20, 40)],
            &[0, 1, 3],
        ),
        (
            "a recount inside a roll",
            &[(Live, 1, 0, 0, 30), (Roll, 1, 1, 0, 30), (Recount, 1, 2, 10, 20)],
            &[0, 2],
        ),
        ("a recount of the same range", &[(Roll, 1, 1, 0, 30), (Recount, 1, 2, 0, 30)], &[1]),
        ("of two owners' blocks the later tenure's", &[(Live, 1, 5, 0, 10), (Live, 2, 0, 0, 10)], &[1]),
        ("blocks that overlap in part both count", &[(Live, 1, 5, 0, 10), (Live, 2, 0, 5, 15)], &[0, 1]),
        (
            "an empty block, which may tell of a loss, is not hidden by the one behind it",
            &[(Live, 1, 0, 5, 5), (Live, 1, 1, 5, 9)],
            &[0, 1],
        ),
        (
            "an empty block where a roll begins",
            &[(Live, 1, 0, 5, 5), (Live, 1, 1, 5, 9), (Roll, 1, 2, 5, 9)],
            &[0, 2],
        ),
        (
            "an empty block within a recount",
            &[(Live, 1, 0, 3, 5), (Live, 1, 1, 5, 5), (Live, 1, 2, 5, 9), (Recount, 1, 3, 3, 9)],
            &[3],
        ),
        ("an empty block at an end", &[(Live, 1, 0, 5, 9), (Live, 2, 0, 9, 9)], &[0, 1]),
        ("an empty block hides nothing", &[(Roll, 1, 0, 0, 9), (Live, 2, 0, 5, 5)], &[0, 1]),
    ];
    for (name, shorts, expected) in cases {
        assert_eq!(counting_of(shorts), *expected, "{name}");
        assert_eq!(by_the_book(&rows(shorts)), *expected, "{name}, by the book");
    }
}

#[test]
fn a_block_published_twice_counts_once() {
    let twice = vec![row(7, (Live, 1, 0, 0, 10)), row(7, (Live, 1, 0, 0, 10))];
    assert_eq!(counting(twice).len(), 1);
}

#[test]
fn lanes_don_t_see_one_another() {
    let mut other = row(1, (Roll, 9, 0, 0, 100));
    other.lane.partition = 1;
    assert_eq!(counting(vec![row(0, (Live, 1, 0, 0, 10)), other]).len(), 2);
}

#[test]
fn gaps_and_overlaps_raise_alarms() {
    let ledger =
        rows(&[(Live, 1, 0, 5, 10), (Live, 1, 1, 10, 20), (Live, 1, 2, 22, 30), (Live, 2, 0, 28, 29)]);
    let found = |ledger| -> Vec<_> {
        alarms(&counting(ledger)).iter().map(|alarm| (alarm.fault, alarm.from, alarm.to)).collect()
    };
    assert_eq!(found(ledger), [(Fault::Gap, 20, 22), (Fault::Overlap, 28, 29)]);
    let ledger = rows(&[(Live, 1, 0, 0, 10), (Live, 2, 0, 8, 20), (Live, 2, 1, 20, 20), (Roll, 2, 2, 0, 5)]);
    assert_eq!(found(ledger), [(Fault::Overlap, 0, 5), (Fault::Overlap, 8, 10)]);
    assert!(
        alarms(&counting(rows(&[(Live, 1, 0, 3, 3), (Live, 1, 1, 3, 10), (Live, 2, 0, 10, 10)]))).is_empty()
    );
}

/// Ledgers without any order, far worse than what faults can make.
fn any_ledger() -> impl Strategy<Value = Vec<Short>> {
    let kind = prop_oneof![3 => Just(Live), 2 => Just(Roll), 1 => Just(Recount)];
    prop::collection::vec((kind, 1u64..4, 0u64..6, 0i64..24, 0i64..10), 0..24).prop_map(|rows| {
        rows.into_iter()
            .map(|(kind, token, sequence, first, width)| (kind, token, sequence, first, first + width))
            .collect()
    })
}

proptest! {
    #[test]
    fn the_quick_gate_follows_the_book(ledger in any_ledger()) {
        prop_assert_eq!(counting_of(&ledger), by_the_book(&rows(&ledger)));
    }

    #[test]
    fn removing_what_doesn_t_count_changes_nothing(ledger in any_ledger(), keep in any::<u32>()) {
        let all = rows(&ledger);
        let counts = by_the_book(&all);
        let left: Vec<_> = all
            .iter()
            .filter(|row| counts.contains(&row.block.0) || keep & (1 << row.block.0) != 0)
            .cloned()
            .collect();
        prop_assert_eq!(by_the_book(&left), counts);
    }

    #[test]
    fn the_greatest_rank_counts(ledger in any_ledger()) {
        let all = rows(&ledger);
        if let Some(greatest) = all.iter().max_by_key(|row| rank(row)) {
            prop_assert!(by_the_book(&all).contains(&greatest.block.0));
        }
    }

    #[test]
    fn rolls_that_count_are_disjoint(ledger in any_ledger()) {
        let counting = counting(rows(&ledger));
        let rolls: Vec<_> =
            counting.iter().filter(|row| row.kind != Live && row.first_offset < row.next_offset).collect();
        for pair in rolls.windows(2) {
            prop_assert!(pair[0].next_offset <= pair[1].first_offset);
        }
    }
}

#[test]
fn a_roll_that_counts_for_nothing_is_told_and_one_that_was_replaced_is_not() {
    let sound = rows(&[(Live, 1, 0, 0, 10), (Roll, 1, 1, 0, 10), (Roll, 1, 2, 0, 10), (Live, 1, 3, 10, 20)]);
    assert!(set_aside(&sound, &counting(sound.clone())).is_empty());
    let changed = rows(&[(Live, 1, 0, 0, 10), (Roll, 1, 1, 0, 11), (Live, 1, 3, 10, 20)]);
    let told = set_aside(&changed, &counting(changed.clone()));
    assert_eq!(told.iter().map(|row| row.block.0).collect::<Vec<_>>(), [1]);
}
