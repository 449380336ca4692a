//! Runs simulated histories full of faults until one fails or the time is over.
//!
//! `cargo run --release --example simulate-faults -- --seconds 600` runs for ten minutes on every
//! core, `-- --seed 4711` replays one history and tells what happened in it.

#[path = "../tests/sim/mod.rs"]
mod sim;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// How long to run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Replay this history alone.
    #[arg(long)]
    seed: Option<u64>,
    /// So many histories, however long they take.
    #[arg(long, conflicts_with = "seconds")]
    histories: Option<u64>,
    /// The first seed of a run.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Threads; every core by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => replay(seed),
        None => run(&arguments),
    }
}

fn replay(seed: u64) -> ExitCode {
    match sim::run(seed, true) {
        Ok(outcome) => {
            println!("seed {seed}: {} steps, nothing wrong", outcome.steps);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            for line in &failure.story {
                println!("{line}");
            }
            println!("seed {seed}, step {}: {}", failure.step, failure.what);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let next = AtomicU64::new(arguments.from);
    let failed = AtomicBool::new(false);
    let sum = Mutex::new(sim::Summary::default());
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let end = arguments.histories.map_or(u64::MAX, |histories| arguments.from.saturating_add(histories));
    let is_over = || arguments.histories.is_none() && Instant::now() >= until;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over() && !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match sim::run(seed, false) {
                        Ok(outcome) => sum.lock().expect("no thread panics").add(&outcome),
                        Err(failure) => {
                            failed.store(true, Ordering::Relaxed);
                            eprintln!("{}", sim::explain(&failure));
                        }
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics");
    println!("seeds {} to {}\n{sum}", arguments.from, (next.into_inner() - 1).min(end - 1));
    if failed.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
