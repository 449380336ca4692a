use super::*;
use crate::dedup::{Cache, CacheSettings, Frame, Occurrence, Verdict};
use crate::event::EventKey;

const LANES: i32 = 12;
const KEYS: i64 = 20_000;
const FRAME: i64 = 1_000;

fn occurrence(lane: i32, offset: i64) -> Occurrence {
    let key = xxhash_rust::xxh3::xxh3_128(&[i64::from(lane), offset].map(i64::to_le_bytes).concat());
    Occurrence { offset, key: EventKey(key), content: 7 }
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
        assert_eq!(replay(&mut journal(lane), &mut window, &[], 0, KEYS).unwrap().unwrap(), KEYS);
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
