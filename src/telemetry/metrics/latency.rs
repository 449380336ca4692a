//! Durations in histograms of high dynamic range. A thread records into a histogram of its own, so
//! that writers never wait for each other, nor for a reader.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use ::metrics::HistogramFn;
use hdrhistogram::Histogram;

use super::registry;

#[cfg(test)]
mod tests;

/// Significant digits of a recorded value: quantiles are exact to 1 %, and a histogram that spans
/// microseconds to days takes 31 KB.
const DIGITS: u8 = 2;
const MICROSECONDS: f64 = 1_000_000.0;
/// 11 days; what takes longer is recorded as this.
const LONGEST_US: u64 = 1_000_000_000_000;
/// Quantiles speak of the last one to two of these, counts and sums of the whole process's life.
const SPAN: Duration = Duration::from_secs(60);
const QUANTILES: &[(&str, f64)] = &[("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("0.999", 0.999)];

/// Names and values, in the order in which they were given.
type Labels = Vec<(String, String)>;

/// Every latency of the process, by name and labels.
#[derive(Default)]
pub struct Latencies {
    all: RwLock<BTreeMap<(String, Labels), Arc<Latency>>>,
}

impl Latencies {
    pub fn of(&self, name: &str, labels: Labels) -> Arc<Latency> {
        let key = (name.to_owned(), labels);
        let known = self.all.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(key).or_default().clone()
        })
    }

    /// Writes all as Prometheus' summaries.
    pub fn render(&self, now: Instant, text: &mut String) {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut last_name = "";
        for ((name, labels), latency) in all.iter() {
            if name != last_name {
                last_name = name;
                let meaning = registry::find(name).map_or("", |metric| metric.meaning);
                let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} summary");
            }
            latency.summary(now).write(name, labels, text);
        }
    }
}

/// One duration that is measured again and again.
pub struct Latency {
    /// Tells it from others in a thread's own map.
    number: u64,
    threads: Mutex<Vec<Arc<Slot>>>,
    merged: Mutex<Merged>,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SLOTS: RefCell<HashMap<u64, Arc<Slot>>> = RefCell::default();
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            threads: Mutex::default(),
            merged: Mutex::default(),
        }
    }
}

impl HistogramFn for Latency {
    fn record(&self, seconds: f64) {
        // A cast saturates, and makes 0 of what is no number.
        let microseconds = ((seconds * MICROSECONDS).round() as u64).min(LONGEST_US);
        SLOTS.with_borrow_mut(|slots| {
            let slot = slots.entry(self.number).or_insert_with(|| {
                let slot = Arc::new(Slot::default());
                lock(&self.threads).push(slot.clone());
                slot
            });
            slot.record(microseconds);
        });
    }
}

impl Latency {
    fn summary(&self, now: Instant) -> Summary {
        let mut merged = lock(&self.merged);
        merged.turn(now);
        lock(&self.threads).retain(|slot| {
            slot.drain(&mut merged);
            // A thread that has ended leaves its slot to us alone.
            Arc::strong_count(slot) > 1
        });
        merged.summary()
    }
}

/// What one thread has recorded since it was last read: two halves, of which a reader holds at most
/// one, so that the thread always finds a free one.
#[derive(Default)]
struct Slot {
    halves: [Mutex<Half>; 2],
}

impl Slot {
    fn record(&self, microseconds: u64) {
        loop {
            for half in &self.halves {
                match half.try_lock() {
                    Ok(mut half) => return half.record(microseconds),
                    Err(TryLockError::Poisoned(half)) => return half.into_inner().record(microseconds),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
        }
    }

    fn drain(&self, merged: &mut Merged) {
        for half in &self.halves {
            let mut half = lock(half);
            merged.take(&half);
            half.clear();
        }
    }
}

struct Half {
    histogram: Histogram<u64>,
    sum_us: u64,
}

impl Default for Half {
    fn default() -> Self {
        Self { histogram: empty(), sum_us: 0 }
    }
}

impl Half {
    fn record(&mut self, microseconds: u64) {
        self.histogram.record(microseconds).expect("histograms grow as they need");
        self.sum_us = self.sum_us.saturating_add(microseconds);
    }

    fn clear(&mut self) {
        self.histogram.reset();
        self.sum_us = 0;
    }
}

/// What all threads have recorded.
struct Merged {
    /// This span and the one before.
    spans: [Histogram<u64>; 2],
    span_started: Option<Instant>,
    count: u64,
    sum_us: u128,
}

impl Default for Merged {
    fn default() -> Self {
        Self { spans: [empty(), empty()], span_started: None, count: 0, sum_us: 0 }
    }
}

impl Merged {
    /// Begins a new span where the last one is over.
    fn turn(&mut self, now: Instant) {
        let started = *self.span_started.get_or_insert(now);
        if now.duration_since(started) >= SPAN {
            self.spans.swap(0, 1);
            self.spans[0].reset();
            self.span_started = Some(now);
        }
    }

    fn take(&mut self, half: &Half) {
        self.count += half.histogram.len();
        self.sum_us += u128::from(half.sum_us);
        self.spans[0].add(&half.histogram).expect("histograms grow as they need");
    }

    fn summary(&self) -> Summary {
        let mut recent = self.spans[0].clone();
        recent.add(&self.spans[1]).expect("histograms grow as they need");
        let value =
            |quantile| (!recent.is_empty()).then(|| recent.value_at_quantile(quantile) as f64 / MICROSECONDS);
        Summary {
            quantiles: QUANTILES.iter().map(|(name, quantile)| (*name, value(*quantile))).collect(),
            count: self.count,
            sum: self.sum_us as f64 / MICROSECONDS,
        }
    }
}

struct Summary {
    /// In seconds; `None` where nothing was recorded lately.
    quantiles: Vec<(&'static str, Option<f64>)>,
    count: u64,
    /// Seconds.
    sum: f64,
}

impl Summary {
    fn write(&self, name: &str, labels: &Labels, text: &mut String) {
        for (quantile, value) in &self.quantiles {
            let labels = written(labels, Some(quantile));
            let _ = match value {
                Some(value) => writeln!(text, "{name}{labels} {value}"),
                None => writeln!(text, "{name}{labels} NaN"),
            };
        }
        let labels = written(labels, None);
        let _ = writeln!(text, "{name}_sum{labels} {}\n{name}_count{labels} {}", self.sum, self.count);
    }
}

fn written(labels: &Labels, quantile: Option<&str>) -> String {
    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let written: Vec<String> = labels
        .chain(quantile.map(|value| ("quantile", value)))
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if written.is_empty() { String::new() } else { format!("{{{}}}", written.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("a sound number of digits")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
