//! The window of de-duplication at 100 M ids: how fast it is when all of it is in memory, and when it
//! has 1 GiB and the rest is on disk.
//!
//! `cargo bench --bench window`, about three minutes, 3 GiB of memory and 4 GB of disk in the folder for
//! temporary files; `-- --keys N --memory MIB` for others. What it measured, on which machine, is in
//! docs/benchmarks.md.

use std::time::{Duration, Instant};

use odometer::dedup::{Cache, CacheSettings, Occurrence, Verdict, Window};
use odometer::event::EventKey;
use xxhash_rust::xxh3::xxh3_128;

/// Keys that a lane looks for at once.
const AT_ONCE: u64 = 32;
/// One key in so many occurred half a window before: a duplicate that may lie anywhere.
const DUPLICATE_EVERY: u64 = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |name: &str, otherwise: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(otherwise, |at| arguments[at + 1].parse().expect("a number"))
    };
    let keys = argument("--keys", 100_000_000);
    let memory = argument("--memory", 960);
    println!(
        "{keys} ids, one in {DUPLICATE_EVERY} a duplicate of half a window before; filled, then an eighth more"
    );
    let all = measure("in memory", keys, keys * 30);
    let some = measure(&format!("{memory} MiB"), keys, memory << 20);
    println!("with less memory / in memory: {:.2}", some / all);
}

/// Answers with keys a second once the window is full.
fn measure(name: &str, width: u64, memory: u64) -> f64 {
    let dir = tempfile::tempdir().expect("a folder for the cache");
    let settings = CacheSettings { dir: dir.path().to_owned(), memory, budget: width * 80 };
    let cache = Cache::open(&settings).expect("a cache");
    let before = resident();
    let mut window = Window::new(width, 0, &cache).expect("room");
    let mut longest = Duration::ZERO;
    let started = Instant::now();
    let mut first_quarter = Duration::ZERO;
    for at in (0..width).step_by(AT_ONCE as usize) {
        longest = longest.max(observe(&mut window, at, width));
        if at < width / 4 {
            first_quarter = started.elapsed();
        }
    }
    let filled = started.elapsed();
    for at in (width..width + width / 8).step_by(AT_ONCE as usize) {
        longest = longest.max(observe(&mut window, at, width));
    }
    let full = started.elapsed() - filled;
    let (in_memory, on_disk) = (window.in_memory(), window.on_disk());
    let rate = |keys: u64, took: Duration| keys as f64 / took.as_secs_f64();
    let million = 1e6;
    println!(
        "{name}: filled at {:.2} M/s (its first quarter {:.2}), full {:.2} M/s, longest of {AT_ONCE} {longest:.1?}",
        rate(width, filled) / million,
        rate(width / 4, first_quarter) / million,
        rate(width / 8, full) / million,
    );
    println!(
        "  memory: {:.1} M keys, {} MiB with what belongs to the disk's; the process took {} MiB more",
        in_memory.keys as f64 / million,
        in_memory.bytes >> 20,
        (resident() - before) >> 20
    );
    println!("  disk: {:.1} M keys, {} MiB", on_disk.keys as f64 / million, on_disk.bytes >> 20);
    rate(width / 8, full)
}

fn observe(window: &mut Window, from: u64, width: u64) -> Duration {
    let started = Instant::now();
    let group: [Occurrence; AT_ONCE as usize] = std::array::from_fn(|ahead| {
        let offset = from + ahead as u64;
        let is_duplicate = offset.is_multiple_of(DUPLICATE_EVERY) && offset > width / 2;
        let number = if is_duplicate { offset - width / 2 + 1 } else { offset };
        let key = EventKey(xxh3_128(&number.to_le_bytes()));
        window.prefetch(key);
        Occurrence { offset: offset as i64, key, content: 1 }
    });
    for at in group {
        let offset = at.offset as u64;
        let is_duplicate = offset.is_multiple_of(DUPLICATE_EVERY) && offset > width / 2;
        let expected = if is_duplicate { Verdict::Duplicate } else { Verdict::New };
        assert_eq!(window.observe(at).expect("room"), expected, "at {offset}");
    }
    started.elapsed()
}

/// Bytes that the process holds for itself, without the page cache.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or_default();
    let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    kibibytes << 10
}
