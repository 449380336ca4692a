use std::collections::HashMap;

use proptest::prelude::*;

use super::super::table::GREATEST_POSITION;
use super::*;
use crate::dedup::CacheSettings;

fn cache(memory: u64, budget: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory, budget }).unwrap();
    (dir, cache)
}

const ROOM: u64 = 1 << 30;

/// A key whose high bits, and so its shard and home, collide with those of many others.
fn colliding(number: u32) -> EventKey {
    EventKey((u128::from(number % 3) << 126) | (u128::from(number % 5) << 64) | u128::from(number))
}

/// A key as a hash gives it.
fn key(number: u64) -> EventKey {
    EventKey(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
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

/// What is accounted is what is there, and no more than there may be.
#[track_caller]
fn check_budgets(window: &Window, cache: &Cache) {
    let shards: usize = window.shards.iter().map(|shard| size_of::<Shard>() + shard.memory_bytes()).sum();
    assert_eq!((cache.memory().used(), window.in_memory().bytes), (shards as u64, shards as u64));
    assert!(cache.memory().used() <= cache.memory().limit());
    assert_eq!(cache.disk().used(), window.on_disk().bytes);
}

fn runs(window: &Window) -> Vec<usize> {
    window.shards.iter().flat_map(|shard| shard.runs()).map(Run::entries).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// In memory and on disk alike, over spills, merges, runs that are dropped, and jumps that move
    /// the base.
    #[test]
    fn the_window_decides_as_the_rule_says(
        width in 1u64..600,
        shard_bits in prop::sample::select(vec![0u32, 1, 3, 8]),
        most_runs in 1usize..5,
        memory in prop::option::of(4_000u64..30_000),
        collide: bool,
        steps in prop::collection::vec((0i64..4, 0u32..400, 0u32..2, 0u32..1_000), 1..3_000),
    ) {
        let least = (size_of::<Shard>() + (most_runs + 2) * 2 * size_of::<Run>()) << shard_bits;
        let (_dir, cache) = cache(memory.map_or(ROOM, |memory| memory + least as u64), ROOM);
        let mut window = Window::with_shards(shard_bits, most_runs, width, 7, &cache).unwrap();
        let mut latest = HashMap::new();
        let mut offset = 7i64;
        for (number_of_step, (step, number, content, chance)) in steps.into_iter().enumerate() {
            offset += if chance == 0 { GREATEST_POSITION - 50 } else { step };
            let key = if collide { colliding(number) } else { key(u64::from(number)) };
            let at = Occurrence { offset, key, content };
            let expected = judge(&latest, width, at);
            prop_assert_eq!(window.observe(at).unwrap(), expected, "{:?}", at);
            latest.insert(at.key.0, (offset, content));
            if number_of_step % 64 == 0 {
                check_budgets(&window, &cache);
            }
        }
        check_budgets(&window, &cache);
        drop(window);
        prop_assert_eq!((cache.memory().used(), cache.disk().used()), (0, 0));
    }
}

/// The property above is worth something only if all of that happens.
#[test]
fn tiny_budgets_force_spills_merges_and_drops() {
    const WIDTH: i64 = 700;
    // A table of four groups has no room.
    let (_dir, cache) = cache(6_000, ROOM);
    let mut window = Window::with_shards(0, 2, WIDTH as u64, 0, &cache).unwrap();
    let mut latest = HashMap::new();
    let (mut spills, mut merges, mut drops) = (0, 0, 0);
    for offset in 0..8_000i64 {
        let old = window.shards[0].runs().iter().filter(|run| run.is_older_than(offset - WIDTH)).count();
        let before = window.in_memory().keys;
        let at = Occurrence { offset, key: key(offset as u64 * 7_919 % 1_000), content: 0 };
        assert_eq!(window.observe(at).unwrap(), judge(&latest, WIDTH as u64, at), "{at:?}");
        latest.insert(at.key.0, (offset, 0));
        let runs = runs(&window);
        spills += usize::from(window.in_memory().keys < before);
        merges = merges.max(usize::from(runs.iter().any(|keys| *keys > 4 * 56)));
        drops += usize::from(
            old > 0 && !window.shards[0].runs().iter().any(|run| run.is_older_than(offset - WIDTH)),
        );
        assert!(runs.len() <= 2, "{runs:?}");
        check_budgets(&window, &cache);
    }
    assert!(spills > 20 && merges > 0 && drops > 0, "{spills} {merges} {drops}");
}

#[test]
fn a_key_exactly_w_offsets_back_is_a_duplicate_and_one_further_is_not() {
    let (_dir, cache) = cache(4_000, ROOM);
    for (distance, expected) in [(0, Verdict::Duplicate), (10, Verdict::Duplicate), (11, Verdict::New)] {
        for on_disk in [false, true] {
            let mut window = Window::with_shards(0, 8, 10, 0, &cache).unwrap();
            let at = |offset| Occurrence { offset, key: key(1), content: 1 };
            assert_eq!(window.observe(at(5)).unwrap(), Verdict::New);
            if on_disk {
                window.spill(-5).unwrap();
                assert_eq!((window.in_memory().keys, window.on_disk().keys), (0, 1));
            }
            assert_eq!(window.observe(at(5 + distance)).unwrap(), expected, "{distance}");
        }
    }
}

/// From 1,024 keys a shard on; below that a shard's table is up to a group, 1,352 bytes, larger.
#[test]
fn a_key_in_memory_takes_28_bytes_at_most_also_while_the_window_grows() {
    for (shard_bits, keys) in [(0, 20_000u64), (4, 50_000), (8, 300_000)] {
        let shards = 1 << shard_bits;
        // Windows leave a sixteenth to newcomers. A shard that grows is there twice for a moment.
        let all = keys * 28 * (shards + 1) / shards;
        let (_dir, cache) = cache(all * 16 / 15 + 16, ROOM);
        let mut window = Window::with_shards(shard_bits, 8, 1 << 20, 0, &cache).unwrap();
        for number in 0..keys {
            let at = Occurrence { offset: number as i64, key: key(number), content: 0 };
            assert_eq!(window.observe(at).unwrap(), Verdict::New);
            if number >= 1_024 * shards {
                let (held, keys) = (cache.memory().used(), number + 1);
                assert!(held <= keys * 28, "{held} bytes for {keys} keys in {shards} shards");
            }
        }
        assert_eq!(window.on_disk(), Held::default());
        check_budgets(&window, &cache);
    }
}

#[test]
fn a_window_forgets_what_left_it_and_takes_no_more_memory_for_it() {
    const WIDTH: u64 = 20_000;
    let (_dir, cache) = cache(ROOM, ROOM);
    let mut window = Window::with_shards(4, 8, WIDTH, 0, &cache).unwrap();
    for offset in 0..(WIDTH as i64 * 8) {
        let at = Occurrence { offset, key: key(offset as u64), content: 0 };
        assert_eq!(window.observe(at).unwrap(), Verdict::New);
    }
    let held = window.in_memory();
    assert!(held.bytes <= WIDTH * 29, "{held:?}: shards differ a little in how many keys they get");
    assert_eq!(window.on_disk(), Held::default());
}

/// A key on disk has 2.5 bytes of memory at most: its part of a filter and of a fence.
#[test]
fn a_key_on_disk_takes_2_bytes_and_a_half_of_memory_at_most() {
    const KEYS: u64 = 100_000;
    let (_dir, cache) = cache(1 << 20, ROOM);
    let mut window = Window::with_shards(0, 8, 1 << 20, 0, &cache).unwrap();
    for number in 0..KEYS {
        let at = Occurrence { offset: number as i64, key: key(number), content: 0 };
        window.observe(at).unwrap();
    }
    window.spill(0).unwrap();
    let (memory, disk) = (window.in_memory(), window.on_disk());
    assert_eq!((memory.keys, disk.keys), (0, KEYS));
    assert!(memory.bytes * 10 <= KEYS * 25, "{memory:?}");
    assert!(disk.bytes <= KEYS * 25, "{disk:?}");
}

#[test]
fn a_window_goes_on_when_its_filters_outgrow_memory() {
    const KEYS: u64 = 20_000;
    let (_dir, cache) = cache(24 << 10, ROOM);
    let mut window = Window::with_shards(0, 2, 1 << 20, 0, &cache).unwrap();
    for number in 0..KEYS {
        let at = Occurrence { offset: number as i64, key: key(number), content: 0 };
        assert_eq!(window.observe(at).unwrap(), Verdict::New);
    }
    assert!(window.moves().filters_dropped > 0);
    check_budgets(&window, &cache);
    for number in (0..KEYS).step_by(97) {
        let at = Occurrence { offset: KEYS as i64, key: key(number), content: number as u32 % 2 };
        let expected = if number % 2 == 0 { Verdict::Duplicate } else { Verdict::Conflict };
        assert_eq!(window.observe(at).unwrap(), expected);
    }
}

#[test]
fn a_full_cache_is_an_error_that_remembers_nothing_and_room_mends() {
    let (_dir, cache) = cache(10_000, 1 << 20);
    let mut window = Window::new(1 << 20, 0, &cache).unwrap();
    let others = cache.disk().take(1 << 20).unwrap();
    let at = |number: i64, content| Occurrence { offset: number, key: key(number as u64), content };
    let mut offset = 0;
    let error = loop {
        match window.observe(at(offset, 0)) {
            Ok(_) => offset += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("cache.budget"), "{error}");
    assert!(window.observe(at(offset, 0)).is_err(), "the lane waits");
    // A key that is known takes no room.
    let again = Occurrence { offset, ..at(offset - 1, 0) };
    assert_eq!(window.observe(again).unwrap(), Verdict::Duplicate);
    check_budgets_with(&window, &cache, others.bytes());
    drop(others);
    assert_eq!(window.observe(at(offset, 0)).unwrap(), Verdict::New);
    assert_eq!(window.observe(at(offset, 1)).unwrap(), Verdict::Conflict);
    for number in 0..offset - 1 {
        let again = Occurrence { offset, ..at(number, 0) };
        assert_eq!(window.observe(again).unwrap(), Verdict::Duplicate, "{number}");
    }
}

#[track_caller]
fn check_budgets_with(window: &Window, cache: &Cache, others: u64) {
    assert_eq!(cache.memory().used(), window.in_memory().bytes);
    assert_eq!(cache.disk().used(), window.on_disk().bytes + others);
}

/// The first window has all the memory and stands still; another comes.
#[test]
fn lanes_share_the_memory_and_one_that_goes_leaves_it_to_the_others() {
    const KEYS: u64 = 20_000;
    let (_dir, cache) = cache(256 << 10, ROOM);
    let observe = |window: &mut Window, numbers: std::ops::Range<u64>, verdict| {
        for number in numbers {
            let at = Occurrence { offset: 0, key: key(number), content: 0 };
            assert_eq!(window.observe(at).unwrap(), verdict);
        }
    };
    let mut first = Window::with_shards(3, 8, 1 << 20, 0, &cache).unwrap();
    observe(&mut first, 0..KEYS, Verdict::New);
    let alone = first.in_memory().bytes;
    assert!(alone > 180 << 10, "{alone}: it may have nearly all");

    let mut second = Window::with_shards(3, 8, 1 << 20, 0, &cache).unwrap();
    observe(&mut second, 0..KEYS / 2, Verdict::New);
    assert!(second.in_memory().bytes < 64 << 10, "nothing was given back yet");
    for _ in 0..100 {
        first.give_back();
    }
    observe(&mut second, KEYS / 2..KEYS, Verdict::New);
    for _ in 0..100 {
        first.give_back();
        second.give_back();
    }
    observe(&mut second, KEYS..2 * KEYS, Verdict::New);
    for _ in 0..100 {
        first.give_back();
    }
    let (one, other) = (first.in_memory().bytes, second.in_memory().bytes);
    assert!(one <= 128 << 10 && other >= 90 << 10, "{one} and {other}");
    observe(&mut first, 0..KEYS, Verdict::Duplicate);
    observe(&mut second, 0..2 * KEYS, Verdict::Duplicate);

    drop(first);
    observe(&mut second, 2 * KEYS..4 * KEYS, Verdict::New);
    assert!(second.in_memory().bytes > 180 << 10, "{:?}", second.in_memory());
    drop(second);
    assert_eq!((cache.memory().used(), cache.disk().used()), (0, 0));
}

#[test]
fn the_number_of_shards_follows_memory_and_width() {
    for (memory, width, shards) in [
        (512 << 20, 1 << 22, 256),
        (512 << 20, 30, 1),
        (1 << 19, 1 << 22, 16),
        (4 << 30, 1 << 22, 2_048),
        (1 << 19, MAX_WIDTH, 4_096),
    ] {
        let (_dir, cache) = cache(memory, ROOM);
        assert_eq!(Window::new(width, 0, &cache).unwrap().shards.len(), shards, "{memory} {width}");
    }
}

/// A window that is alone and stands still makes room for those that are expected, before they come.
#[test]
fn a_window_gives_back_what_those_that_are_expected_need() {
    let (_dir, cache) = cache(256 << 10, ROOM);
    let mut first = Window::with_shards(3, 8, 1 << 20, 0, &cache).unwrap();
    for number in 0..7_000 {
        let at = Occurrence { offset: 0, key: key(number), content: 0 };
        assert_eq!(first.observe(at).unwrap(), Verdict::New);
    }
    let alone = first.in_memory().bytes;
    assert!(!first.give_back(), "{alone}: nobody wants it");
    let expected = cache.expect(3);
    while first.give_back() {}
    let shared = first.in_memory().bytes;
    assert!(alone > 128 << 10 && shared <= 64 << 10, "{alone}, then {shared}");

    let one = Window::begin(1 << 20, 0, &expected).unwrap();
    assert_eq!(cache.filling_bound(), 60 << 10, "one has come, two are expected");
    drop(expected);
    assert_eq!(cache.filling_bound(), 120 << 10, "no more will come");
    drop((first, one));
    assert_eq!(cache.filling_bound(), 240 << 10);
}

/// A window whose keys are all on disk, and that then sees one key again and again, which is in memory.
#[test]
fn what_has_left_the_window_on_disk_goes_without_a_spill() {
    const WIDTH: i64 = 1_000;
    let (_dir, cache) = cache(ROOM, ROOM);
    let mut window = Window::with_shards(3, 8, WIDTH as u64, 0, &cache).unwrap();
    let at = |offset: i64, number: i64| Occurrence { offset, key: key(number as u64), content: 0 };
    for offset in 0..WIDTH {
        window.observe(at(offset, offset)).unwrap();
    }
    while window.in_memory().keys > 0 {
        window.spill(0).unwrap();
    }
    let (before, spilled) = (window.in_memory().bytes, window.on_disk());
    assert_eq!(spilled.keys, WIDTH as u64);
    // Another table takes more than the filters that went; the key's own shard makes room for it.
    let shard_runs = |window: &Window, number: usize| window.shards[number].runs().len();
    let number = window.shard(halves(key(0)).0);
    assert_eq!(window.observe(at(2 * WIDTH, 0)).unwrap(), Verdict::New);
    assert_eq!(shard_runs(&window, number), 0, "room was made in this shard");
    assert!(window.on_disk().keys > 0, "and in no other");
    for _ in 0..8 {
        assert!(!window.give_back());
    }
    assert_eq!(window.on_disk(), Held::default());
    let table = window.shards[number].table.bytes() as u64;
    assert!(window.in_memory().bytes < before + table, "filters and fences went too");
    check_budgets(&window, &cache);
}

/// A window of two shards of which each has keys in memory and on disk that have left it, and others
/// on disk that have not.
fn half_old(cache: &Cache) -> (Window, i64) {
    const WIDTH: i64 = 2_000;
    let mut window = Window::with_shards(1, 8, WIDTH as u64, 0, cache).unwrap();
    for offset in 0..2 * WIDTH {
        let at = Occurrence { offset, key: key(offset as u64), content: 0 };
        assert_eq!(window.observe(at).unwrap(), Verdict::New);
        if (offset + 1) % WIDTH == 0 {
            while window.in_memory().keys > 0 {
                window.spill(0).unwrap();
            }
        }
    }
    (window, WIDTH)
}

/// Filters of runs that have left the window go before those that are needed.
#[test]
fn no_filter_is_dropped_while_old_runs_have_some() {
    let (_dir, cache) = cache(ROOM, ROOM);
    let (mut window, oldest) = half_old(&cache);
    let filters =
        |window: &Window| window.shards.iter().map(|shard| shard.filter_bytes()).collect::<Vec<_>>();
    let (before, runs_before) = (filters(&window), runs(&window));
    assert_eq!(runs_before.len(), 4, "an old run and one that is needed in each shard");
    assert!(window.drop_filter(oldest));
    assert_eq!(runs(&window), [runs_before[1], runs_before[3]], "the old runs went");
    for (before, after) in before.into_iter().zip(filters(&window)) {
        assert!(0 < after && after < before, "of {before} bytes of filters the needed are left: {after}");
    }
    assert_eq!(window.moves().filters_dropped, 0);
    assert!(window.drop_filter(oldest) && window.drop_filter(oldest), "then those that are needed");
    assert_eq!((filters(&window), window.moves().filters_dropped), (vec![0, 0], 2));
    assert!(!window.drop_filter(oldest), "there is none any more");
    check_budgets(&window, &cache);
}

/// A lane that stands still, all of whose keys are on disk.
#[test]
fn a_window_of_filters_gives_back_what_is_beyond_its_share() {
    let (_dir, cache) = cache(64 << 10, ROOM);
    let (mut window, _) = half_old(&cache);
    let alone = window.in_memory();
    assert_eq!(alone.keys, 0, "nothing but filters");
    assert!(!window.give_back(), "nobody wants it");
    let expected = cache.expect(63);
    while window.give_back() {}
    let shared = window.in_memory().bytes;
    assert!(shared <= 1 << 10 && 4 << 10 < alone.bytes, "{alone:?}, then {shared}");
    drop(expected);
    for number in 2_000..4_000 {
        let at = Occurrence { offset: 4_000, key: key(number), content: 0 };
        assert_eq!(window.observe(at).unwrap(), Verdict::Duplicate, "{number}");
    }
    check_budgets(&window, &cache);
}

/// The disk is full, and others have the rest of the memory.
#[test]
fn where_nothing_else_makes_room_filters_do() {
    let (_dir, cache) = cache(64 << 10, 1 << 20);
    let (mut window, _) = half_old(&cache);
    let disk = cache.disk().take((1 << 20) - cache.disk().used()).unwrap();
    let memory = cache.memory().take((64 << 10) - cache.memory().used()).unwrap();
    let at = |number: u64| Occurrence { offset: 4_000, key: key(number), content: 0 };
    let mut number = 10_000;
    let error = loop {
        match window.observe(at(number)) {
            Ok(verdict) => assert_eq!(verdict, Verdict::New),
            Err(error) => break error,
        }
        number += 1;
    };
    assert!(number > 10_000 + 53, "{number}: the filters made room for a table at least");
    assert_eq!(window.shards.iter().map(|shard| shard.filter_bytes()).sum::<usize>(), 0, "{error}");
    drop((disk, memory));
    assert_eq!(window.observe(at(number)).unwrap(), Verdict::New);
    assert_eq!(window.observe(at(2_000)).unwrap(), Verdict::Duplicate);
    check_budgets(&window, &cache);
}

/// Others have all the memory but what the window holds.
#[test]
fn runs_are_merged_in_the_room_of_their_filters() {
    const KEYS: u64 = 2_400;
    let (_dir, cache) = cache(64 << 10, ROOM);
    let mut window = Window::with_shards(0, 8, 1 << 20, 0, &cache).unwrap();
    let at = |offset: u64, number: u64| Occurrence { offset: offset as i64, key: key(number), content: 0 };
    for number in 0..KEYS {
        assert_eq!(window.observe(at(number, number)).unwrap(), Verdict::New);
        if (number + 1) % 400 == 0 {
            window.spill(0).unwrap();
        }
    }
    assert_eq!(runs(&window), [400; 6]);
    let others = cache.memory().take((64 << 10) - cache.memory().used()).unwrap();
    let before = window.in_memory().bytes;
    window.most_runs = 3;
    window.merge(0, 0);
    assert_eq!((runs(&window).len(), window.moves().merged), (3, 3));
    assert!(window.in_memory().bytes <= before);
    drop(others);
    for number in 0..KEYS {
        assert_eq!(window.observe(at(KEYS, number)).unwrap(), Verdict::Duplicate, "{number}");
    }
    check_budgets(&window, &cache);
}

#[test]
fn keys_that_have_left_the_window_need_no_disk_to_be_given_back() {
    let (_dir, cache) = cache(ROOM, 0);
    let mut window = Window::with_shards(0, 8, 10, 0, &cache).unwrap();
    window.observe(Occurrence { offset: 5, key: key(1), content: 0 }).unwrap();
    assert!(window.spill(5).is_err(), "there is no disk");
    assert_eq!(window.in_memory().keys, 1);
    window.spill(6).unwrap();
    assert_eq!(window.in_memory().keys, 0);
    check_budgets(&window, &cache);
}
