use proptest::prelude::*;

use super::*;
use crate::dedup::{CacheSettings, Occurrence};
use crate::event::{EventKey, RulesHash};

struct Fixture {
    dir: tempfile::TempDir,
    cache: Cache,
    lane: Lane,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let cache = cache_in(&dir, 1 << 20);
    Fixture { dir, cache, lane: Lane { topic: "t".into(), topic_id: "id".into(), partition: 3 } }
}

/// Of one more process.
fn cache_in(dir: &tempfile::TempDir, budget: u64) -> Cache {
    Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory: 0, budget }).unwrap()
}

fn frame(first: i64, next: i64) -> Frame {
    let occurrences = (first..next)
        .map(|offset| Occurrence { offset, key: EventKey(offset as u128), content: offset as u32 })
        .collect();
    Frame { first, next, rules: RulesHash(9), occurrences }
}

fn replay(journal: &mut Journal, from: i64, end: i64) -> (i64, Vec<Frame>) {
    let mut frames = Vec::new();
    let is_valid = |frame: &StoredFrame| frame.rules == RulesHash(9);
    let visit = |frame: &StoredFrame| {
        let (first, next, rules) = (frame.first, frame.next, frame.rules);
        frames.push(Frame { first, next, rules, occurrences: frame.occurrences().collect() });
        ControlFlow::Continue(())
    };
    let reached = journal.replay(from, end, is_valid, visit).unwrap();
    (reached, frames)
}

proptest! {
    /// Whatever byte is damaged and wherever the file is cut, what comes back is a prefix.
    #[test]
    fn a_damaged_journal_gives_an_honest_prefix(cut in 0usize..4_000, flip in any::<bool>(), bounds in prop::collection::vec(1i64..40, 1..8)) {
        let f = fixture();
        let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
        let mut frames = Vec::new();
        let mut first = 0;
        for length in bounds {
            frames.push(frame(first, first + length));
            first += length;
        }
        for frame in &frames {
            journal.append(frame, 0).unwrap();
        }
        let path = segments(&journal.dir).unwrap().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let at = cut % bytes.len();
        if flip { bytes[at] ^= 0x40 } else { bytes.truncate(at) }
        fs::write(&path, bytes).unwrap();
        let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
        let (reached, read) = replay(&mut journal, 0, first);
        prop_assert_eq!(&read[..], &frames[..read.len()]);
        prop_assert_eq!(reached, read.last().map_or(0, |frame| frame.next));
        // What was cut off can be written again.
        journal.append(&frame(reached, first + 1), 0).unwrap();
        let (again, _) = replay(&mut journal, 0, first + 1);
        prop_assert_eq!(again, first + 1);
    }
}

#[test]
fn frames_beyond_the_ledger_s_end_are_cut_off() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    for bounds in [(0, 10), (10, 20), (20, 30)] {
        journal.append(&frame(bounds.0, bounds.1), 0).unwrap();
    }
    let (reached, frames) = replay(&mut journal, 0, 25);
    assert_eq!((reached, frames.len()), (20, 2));
    journal.append(&frame(20, 22), 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 22).0, 22);
}

#[test]
fn frames_of_other_rules_and_after_gaps_are_not_used() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    journal.append(&frame(0, 10), 0).unwrap();
    journal.append(&Frame { rules: RulesHash(1), ..frame(10, 20) }, 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10);
    journal.append(&frame(12, 20), 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10, "there is a gap");
}

#[test]
fn a_journal_that_begins_after_the_window_is_not_used() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    journal.append(&frame(50, 60), 0).unwrap();
    assert_eq!(replay(&mut journal, 40, 60), (40, vec![]));
}

#[test]
fn segments_that_left_the_window_are_forgotten() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    journal.segment_bytes = 1;
    for first in (0..100).step_by(10) {
        journal.append(&frame(first, first + 10), first - 30).unwrap();
    }
    assert_eq!(segments(&journal.dir).unwrap().len(), 4);
    let (reached, frames) = replay(&mut journal, 65, 100);
    assert_eq!((reached, frames.len()), (100, 4));
}

/// The budget holds what journals hold, and one that does not fit goes, whose room is then free.
#[test]
fn a_journal_lives_within_the_budget() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    journal.segment_bytes = 1;
    for first in (0..10).map(|number| number * 100) {
        journal.append(&frame(first, first + 100), first - 200).unwrap();
        assert_eq!(f.cache.disk().used(), journal.stored_bytes().unwrap());
    }
    assert_eq!(segments(&journal.dir).unwrap().len(), 3, "the others are forgotten");
    let kept = journal.stored_bytes().unwrap();
    drop(journal);
    assert_eq!(f.cache.disk().used(), 0);
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    assert_eq!(f.cache.disk().used(), kept);

    let rest = f.cache.disk().take(f.cache.disk().limit() - kept - 1_000).unwrap();
    assert!(journal.append(&frame(1_000, 1_100), 0).is_err());
    assert_eq!((journal.stored_bytes().unwrap(), f.cache.disk().used()), (0, rest.bytes()));
}

#[test]
fn a_replay_that_is_broken_off_reads_no_further_and_cuts_nothing() {
    let f = fixture();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    for first in [0, 10, 20] {
        journal.append(&frame(first, first + 10), 0).unwrap();
    }
    let mut visited = 0;
    let visit = |_: &StoredFrame| {
        visited += 1;
        if visited == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(journal.replay(0, 30, |_| true, visit).unwrap(), 20);
    assert_eq!(visited, 2);
    assert_eq!(replay(&mut journal, 0, 30).0, 30);
}

/// A lane goes to a second process and comes back: each finds what it missed in the other's journal.
#[test]
fn a_lane_finds_its_window_in_the_journal_of_its_last_owner() {
    let f = fixture();
    let second_cache = cache_in(&f.dir, 1 << 20);
    let mut first = Journal::open(&f.cache, &f.lane).unwrap();
    first.append(&frame(0, 10), 0).unwrap();
    first.append(&frame(10, 20), 0).unwrap();

    let mut second = Journal::open(&second_cache, &f.lane).unwrap();
    // The window's first offset lies within a frame; the last one is not the ledger's.
    assert_eq!(replay(&mut second, 5, 15), (10, vec![frame(0, 10)]));
    assert_eq!(replay(&mut second, 5, 20), (20, vec![frame(0, 10), frame(10, 20)]));
    second.append(&frame(20, 30), 0).unwrap();
    assert_eq!(second_cache.disk().used(), second.stored_bytes().unwrap());

    let mut first = Journal::open(&f.cache, &f.lane).unwrap();
    assert_eq!(replay(&mut first, 0, 30).0, 30);
    fs::remove_dir_all(second.dir).unwrap();
    assert_eq!(replay(&mut first, 0, 30).0, 30, "it has its own now");
}

#[test]
fn what_others_know_is_used_only_where_it_follows() {
    let f = fixture();
    let mut other = Journal::open(&cache_in(&f.dir, 1 << 20), &f.lane).unwrap();
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    journal.append(&frame(0, 10), 0).unwrap();
    other.append(&frame(12, 20), 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10, "there is a gap");
    other.clear().unwrap();
    other.append(&frame(5, 15), 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10, "it is of another block");
    other.clear().unwrap();
    other.append(&Frame { rules: RulesHash(1), ..frame(10, 20) }, 0).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10, "it is of other rules");
    other.clear().unwrap();
    other.append(&frame(10, 20), 0).unwrap();
    let segment = segments(&other.dir).unwrap().remove(0);
    fs::write(&segment, &fs::read(&segment).unwrap()[..100]).unwrap();
    assert_eq!(replay(&mut journal, 0, 20).0, 10, "it is torn");
}

/// Behind each other's, in whatever order they are looked at, and from the segment that is needed on.
#[test]
fn a_window_is_found_in_parts_that_several_keep() {
    let f = fixture();
    let caches: Vec<_> = (0..3).map(|_| cache_in(&f.dir, 1 << 20)).collect();
    for (cache, bounds) in caches.iter().zip([20..30, 10..20, 0..10]) {
        let mut other = Journal::open(cache, &f.lane).unwrap();
        other.segment_bytes = 1;
        for first in bounds.step_by(2) {
            other.append(&frame(first, first + 2), 0).unwrap();
        }
    }
    let mut journal = Journal::open(&f.cache, &f.lane).unwrap();
    assert_eq!(replay(&mut journal, 3, 30).0, 30);
}

#[test]
fn a_window_is_found_at_others_where_there_is_no_room_for_a_copy() {
    let f = fixture();
    let mut other = Journal::open(&f.cache, &f.lane).unwrap();
    for first in [0, 100, 200] {
        other.append(&frame(first, first + 100), 0).unwrap();
    }
    let tight = cache_in(&f.dir, 4_000);
    let mut journal = Journal::open(&tight, &f.lane).unwrap();
    assert_eq!(replay(&mut journal, 0, 300).0, 300);
    assert_eq!((journal.stored_bytes().unwrap(), tight.disk().used()), (0, 0));
    journal.append(&frame(300, 310), 0).unwrap();
}
