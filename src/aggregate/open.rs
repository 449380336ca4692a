use std::collections::BTreeMap;

use super::rows::{CountRow, Fold, ServiceRow, Tally};
use crate::event::{Body, DeadLetter, Event, EventId, Ignored, MeterIndex, Outcome, Reason, Trace};

mod counts;
mod names;
mod organizations;

#[cfg(test)]
mod tests;

use counts::{Bucket, Counts};
use names::Regions;
pub use organizations::OrganizationHash;
use organizations::Organizations;

/// What a lane has counted since its last block. One thread writes it; finishing takes it whole, and
/// counting goes on in a new one.
#[derive(Default)]
pub struct OpenBlock {
    /// Each with its current count, so that an event touches one place of memory in the ordinary case.
    organizations: Organizations,
    regions: Regions,
    /// All other counts.
    others: Counts,
    services: Vec<ServiceRow>,
    outcomes: Outcomes,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    digest: u128,
    times: Option<(i64, i64)>,
}

/// Of a row of counts, its texts and the allocator's share of them included.
const ROW_BYTES: usize = size_of::<CountRow>() + 80;

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

impl OpenBlock {
    /// An empty block that has room for half as many names and counts as this one, so that it need
    /// not grow step by step, and is not as large as a full one before it holds anything.
    pub fn successor(&self) -> Self {
        Self {
            organizations: Organizations::with_room_for(&self.organizations),
            others: Counts::with_room_for(&self.others),
            ..Self::default()
        }
    }

    /// Asks for the memory that counting for the organization needs first. Whoever has several events
    /// asks for all of them, then [approaches](Self::approach) each, then counts.
    #[inline]
    pub fn prefetch(&self, organization: &str) -> OrganizationHash {
        self.organizations.prefetch(organization)
    }

    /// Asks for what it needs next, once that has come.
    #[inline]
    pub fn approach(&self, organization: OrganizationHash) {
        self.organizations.approach(organization);
    }

    /// Counts an event that no earlier one has made a duplicate; `organization` is what this block, or
    /// one before it of the same lane, answered for its organization. `fold` says how a meter adds up.
    pub fn count(
        &mut self,
        event: &Event<'_>,
        organization: OrganizationHash,
        trace: Trace,
        fold: impl Fn(MeterIndex) -> Fold,
    ) {
        match &event.body {
            Body::Usage(charges) => {
                let (hour, region) = (event.hour(), self.regions.number(event.region));
                for charge in *charges {
                    let bucket = Bucket { hour, region, meter: charge.meter };
                    self.organizations.add(
                        event.organization,
                        organization,
                        bucket,
                        charge.quantity,
                        || fold(charge.meter),
                        &mut self.others,
                    );
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
        let counts = self.organizations.bytes() + self.others.bytes();
        // It holds its rows in the place of these while it is published.
        let rows = (self.organizations.len() + self.others.len()) * ROW_BYTES;
        let services = self.services.len() * 320;
        counts.max(rows) + self.regions.bytes() + services + self.dead_letter_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.outcomes.received() == 0
    }

    /// Ends the block. `meters` are those of its rules.
    pub fn finish(self, meters: &[MeterName]) -> Contents {
        let mut names = Vec::with_capacity(self.organizations.len());
        let mut counts = Vec::with_capacity(self.organizations.len() + self.others.len());
        let row = |organization: &str, bucket: Bucket, value| {
            let meter = &meters[usize::from(bucket.meter.0)];
            CountRow {
                organization: organization.to_owned(),
                meter: meter.name.clone(),
                region: self.regions.name(bucket.region).unwrap_or_default().to_owned(),
                hour: bucket.hour,
                fold: meter.fold,
                value,
            }
        };
        for (name, bucket, value) in self.organizations.each() {
            names.push(name);
            counts.push(row(name, bucket, value));
        }
        let others = self.others.each();
        counts.extend(others.map(|(number, bucket, value)| row(names[number as usize], bucket, value)));
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
