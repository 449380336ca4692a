use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::RawEntryMut;
use xxhash_rust::xxh3::Xxh3Builder;

use super::rows::{CountRow, Fold, ServiceRow, Tally};
use crate::event::{Body, DeadLetter, Event, EventId, Ignored, MeterIndex, Outcome, Reason, Trace};

#[cfg(test)]
mod tests;

/// What a lane has counted since its last block. One thread writes it; finishing takes it whole, and
/// counting goes on in a new one.
pub struct OpenBlock {
    /// Organizations of this block, by name; the number is an index into `names`.
    organizations: HashMap<Box<str>, u32, Xxh3Builder>,
    /// Regions of this block, likewise.
    regions: HashMap<Box<str>, u32, Xxh3Builder>,
    counts: HashMap<CountKey, u128, Xxh3Builder>,
    services: Vec<ServiceRow>,
    outcomes: Outcomes,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    digest: u128,
    times: Option<(i64, i64)>,
    name_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CountKey {
    organization: u32,
    hour: u32,
    meter: MeterIndex,
    region: u32,
}

/// Outcomes of a block's events, with the reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub counted: u64,
    pub duplicate: u64,
    pub rejected: BTreeMap<Reason, u64>,
    pub ignored: BTreeMap<Ignored, u64>,
}

/// A meter of the rules that a block is counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterName {
    pub name: String,
    pub fold: Fold,
}

/// What a block counted, ready to be stored.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Sorted; no two with one key.
    pub counts: Vec<CountRow>,
    pub services: Vec<ServiceRow>,
    pub outcomes: Outcomes,
    pub dead_letters: Vec<DeadLetter>,
    pub digest: u128,
    /// Epoch milliseconds of the earliest and the latest counted event.
    pub times: Option<(i64, i64)>,
}

impl Default for OpenBlock {
    fn default() -> Self {
        Self {
            organizations: HashMap::with_hasher(Xxh3Builder::new()),
            regions: HashMap::with_hasher(Xxh3Builder::new()),
            counts: HashMap::with_hasher(Xxh3Builder::new()),
            services: Vec::new(),
            outcomes: Outcomes::default(),
            dead_letters: Vec::new(),
            dead_letter_bytes: 0,
            digest: 0,
            times: None,
            name_bytes: 0,
        }
    }
}

impl OpenBlock {
    /// Counts an event that no earlier one has made a duplicate. `fold` says how a meter adds up.
    pub fn count(&mut self, event: &Event<'_>, trace: Trace, fold: impl Fn(MeterIndex) -> Fold) {
        match &event.body {
            Body::Usage(charges) => {
                let names = &mut self.name_bytes;
                let organization = number_of(&mut self.organizations, event.organization, names);
                let region = number_of(&mut self.regions, event.region, names);
                let hour = event.hour();
                for charge in *charges {
                    let key = CountKey { organization, hour, meter: charge.meter, region };
                    let value = self.counts.entry(key).or_default();
                    *value = match fold(charge.meter) {
                        Fold::Sum => *value + u128::from(charge.quantity),
                        Fold::Max => (*value).max(u128::from(charge.quantity)),
                    };
                }
            }
            Body::Service(change) => self.services.push(ServiceRow {
                organization: event.organization.to_owned(),
                region: event.region.to_owned(),
                service: change.service.to_owned(),
                version: change.version,
                time_ms: event.time_ms,
                source: event.source.to_owned(),
                id: match event.id {
                    EventId::Text(id) => id.to_owned(),
                    EventId::Hash(hash) => format!("{hash:032x}"),
                },
                exists: change.action.exists(),
                published: change.published,
                name: change.name.map(str::to_owned),
            }),
        }
        let (earliest, latest) = self.times.unwrap_or((event.time_ms, event.time_ms));
        self.times = Some((earliest.min(event.time_ms), latest.max(event.time_ms)));
        self.note(trace, Outcome::Counted);
    }

    /// Notes the outcome of an event: each consumed event is noted exactly once.
    pub fn note(&mut self, trace: Trace, outcome: Outcome) {
        self.digest = self.digest.wrapping_add(trace.hash(outcome));
        match outcome {
            Outcome::Counted => self.outcomes.counted += 1,
            Outcome::Duplicate => self.outcomes.duplicate += 1,
            Outcome::Rejected(reason) => *self.outcomes.rejected.entry(reason).or_default() += 1,
            Outcome::Ignored(why) => *self.outcomes.ignored.entry(why).or_default() += 1,
        }
    }

    /// Keeps a rejected event for the dead-letter topic.
    pub fn bury(&mut self, letter: DeadLetter) {
        // Key and headers are shared by the letters of one record, but each may be the only one.
        let shared = letter.key.as_ref().map_or(0, |key| key.len()) + letter.header_bytes();
        self.dead_letter_bytes += letter.value.as_ref().map_or(0, Vec::len) + shared + 256;
        self.dead_letters.push(letter);
    }

    /// Roughly how much memory the block holds, in bytes.
    pub fn bytes(&self) -> usize {
        // A key and its value of 16 bytes each and the map's own share; names twice; a service row.
        self.counts.len() * 48 + self.name_bytes * 2 + self.services.len() * 320 + self.dead_letter_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.outcomes.received() == 0
    }

    /// Ends the block. `meters` are those of its rules.
    pub fn finish(self, meters: &[MeterName]) -> Contents {
        let organizations = by_number(&self.organizations);
        let regions = by_number(&self.regions);
        let mut counts: Vec<CountRow> = self
            .counts
            .iter()
            .map(|(key, value)| {
                let meter = &meters[usize::from(key.meter.0)];
                CountRow {
                    organization: organizations[key.organization as usize].to_owned(),
                    meter: meter.name.clone(),
                    region: regions[key.region as usize].to_owned(),
                    hour: key.hour,
                    fold: meter.fold,
                    value: *value,
                }
            })
            .collect();
        counts.sort_unstable();
        Contents {
            counts,
            services: self.services,
            outcomes: self.outcomes,
            dead_letters: self.dead_letters,
            digest: self.digest,
            times: self.times,
        }
    }
}

/// The name's number within the block; a new name gets the next.
fn number_of(numbers: &mut HashMap<Box<str>, u32, Xxh3Builder>, name: &str, bytes: &mut usize) -> u32 {
    let next = u32::try_from(numbers.len()).expect("a block is cut long before 2^32 names");
    match numbers.raw_entry_mut().from_key(name) {
        RawEntryMut::Occupied(entry) => *entry.get(),
        RawEntryMut::Vacant(entry) => {
            *bytes += name.len() + 48;
            entry.insert(name.into(), next);
            next
        }
    }
}

fn by_number(numbers: &HashMap<Box<str>, u32, Xxh3Builder>) -> Vec<&str> {
    let mut names = vec![""; numbers.len()];
    for (name, number) in numbers {
        names[*number as usize] = name;
    }
    names
}

impl Outcomes {
    pub fn received(&self) -> u64 {
        let tally = self.tally();
        tally.received()
    }

    pub fn tally(&self) -> Tally {
        Tally {
            counted: self.counted,
            duplicate: self.duplicate,
            rejected: self.rejected.values().sum(),
            ignored: self.ignored.values().sum(),
        }
    }
}

impl Contents {
    /// The sum of the values of the block's rows.
    pub fn quantity(&self) -> u128 {
        self.counts.iter().map(|row| row.value).sum()
    }
}
