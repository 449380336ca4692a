use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::dedup::CacheSettings;

fn cache(memory: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory, budget: 1 << 30 }).unwrap();
    (dir, cache)
}

/// A key whose high bits, and so its home, collide with those of many others.
fn key(number: u32) -> EventKey {
    EventKey((u128::from(number % 3) << 126) | u128::from(number))
}

/// The rule, written down naively: the latest occurrence of the key, if it is at most W back.
fn judge(latest: &HashMap<u128, (i64, u32)>, width: u64, at: Occurrence) -> Verdict {
    match latest.get(&at.key.0) {
        Some((offset, content)) if (at.offset - offset) as u64 <= width => {
            if *content == at.content {
                Verdict::Duplicate
            } else {
                Verdict::Conflict
            }
        }
        _ => Verdict::New,
    }
}

proptest! {
    /// In memory and on disk alike, and over jumps that move the base.
    #[test]
    fn the_window_decides_as_the_rule_says(
        width in 1u64..300,
        on_disk: bool,
        steps in prop::collection::vec((0i64..4, 0u32..400, 0u32..2, 0u32..1_000), 1..4_000),
    ) {
        let (_dir, cache) = cache(if on_disk { 0 } else { 1 << 30 });
        let mut window = Window::new(width, 7, &cache).unwrap();
        prop_assert_eq!(window.is_on_disk(), on_disk);
        let mut latest = HashMap::new();
        let mut offset = 7i64;
        for (step, number, content, chance) in steps {
            offset += if chance == 0 { GREATEST_POSITION - 50 } else { step };
            let at = Occurrence { offset, key: key(number), content };
            let expected = judge(&latest, width, at);
            prop_assert_eq!(window.observe(at).unwrap(), expected, "{:?}", at);
            latest.insert(at.key.0, (offset, content));
        }
    }
}

#[test]
fn a_key_exactly_w_offsets_back_is_a_duplicate_and_one_further_is_not() {
    let (_dir, cache) = cache(1 << 30);
    for (distance, expected) in [(0, Verdict::Duplicate), (10, Verdict::Duplicate), (11, Verdict::New)] {
        let mut window = Window::new(10, 0, &cache).unwrap();
        let at = |offset| Occurrence { offset, key: key(1), content: 1 };
        assert_eq!(window.observe(at(5)).unwrap(), Verdict::New);
        assert_eq!(window.observe(at(5 + distance)).unwrap(), expected, "{distance}");
    }
}

#[test]
fn a_window_grows_past_its_first_capacity_and_forgets_what_left_it() {
    let (_dir, cache) = cache(1 << 30);
    let mut window = Window::new(50_000, 0, &cache).unwrap();
    for offset in 0..400_000i64 {
        let key = EventKey(u128::from(offset as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        assert_eq!(window.observe(Occurrence { offset, key, content: 0 }).unwrap(), Verdict::New);
    }
    assert!(window.keys() <= 4 * 50_000, "{} keys", window.keys());
}

#[test]
fn a_full_cache_is_an_error_that_remembers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let budget = (FIRST_CAPACITY * SLOT_BYTES) as u64;
    let cache = Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory: 0, budget }).unwrap();
    let mut window = Window::new(1 << 20, 0, &cache).unwrap();
    let mut offset = 0;
    let error = loop {
        let key = EventKey(u128::from(offset as u64) << 64);
        match window.observe(Occurrence { offset, key, content: 0 }) {
            Ok(_) => offset += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("cache.budget"), "{error}");
    let seen = EventKey(u128::from((offset - 1) as u64) << 64);
    assert!(window.observe(Occurrence { offset, key: seen, content: 0 }).is_err(), "the lane waits");
}
