//! Gives the decoders damaged records for as long as wanted. None may panic, a decoder that has read
//! all records before must say of each what one says that reads everything in full, and of every so
//! many the audit's own decoder must say the same.
//!
//! `cargo run --release --example fuzz-decoders -- --executions 100000000`. A failure prints its seed
//! and the record; `--seed` repeats the run that starts with it.

#[path = "../tests/it/differential/compare.rs"]
mod compare;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use odometer::decode::Decoder;
use odometer::event::{Format, Rules};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Records between two that are compared with the audit's decoder.
const COMPARED_ONE_IN: u64 = 64;
/// Records that are made from one seed.
const ROUND: u64 = 10_000;
/// Fixtures of one round.
const SAMPLES: usize = 8;
const MOST_BYTES: usize = 4_000;
/// What damaged JSON is made of.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\/",
    "null",
    "true",
    "1e999",
    "-0",
    "0.1",
    "9007199254740993",
    "\"id\":",
    "\"time\":",
    "\"data\":{",
    "\"request\":{\"id\":",
    "\"subject\":\"\"",
    "\u{feff}",
];

#[derive(Parser)]
struct Arguments {
    /// How many records, over all formats and threads.
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// The first round's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; every core by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let corpus = corpus();
    let rounds = arguments.executions.div_ceil(ROUND);
    let (next, known, is_failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or_else(cores) {
            scope.spawn(|| {
                while !is_failed.load(Ordering::Relaxed) {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= rounds {
                        return;
                    }
                    let seed = arguments.seed + round;
                    match std::panic::catch_unwind(|| run_round(seed, &corpus)) {
                        Ok(hits) => drop(known.fetch_add(hits, Ordering::Relaxed)),
                        Err(_) => {
                            is_failed.store(true, Ordering::Relaxed);
                            eprintln!(
                                "seed {seed}: repeat it with --seed {seed} --executions {ROUND} --threads 1"
                            );
                        }
                    }
                }
            });
        }
    });
    if is_failed.into_inner() {
        return ExitCode::FAILURE;
    }
    println!(
        "{} damaged records over {} rules from seed {} on, all compared with reading in full ({} events had \
         a known shape), one in {COMPARED_ONE_IN} with the audit's decoder, {} s: nothing wrong",
        rounds * ROUND,
        compare::all_rules().len(),
        arguments.seed,
        known.into_inner(),
        began.elapsed().as_secs()
    );
    ExitCode::SUCCESS
}

/// Every fixture, by its format.
fn corpus() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    ["cloudevents", "kafka-log", "batch"]
        .into_iter()
        .map(|format| {
            let folder = std::fs::read_dir(fixtures.join(format)).expect("the fixtures are there");
            let mut files: Vec<_> = folder.map(|entry| entry.expect("a fixture").path()).collect();
            files.sort();
            (format, files.iter().map(|file| std::fs::read(file).expect("a fixture")).collect())
        })
        .collect()
}

/// How many events had a shape that the decoder knew.
fn run_round(seed: u64, corpus: &BTreeMap<&'static str, Vec<Vec<u8>>>) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rules = compare::all_rules();
    let rules = &rules[random.random_range(0..rules.len())];
    let mut decoder = Decoder::new(compare::TOPIC, rules).expect("rules are sound");
    let mut in_full = Decoder::in_full(compare::TOPIC, rules).expect("rules are sound");
    let mut samples = corpus[format_name(rules)].clone();
    // Few enough that the decoder gets to know them.
    samples.shuffle(&mut random);
    samples.truncate(SAMPLES);
    for number in 0..ROUND {
        let sample = &samples[random.random_range(0..samples.len())];
        let value = damaged(sample, &samples, &mut random);
        if number % COMPARED_ONE_IN == 0 {
            compare::agree(rules, Some(&value), Vec::new(), None);
        }
        compare::agree_in_full(&mut decoder, &mut in_full, sample, &[]);
        compare::agree_in_full(&mut decoder, &mut in_full, &value, &[]);
    }
    decoder.events_of_known_shape()
}

fn format_name(rules: &Rules) -> &'static str {
    match rules.format {
        Format::Cloudevents => "cloudevents",
        Format::KafkaLog => "kafka-log",
        Format::Batch => "batch",
    }
}

/// Half of them with one damage: they are the ones that look most like what was read before.
fn damaged(sample: &[u8], samples: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut value = sample.to_vec();
    let damages = if random.random() { 1 } else { random.random_range(2..=6) };
    for _ in 0..damages {
        damage(&mut value, samples, random);
    }
    value.truncate(MOST_BYTES);
    value
}

fn damage(value: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let at = random.random_range(0..=value.len());
    let to = random.random_range(at..=value.len().min(at + 64));
    match random.random_range(0..7) {
        0 => value.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
        1 => value.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.random()),
        2 => drop(value.drain(at..to)),
        3 => {
            let again = value[at..to].to_vec();
            value.splice(at..at, again);
        }
        4 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            value.splice(at..to, token.bytes());
        }
        5 => {
            let other = &samples[random.random_range(0..samples.len())];
            let from = random.random_range(0..=other.len());
            let until = random.random_range(from..=other.len());
            value.splice(at..to, other[from..until].iter().copied());
        }
        _ => value.truncate(at),
    }
}
