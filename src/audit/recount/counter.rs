//! The second implementation of counting: a map of keys, a map of counts, nothing clever.

use std::collections::HashMap;
use std::mem;

use xxhash_rust::xxh3::xxh3_64;

use super::super::naive::{
    Judged, NaiveBody, NaiveEvent, NaiveId, NaiveReader, content_hash, event_key, keyed_trace, placed_trace,
};
use super::plan::PlannedRow;
use crate::aggregate::{Fold, LedgerRow, ServiceRow, Tally};
use crate::event::{Aggregation, HOUR_MS, Outcome, Reason, Record, RulesHash};

#[cfg(test)]
mod tests;

/// (organization, meter, region, hour since the epoch)
pub type CountKey = (String, String, String, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    pub fold: Fold,
    pub value: u128,
}

/// What one pass over the log gives for one ledger row.
#[derive(Clone, Debug)]
pub struct Counted {
    pub row: LedgerRow,
    pub totals: Totals,
    pub counts: HashMap<CountKey, Value>,
    pub services: Vec<ServiceRow>,
}

/// What adds up over the passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub tally: Tally,
    /// Epoch milliseconds of the earliest and the latest counted event.
    pub times: Option<(i64, i64)>,
    pub digest: u128,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.tally.counted += other.tally.counted;
        self.tally.duplicate += other.tally.duplicate;
        self.tally.rejected += other.tally.rejected;
        self.tally.ignored += other.tally.ignored;
        self.digest = self.digest.wrapping_add(other.digest);
        if let Some((earliest, latest)) = other.times {
            self.see(earliest);
            self.see(latest);
        }
    }

    fn see(&mut self, time_ms: i64) {
        let (earliest, latest) = self.times.unwrap_or((time_ms, time_ms));
        self.times = Some((earliest.min(time_ms), latest.max(time_ms)));
    }

    fn note(&mut self, outcome: Outcome, trace: u128) {
        self.digest = self.digest.wrapping_add(trace);
        match outcome {
            Outcome::Counted => self.tally.counted += 1,
            Outcome::Duplicate => self.tally.duplicate += 1,
            Outcome::Rejected(_) => self.tally.rejected += 1,
            Outcome::Ignored(_) => self.tally.ignored += 1,
        }
    }
}

/// One of several passes over the log, each of which looks at its share of the organizations: so
/// memory stays bounded however many keys the window has, and a row counts. What has no organization
/// is looked at in the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub index: u64,
    /// At least 1.
    pub of: u64,
}

impl Slice {
    pub fn holds(self, organization: &str) -> bool {
        xxh3_64(organization.as_bytes()) % self.of == self.index
    }
}

/// A key's latest occurrence.
struct Seen {
    offset: i64,
    content: u32,
}

/// With the window's width in offsets.
type Readers = HashMap<RulesHash, (NaiveReader, u64)>;

pub struct Counter {
    rows: Vec<PlannedRow>,
    /// The row that the next offset is looked for in.
    at: usize,
    readers: Readers,
    slice: Slice,
    seen: HashMap<u128, Seen>,
    /// Keys older than the widest window are dropped when there are so many.
    sweep_at: usize,
    widest: i64,
    open: Option<Counted>,
    finished: Vec<Counted>,
    finished_keys: usize,
}

const FIRST_SWEEP: usize = 1 << 20;

impl Counter {
    pub fn new(rows: Vec<PlannedRow>, readers: Readers, slice: Slice) -> Self {
        let widest =
            readers.values().map(|(_, width)| i64::try_from(*width).unwrap_or(i64::MAX)).max().unwrap_or(0);
        Self {
            rows,
            at: 0,
            readers,
            slice,
            seen: HashMap::new(),
            sweep_at: FIRST_SWEEP,
            widest,
            open: None,
            finished: Vec::new(),
            finished_keys: 0,
        }
    }

    /// Takes the next record that was read.
    pub fn take(&mut self, record: &Record<'_>) {
        self.reach(record.offset);
        let Some(planned) = self.rows.get(self.at) else { return };
        let row = &planned.row;
        if record.offset < row.first_offset || !row.loss.is_empty() {
            return;
        }
        let Some((reader, width)) = self.readers.get(&row.rules) else { return };
        let width = i64::try_from(*width).unwrap_or(i64::MAX);
        let oldest = record.offset.saturating_sub(width).max(row.window_from);
        let mut open = planned.judged.then(|| self.open.take().unwrap_or_else(|| Counted::new(row)));
        for (index, part) in (0_u32..).zip(reader.read(record)) {
            let is_mine = match &part.judged {
                Judged::Event(event) => self.slice.holds(&event.organization),
                Judged::Rejected(_) | Judged::Ignored(_) => self.slice.index == 0,
            };
            if !is_mine {
                continue;
            }
            let (outcome, trace) = match &part.judged {
                Judged::Event(event) => {
                    let (key, content) = (event_key(event), content_hash(event));
                    let seen = Seen { offset: record.offset, content: content as u32 };
                    let outcome = match self.seen.insert(key, seen) {
                        Some(before) if before.offset >= oldest && before.content == content as u32 => {
                            Outcome::Duplicate
                        }
                        Some(before) if before.offset >= oldest => {
                            Outcome::Rejected(Reason::ConflictingDuplicate)
                        }
                        _ => Outcome::Counted,
                    };
                    (outcome, keyed_trace(key, content, outcome))
                }
                Judged::Rejected(reason) => place(record, index, Outcome::Rejected(*reason)),
                Judged::Ignored(why) => place(record, index, Outcome::Ignored(*why)),
            };
            if let Some(open) = &mut open {
                open.totals.note(outcome, trace);
                if let (Outcome::Counted, Judged::Event(event)) = (outcome, part.judged) {
                    open.count(*event);
                }
            }
        }
        self.open = open;
        self.sweep(record.offset);
    }

    /// Everything below `offset` was read: rows that end there are complete.
    pub fn reach(&mut self, offset: i64) {
        while let Some(planned) = self.rows.get(self.at).filter(|planned| planned.row.next_offset <= offset) {
            if planned.judged {
                let counted = self.open.take().unwrap_or_else(|| Counted::new(&planned.row));
                self.finished_keys += counted.counts.len();
                self.finished.push(counted);
            }
            self.at += 1;
        }
    }

    pub fn finished_keys(&self) -> usize {
        self.finished_keys
    }

    pub fn finished_rows(&self) -> usize {
        self.finished.len()
    }

    pub fn take_finished(&mut self) -> Vec<Counted> {
        self.finished_keys = 0;
        mem::take(&mut self.finished)
    }

    fn sweep(&mut self, offset: i64) {
        if self.seen.len() >= self.sweep_at {
            let oldest = offset.saturating_sub(self.widest);
            self.seen.retain(|_, seen| seen.offset >= oldest);
            // Sweep again only after a fourth has come in anew.
            self.sweep_at = (self.seen.len() / 4 * 5).max(FIRST_SWEEP);
        }
    }
}

fn place(record: &Record<'_>, index: u32, outcome: Outcome) -> (Outcome, u128) {
    (outcome, placed_trace(record.offset, index, outcome))
}

impl Counted {
    fn new(row: &LedgerRow) -> Self {
        Self { row: row.clone(), totals: Totals::default(), counts: HashMap::new(), services: Vec::new() }
    }

    fn count(&mut self, event: NaiveEvent) {
        self.totals.see(event.time_ms);
        let hour = u32::try_from(event.time_ms.div_euclid(HOUR_MS)).unwrap_or(0);
        match event.body {
            NaiveBody::Usage(charges) => {
                for (meter, aggregation, quantity) in charges {
                    let key = (event.organization.clone(), meter, event.region.clone(), hour);
                    let quantity = u128::from(quantity);
                    let fold = if aggregation == Aggregation::Max { Fold::Max } else { Fold::Sum };
                    let value = self.counts.entry(key).or_insert(Value { fold, value: 0 });
                    value.value = match fold {
                        Fold::Sum => value.value + quantity,
                        Fold::Max => value.value.max(quantity),
                    };
                }
            }
            NaiveBody::Service { service, event_type, name, published, version } => {
                self.services.push(ServiceRow {
                    organization: event.organization,
                    region: event.region,
                    service,
                    version,
                    time_ms: event.time_ms,
                    source: event.source,
                    id: match event.id {
                        NaiveId::Text(id) => id,
                        NaiveId::Hash(hash) => format!("{hash:032x}"),
                    },
                    exists: match event_type.as_str() {
                        "service.unpublished" => None,
                        other => Some(other != "service.deleted"),
                    },
                    published,
                    name,
                })
            }
        }
    }
}
