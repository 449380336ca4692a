//! Gives the decoders damaged records for as long as wanted. None may panic, and of every so many
//! the audit's own decoder must say the same.
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
use odometer::decode::{Decoded, Decoder};
use odometer::event::{Format, NoHeaders, Record, Rules};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Records between two that are compared with the audit's decoder.
const COMPARED_ONE_IN: u64 = 64;
/// Records that are made from one seed.
const ROUND: u64 = 10_000;
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
    let (next, is_failed) = (AtomicU64::new(0), AtomicBool::new(false));
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
                    if std::panic::catch_unwind(|| run_round(seed, &corpus)).is_err() {
                        is_failed.store(true, Ordering::Relaxed);
                        eprintln!(
                            "seed {seed}: repeat it with --seed {seed} --executions {ROUND} --threads 1"
                        );
                    }
                }
            });
        }
    });
    if is_failed.into_inner() {
        return ExitCode::FAILURE;
    }
    println!(
        "{} records over {} rules from seed {} on, one in {COMPARED_ONE_IN} compared with the audit's decoder, \
         {} s: nothing wrong",
        rounds * ROUND,
        compare::all_rules().len(),
        arguments.seed,
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

fn run_round(seed: u64, corpus: &BTreeMap<&'static str, Vec<Vec<u8>>>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rules = compare::all_rules();
    let rules = &rules[random.random_range(0..rules.len())];
    let mut decoder = Decoder::new(compare::TOPIC, rules).expect("rules are sound");
    let samples = &corpus[format_name(rules)];
    for number in 0..ROUND {
        let value = damaged(samples, &mut random);
        if number % COMPARED_ONE_IN == 0 {
            compare::agree(rules, Some(&value), Vec::new(), None);
        }
        decode(&mut decoder, &value);
    }
}

fn format_name(rules: &Rules) -> &'static str {
    match rules.format {
        Format::Cloudevents => "cloudevents",
        Format::KafkaLog => "kafka-log",
        Format::Batch => "batch",
    }
}

fn decode(decoder: &mut Decoder, value: &[u8]) {
    let record = Record {
        topic: compare::TOPIC,
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        value: Some(value),
        headers: &NoHeaders,
    };
    decoder.decode(&record, &mut |index, raw, decoded| {
        // Whoever is rejected is sent on alone, so that has to work on anything as well.
        if let Decoded::Rejected { .. } = decoded {
            std::hint::black_box(raw.encode_alone(&record));
        }
        std::hint::black_box(index);
    });
}

fn damaged(samples: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut value = samples[random.random_range(0..samples.len())].clone();
    for _ in 0..random.random_range(1..=6) {
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
