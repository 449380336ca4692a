use super::*;
use crate::clock::instant;
use crate::dedup::{CacheSettings, Window};

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: 1 << 20, budget: 1 << 20 };
    let cache = Cache::open(&settings).unwrap();
    (dir, cache)
}

#[test]
fn a_request_is_tried_ever_more_seldom_and_then_no_more() {
    let (_dir, cache) = cache();
    let (mut put_off, mut now) = (PutOff::default(), instant());
    let began = now;
    let mut pauses = Vec::new();
    while let Some(pause) = put_off.add(1, now, &cache) {
        assert!(put_off.holds(1, now) && put_off.holds(1, now + pause - Duration::from_millis(1)));
        assert!(!put_off.holds(1, now + pause) && !put_off.holds(2, now));
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [vec![1, 2, 4, 8, 16, 32], vec![60; 9]].concat());
    assert_eq!(pauses.len() + 1, MOST_TRIES as usize);
    assert_eq!(now - began, Duration::from_secs(603));
    assert!(!put_off.holds(1, now), "what was refused is forgotten");
    assert_eq!(put_off.add(1, now, &cache), Some(FIRST_PAUSE));
}

/// A window that holds all there is gives back while a request waits, and not when it is answered.
#[test]
fn room_is_made_while_a_request_waits() {
    let (_dir, cache) = cache();
    let mut window = Window::new(1 << 22, 0, &cache).unwrap();
    for number in 0..30_000u32 {
        let key = crate::event::EventKey(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()));
        let at = crate::dedup::Occurrence { offset: 0, key, content: 0 };
        window.observe(at).unwrap();
    }
    assert!(window.in_memory().bytes > 1 << 19, "{:?}", window.in_memory());
    assert!(!window.give_back());
    let mut put_off = PutOff::default();
    put_off.add(1, instant(), &cache);
    put_off.remove(1);
    assert!(!window.give_back(), "it was answered");
    put_off.add(1, instant(), &cache);
    while window.give_back() {}
    assert!(window.in_memory().bytes <= 1 << 19, "{:?}", window.in_memory());
}
