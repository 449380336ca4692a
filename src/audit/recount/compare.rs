//! Holds what the log gives against what is stored.

use std::collections::HashMap;

use super::counter::{CountKey, Counted, Slice, Totals};
use crate::aggregate::{BlockId, Fold, LedgerRow, ServiceRow};
use crate::audit::report::{Finding, Problem};
use crate::clock::Time;
use crate::event::HOUR_MS;
use crate::store::{Store, StoreError};

/// Differing counts of one row that are named; the rest is only counted.
const NAMED_DIFFERENCES: usize = 3;

/// What differs between the counts that one pass gives and those that the database has.
pub async fn compare(store: &Store, counted: Vec<Counted>, slice: Slice) -> Result<Vec<Finding>, StoreError> {
    let rows: Vec<LedgerRow> = counted.iter().map(|counted| counted.row.clone()).collect();
    let mut findings = Vec::new();
    let mut expected: HashMap<BlockId, HashMap<CountKey, Sides>> = HashMap::new();
    let mut services: HashMap<BlockId, (Vec<ServiceRow>, Vec<ServiceRow>)> = HashMap::new();
    for counted in counted {
        let block = counted.row.block;
        let sides = counted
            .counts
            .into_iter()
            .map(|(key, value)| (key, Sides { fold: value.fold, log: value.value, stored: 0 }));
        expected.insert(block, sides.collect());
        services.insert(block, (counted.services, Vec::new()));
    }
    let mut counts = store.counts_of(&rows)?;
    while let Some((block, count)) = counts.next().await? {
        if let Some(of_block) = expected.get_mut(&block)
            && slice.holds(&count.organization)
        {
            let key = (count.organization, count.meter, count.region, count.hour);
            of_block
                .entry(key)
                .or_insert(Sides { fold: count.fold, log: 0, stored: 0 })
                .store(count.fold, count.value);
        }
    }
    let mut changes = store.services_of(&rows)?;
    while let Some((block, change)) = changes.next().await? {
        if let Some((_, stored)) = services.get_mut(&block)
            && slice.holds(&change.organization)
        {
            stored.push(change);
        }
    }
    for row in &rows {
        findings.extend(expected.remove(&row.block).and_then(|sides| differing_counts(row, sides)));
        findings.extend(
            services.remove(&row.block).and_then(|(log, stored)| differing_services(row, log, stored)),
        );
    }
    Ok(findings)
}

/// One count as the log gives it and as it is stored.
struct Sides {
    fold: Fold,
    log: u128,
    stored: u128,
}

impl Sides {
    fn store(&mut self, fold: Fold, value: u128) {
        self.stored = match self.fold {
            // The same key under another fold is no count of this meter: it shows as a difference.
            Fold::Max if fold == Fold::Max => self.stored.max(value),
            _ => self.stored.saturating_add(value),
        };
    }
}

/// What differs between a row and what all passes over its part of the log add up to.
pub fn compare_totals(row: &LedgerRow, counted: &Totals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if counted.tally != row.tally {
        let pairs = [
            ("counted", row.tally.counted, counted.tally.counted),
            ("duplicate", row.tally.duplicate, counted.tally.duplicate),
            ("rejected", row.tally.rejected, counted.tally.rejected),
            ("ignored", row.tally.ignored, counted.tally.ignored),
        ];
        let detail: Vec<String> = pairs
            .into_iter()
            .filter(|(_, ledger, log)| ledger != log)
            .map(|(name, ledger, log)| format!("{name} {ledger}, the log gives {log}"))
            .collect();
        findings.push(Finding::of(row, Problem::Outcomes, detail.join("; ")));
    }
    if counted.times != row.times {
        let detail = format!("event times {}, the log gives {}", times(row.times), times(counted.times));
        findings.push(Finding::of(row, Problem::Times, detail));
    }
    if counted.digest != row.digest {
        let detail = format!("digest {:032x}, the log gives {:032x}", row.digest, counted.digest);
        findings.push(Finding::of(row, Problem::Digest, detail));
    }
    findings
}

fn times(times: Option<(i64, i64)>) -> String {
    times.map_or_else(
        || "none".to_owned(),
        |(earliest, latest)| format!("{} to {}", Time(earliest), Time(latest)),
    )
}

fn differing_counts(row: &LedgerRow, sides: HashMap<CountKey, Sides>) -> Option<Finding> {
    let mut differing: Vec<_> = sides.into_iter().filter(|(_, sides)| sides.log != sides.stored).collect();
    if differing.is_empty() {
        return None;
    }
    differing.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut named: Vec<String> = differing
        .iter()
        .take(NAMED_DIFFERENCES)
        .map(|((organization, meter, region, hour), sides)| {
            let hour = Time(i64::from(*hour) * HOUR_MS);
            format!(
                "{organization} {meter} {region} {hour}: stored {}, the log gives {}",
                sides.stored, sides.log
            )
        })
        .collect();
    if differing.len() > NAMED_DIFFERENCES {
        named.push(format!("and {} more", differing.len() - NAMED_DIFFERENCES));
    }
    Some(Finding::of(row, Problem::Counts, named.join("; ")))
}

fn differing_services(
    row: &LedgerRow,
    mut log: Vec<ServiceRow>,
    mut stored: Vec<ServiceRow>,
) -> Option<Finding> {
    log.sort();
    stored.sort();
    if log == stored {
        return None;
    }
    let first = log
        .iter()
        .find(|change| !stored.contains(change))
        .or_else(|| stored.iter().find(|change| !log.contains(change)));
    let named = first.map_or(String::new(), |change| {
        format!("; e.g. {} {} service {}", change.organization, change.region, change.service)
    });
    let detail = format!("{} service changes stored, the log gives {}{named}", stored.len(), log.len());
    Some(Finding::of(row, Problem::Services, detail))
}
