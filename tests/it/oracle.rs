//! A second implementation of what the contract says about counting, by the plainest means: every
//! record of a lane in order, a hash map of keys, sums in a tree. It shares no code with the
//! product and knows nothing of blocks, shards or windows that are written to disk.

mod batch;
mod cloudevents;
mod json;
mod kafka_log;
mod register;
mod time;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use crate::support::kafka::KafkaRecord;

use register::Register;
pub use time::{bounds as month_bounds, rfc3339};

/// 2000-01-01 and 2100-01-01.
const EARLIEST_MS: i64 = 946_684_800_000;
const LATEST_MS: i64 = 4_102_444_800_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    CloudEvents,
    KafkaLog,
    Batch,
}

/// What of the configuration decides about counting.
#[derive(Clone, Debug)]
pub struct Rules {
    pub format: Format,
    /// Dotted paths, for kafka-log.
    pub organization: &'static str,
    pub region: &'static str,
    pub default_region: &'static str,
    pub dedup_window: i64,
    pub accept_past_ms: i64,
    pub accept_future_ms: i64,
    pub max_event_bytes: usize,
    /// Meters that sum up `data.value` of events of a type: (meter, type).
    pub sums: Vec<(&'static str, &'static str)>,
}

/// (organization, region, meter, month), the month as in `2026-11`.
pub type UsageKey = (String, String, String, String);

/// (topic, partition, offset, index)
pub type Identity = (String, i32, i64, u32);

/// What all lanes together give.
#[derive(Debug, Default)]
pub struct Totals {
    pub counted: u64,
    pub duplicate: u64,
    pub ignored: BTreeMap<&'static str, u64>,
    /// Every rejected event and its reason.
    pub rejected: BTreeMap<Identity, &'static str>,
    /// Values above 0 only.
    pub usage: BTreeMap<UsageKey, u64>,
    pub register: Register,
}

impl Totals {
    pub fn received(&self) -> u64 {
        self.counted + self.duplicate + self.rejected.len() as u64 + self.ignored.values().sum::<u64>()
    }

    pub fn reasons(&self) -> BTreeMap<&'static str, u64> {
        let mut reasons = BTreeMap::new();
        for reason in self.rejected.values() {
            *reasons.entry(*reason).or_default() += 1;
        }
        reasons
    }

    pub fn add(&mut self, other: Self) {
        self.counted += other.counted;
        self.duplicate += other.duplicate;
        self.rejected.extend(other.rejected);
        for (detail, count) in other.ignored {
            *self.ignored.entry(detail).or_default() += count;
        }
        for (key, value) in other.usage {
            *self.usage.entry(key).or_default() += value;
        }
        self.register.add(other.register);
    }
}

/// One event as its format's reader understood it.
enum Verdict {
    Rejected(&'static str),
    Ignored(&'static str),
    Sound(Sound),
}

pub struct Sound {
    organization: String,
    source: String,
    id: String,
    time_ms: i64,
    region: String,
    what: What,
}

pub enum What {
    Usage { meter: String, quantity: u64 },
    Service { service: String, event_type: String, published: Option<bool>, version: i64 },
}

impl Sound {
    fn key(&self) -> String {
        format!("{}\0{}\0{}", self.organization, self.source, self.id)
    }

    /// The billed content.
    fn content(&self) -> String {
        match &self.what {
            What::Usage { meter, quantity } => {
                format!("{} {meter} {} {quantity}", self.time_ms.div_euclid(3_600_000), self.region)
            }
            What::Service { service, event_type, published, .. } => {
                format!("{service}\0{event_type}\0{}\0{published:?}", self.region)
            }
        }
    }
}

/// One topic's lanes.
pub struct Oracle {
    rules: Rules,
    topic: String,
    lanes: BTreeMap<i32, Lane>,
    totals: Totals,
}

#[derive(Default)]
struct Lane {
    next_offset: i64,
    /// Key → offset and content of its latest occurrence.
    seen: HashMap<String, (i64, String)>,
}

impl Oracle {
    pub fn new(topic: &str, rules: Rules) -> Self {
        Self { rules, topic: topic.to_owned(), lanes: BTreeMap::new(), totals: Totals::default() }
    }

    /// The next records are judged by these; what was seen before stays as it was seen.
    pub fn set_rules(&mut self, rules: &Rules) {
        self.rules = rules.clone();
    }

    /// Takes the next record of its partition and returns its offset.
    pub fn read(&mut self, record: &KafkaRecord) -> i64 {
        let verdicts = self.verdicts(record);
        let lane = self.lanes.entry(record.partition).or_default();
        let offset = lane.next_offset;
        lane.next_offset += 1;
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let verdict = match verdict {
                Verdict::Sound(sound) => {
                    judge(&self.rules, lane, offset, record.timestamp_ms, &sound).map(|()| sound)
                }
                Verdict::Rejected(reason) => Err(Outcome::Rejected(reason)),
                Verdict::Ignored(detail) => Err(Outcome::Ignored(detail)),
            };
            match verdict {
                Ok(sound) => count(&mut self.totals, sound),
                Err(Outcome::Duplicate) => self.totals.duplicate += 1,
                Err(Outcome::Ignored(detail)) => *self.totals.ignored.entry(detail).or_default() += 1,
                Err(Outcome::Rejected(reason)) => {
                    let identity = (self.topic.clone(), record.partition, offset, index as u32);
                    self.totals.rejected.insert(identity, reason);
                }
            }
        }
        offset
    }

    /// How many events were rejected so far.
    pub fn rejected(&self) -> usize {
        self.totals.rejected.len()
    }

    /// How many events were read so far.
    pub fn received(&self) -> u64 {
        self.totals.received()
    }

    /// The offset after the last record, by partition.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        self.lanes.iter().map(|(&partition, lane)| (partition, lane.next_offset)).collect()
    }

    pub fn totals(self) -> Totals {
        self.totals
    }

    fn verdicts(&self, record: &KafkaRecord) -> Vec<Verdict> {
        let Some(value) = &record.value else { return vec![Verdict::Rejected("malformed")] };
        if value.len() > self.rules.max_event_bytes {
            return vec![Verdict::Rejected("too_large")];
        }
        match self.rules.format {
            Format::CloudEvents => cloudevents::read(&self.rules, record, value),
            Format::KafkaLog => kafka_log::read(&self.rules, value),
            Format::Batch => batch::read(&self.rules, value),
        }
    }
}

enum Outcome {
    Duplicate,
    Rejected(&'static str),
    Ignored(&'static str),
}

/// The last checks, of an event that is whole: time, then its key.
fn judge(
    rules: &Rules,
    lane: &mut Lane,
    offset: i64,
    record_ms: Option<i64>,
    sound: &Sound,
) -> Result<(), Outcome> {
    let age = record_ms.map(|record_ms| record_ms - sound.time_ms);
    if sound.time_ms < EARLIEST_MS || age.is_some_and(|age| age > rules.accept_past_ms) {
        return Err(Outcome::Rejected("too_old"));
    }
    if sound.time_ms >= LATEST_MS || age.is_some_and(|age| -age > rules.accept_future_ms) {
        return Err(Outcome::Rejected("too_new"));
    }
    let content = sound.content();
    match lane.seen.insert(sound.key(), (offset, content.clone())) {
        Some((before, _)) if offset - before > rules.dedup_window => Ok(()),
        Some((_, earlier)) if earlier != content => Err(Outcome::Rejected("conflicting_duplicate")),
        Some(_) => Err(Outcome::Duplicate),
        None => Ok(()),
    }
}

fn count(totals: &mut Totals, sound: Sound) {
    totals.counted += 1;
    match sound.what {
        What::Usage { meter, quantity } if quantity > 0 => {
            let key = (sound.organization, sound.region, meter, time::month(sound.time_ms));
            *totals.usage.entry(key).or_default() += quantity;
        }
        What::Usage { .. } => {}
        What::Service { .. } => totals.register.apply(sound),
    }
}

fn is_region(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
}
