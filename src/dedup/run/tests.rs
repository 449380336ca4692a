use super::super::extent::Extents;
use super::*;
use crate::dedup::CacheSettings;

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: 0, budget: 1 << 30 };
    let cache = Cache::open(&settings).unwrap();
    (dir, cache)
}

fn write(entries: &[Entry], base: i64, extents: &mut Extents, cache: &Cache) -> Result<Run, CacheFull> {
    Run::write(entries, base, extents.next(pages_for(entries.len()), cache)?, cache)
}

fn merge(
    older: &Run,
    newer: &Run,
    oldest: i64,
    extents: &mut Extents,
    cache: &Cache,
) -> io::Result<Option<Run>> {
    let extent = extents.next(pages_for(older.entries() + newer.entries()), cache).unwrap();
    Run::merge(older, newer, oldest, true, extent)
}

fn entry(number: u64, position: u32) -> Entry {
    // Three high halves: each spans several pages.
    Entry { high: number / 1_000, low: number, position, content: number as u32 }
}

/// Larger than what is read at once, with keys that share a high half over several pages.
#[test]
fn every_key_of_a_run_is_found_and_no_other() {
    let (_dir, cache) = cache();
    let mut extents = Extents::default();
    let entries: Vec<_> = (0..30_000).step_by(2).map(|number| entry(number, number as u32)).collect();
    for has_filter in [true, false] {
        let mut run = write(&entries, 100, &mut extents, &cache).unwrap();
        if !has_filter {
            run.drop_filter();
        }
        for number in 0..30_002u64 {
            let expected = number.is_multiple_of(2) && number < 30_000;
            let expected = expected.then(|| Last { offset: 100 + number as i64, content: number as u32 });
            assert_eq!(run.find(number / 1_000, number).unwrap(), expected, "{number}");
        }
        assert!(run.is_older_than(100 + 29_999) && !run.is_older_than(100 + 29_998));
    }
}

#[test]
fn a_merge_keeps_the_newer_of_two_and_nothing_that_is_too_old() {
    let (_dir, cache) = cache();
    let mut extents = Extents::default();
    let entries = |every: u64| (0..30_000).step_by(every as usize).map(|number| entry(number, number as u32));
    let older = write(&entries(2).collect::<Vec<_>>(), 0, &mut extents, &cache).unwrap();
    let newer = write(&entries(3).collect::<Vec<_>>(), 50_000, &mut extents, &cache).unwrap();
    let used = cache.disk().used();
    let merged = merge(&older, &newer, 20_000, &mut extents, &cache).unwrap().unwrap();
    let mut count = 0;
    for number in 0..30_000u64 {
        let expected = match (number % 2, number % 3) {
            (_, 0) => Some(50_000 + number as i64),
            (0, _) if number >= 20_000 => Some(number as i64),
            _ => None,
        };
        count += usize::from(expected.is_some());
        let found = merged.find(number / 1_000, number).unwrap();
        assert_eq!(found.map(|last| last.offset), expected, "{number}");
    }
    assert_eq!(merged.entries(), count);
    assert_eq!(cache.disk().used(), used + merged.disk_bytes());
    assert!(merge(&older, &newer, 90_000, &mut extents, &cache).unwrap().is_none());
    drop((older, newer, merged));
    assert_eq!(cache.disk().used(), 0);
}

/// The file's room goes back to the disk, not only to the budget.
#[test]
fn a_run_that_is_dropped_leaves_a_hole() {
    let (_dir, cache) = cache();
    let mut extents = Extents::default();
    let entries: Vec<_> = (0..30_000).map(|number| entry(number, 1)).collect();
    let first = write(&entries, 0, &mut extents, &cache).unwrap();
    let second = write(&entries, 0, &mut extents, &cache).unwrap();
    let before = second.extent.blocks_of_file();
    drop(first);
    let after = second.extent.blocks_of_file();
    assert!(after * 10 < before * 6, "{before} blocks, then {after}");
    assert_eq!(second.find(7, 7_123).unwrap(), Some(Last { offset: 1, content: 7_123 }));
}

/// Lost, moved, or changed by a bit: a key of the page is never said to be new, and the run is not merged.
#[test]
fn a_page_that_is_not_what_was_written_is_an_error() {
    let (_dir, cache) = cache();
    let mut extents = Extents::default();
    let entries: Vec<_> = (0..30_000).map(|number| entry(number, 1)).collect();
    let other = write(&entries, 0, &mut extents, &cache).unwrap();
    let mut run = write(&entries, 0, &mut extents, &cache).unwrap();
    run.drop_filter();
    let (number, page) = (20_000, 20_000 / PAGE_ENTRIES);
    let mut whole = [0; PAGE_BYTES];
    run.extent.read(page, &mut whole).unwrap();
    let mut others = [0; PAGE_BYTES];
    other.extent.read(page, &mut others).unwrap();
    let mut flipped = whole;
    flipped[1_000] ^= 1;
    for damaged in [[0; PAGE_BYTES], others, flipped] {
        run.extent.write(page, &damaged).unwrap();
        let error = run.find(20, number).unwrap_err().to_string();
        assert!(error.contains(&format!("at {} of", run.extent.place(page))), "{error}");
        assert_eq!(run.find(7, 7_123).unwrap(), Some(Last { offset: 1, content: 7_123 }));
        assert!(merge(&other, &run, 0, &mut extents, &cache).is_err());
        run.extent.write(page, &whole).unwrap();
        assert_eq!(run.find(20, number).unwrap(), Some(Last { offset: 1, content: 20_000 }));
    }
}
