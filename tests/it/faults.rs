//! The simulation of `tests/sim`, for as long as a test may take: many histories, each kind of fault
//! many times. `examples/simulate-faults.rs` runs it for hours.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::sim;

const HISTORIES: u64 = 18_000;
const LEAST_STEPS: u64 = 200;
const LEAST_OF_EACH: u64 = 1_000;
/// Lines of a failed history's story that are worth reading first.
const LAST_LINES: usize = 60;

#[test]
fn no_fault_changes_a_count() {
    let next = AtomicU64::new(1);
    let is_failed = AtomicBool::new(false);
    let sum = Mutex::new(sim::Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > HISTORIES {
                        return;
                    }
                    match sim::run(seed, false) {
                        Ok(outcome) => sum.lock().unwrap().add(&outcome),
                        Err(failure) => {
                            is_failed.store(true, Ordering::Relaxed);
                            tell(&failure);
                        }
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    // As the test's own output it would be shown only where it fails.
    writeln!(std::io::stdout(), "{sum}").expect("say what was simulated");
    assert!(!is_failed.into_inner(), "a history failed, see above");
    assert!(sum.least_steps >= Some(LEAST_STEPS), "a history was short");
    let rare: Vec<_> = sum.tally.each().filter(|(_, times)| *times < LEAST_OF_EACH).collect();
    assert!(rare.is_empty(), "faults that happened fewer than {LEAST_OF_EACH} times: {rare:?}");
}

fn tell(failure: &sim::Failure) {
    if let Err(told) = sim::run(failure.seed, true) {
        let from = told.story.len().saturating_sub(LAST_LINES);
        for line in &told.story[from..] {
            eprintln!("{line}");
        }
    }
    eprintln!("{}", sim::explain(failure));
}
