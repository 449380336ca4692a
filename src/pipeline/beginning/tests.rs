use super::*;
use crate::aggregate::BlockId;
use crate::dedup::{Cache, CacheSettings, Frame, Occurrence, Verdict};
use crate::event::EventKey;
use crate::source::Tenure;

const LANES: i32 = 12;
const KEYS: i64 = 20_000;
const FRAME: i64 = 1_000;

fn occurrence(lane: i32, offset: i64) -> Occurrence {
    let key = xxhash_rust::xxh3::xxh3_128(&[i64::from(lane), offset].map(i64::to_le_bytes).concat());
    Occurrence { offset, key: EventKey(key), content: 7 }
}

/// One row that counts over [first, next).
fn row(lane: i32, first: i64, next: i64) -> LedgerRow {
    let lane = Lane { topic: "t".into(), topic_id: "id".into(), partition: lane };
    let tenure = Tenure { lane, token: 1, id: 1 };
    let block = FinishedBlock::empty(first, next, 0, RulesHash(9), String::new());
    block.ledger_row(&tenure, "group", 0, BlockId(1))
}

#[test]
fn a_frame_is_a_block_of_the_ledger_or_part_of_one() {
    let rows = [row(0, 0, 10), row(0, 10, 100)];
    let is_covered = |rows: &[LedgerRow], first, next| is_covered_by(rows, first, next, RulesHash(9));
    assert!(is_covered(&rows, 0, 10) && is_covered(&rows, 20, 30) && is_covered(&rows, 90, 100));
    assert!(is_covered(&rows, 50, 50), "it holds nothing");
    assert!(!is_covered(&rows, 5, 15) && !is_covered(&rows, 90, 101) && !is_covered(&rows, 100, 110));
    assert!(!is_covered_by(&rows, 0, 10, RulesHash(8)));
    let lost = LedgerRow { loss: "gone".into(), ..row(0, 0, 10) };
    let recounted = LedgerRow { kind: BlockKind::Recount, ..row(0, 0, 10) };
    assert!(!is_covered(&[lost], 0, 10) && !is_covered(&[recounted], 0, 10));
}

/// Nobody gives memory back between them, as in a session that takes its lanes over.
#[test]
fn lanes_are_begun_in_a_third_of_the_memory_that_their_windows_would_take() {
    let dir = tempfile::tempdir().unwrap();
    let four_windows = 4 * 28 * KEYS as u64;
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: four_windows, budget: 1 << 30 };
    let cache = Cache::open(&settings).unwrap();
    let rules = RulesHash(9);
    let journal = |lane| {
        Journal::open(&cache, &Lane { topic: "t".into(), topic_id: "id".into(), partition: lane }).unwrap()
    };
    for lane in 0..LANES {
        let mut journal = journal(lane);
        for first in (0..KEYS).step_by(FRAME as usize) {
            let occurrences = (first..first + FRAME).map(|offset| occurrence(lane, offset)).collect();
            journal.append(&Frame { first, next: first + FRAME, rules, occurrences }, 0).unwrap();
        }
    }

    let expected = cache.expect(LANES as usize);
    let mut windows = Vec::new();
    for lane in 0..LANES {
        let mut window = Window::begin(1 << 20, 0, &expected).unwrap();
        assert_eq!(replay(&mut journal(lane), &mut window, &[row(lane, 0, KEYS)], 0, KEYS).unwrap(), KEYS);
        windows.push(window);
    }
    drop(expected);

    let held: Vec<_> = windows.iter().map(|window| window.in_memory().bytes).collect();
    let share = four_windows / LANES as u64;
    assert!(held.iter().all(|bytes| (share / 2..=share).contains(bytes)), "{held:?} of {share} each");
    for (lane, window) in (0..LANES).zip(&mut windows) {
        for number in (0..KEYS).step_by(7) {
            let at = Occurrence { offset: KEYS, ..occurrence(lane, number) };
            assert_eq!(window.observe(at).unwrap(), Verdict::Duplicate, "{lane}: {number}");
            window.give_back();
        }
        assert_eq!(window.observe(occurrence(lane, KEYS)).unwrap(), Verdict::New);
    }
}
