//! What the ledger must say without a look at the log. Pure.

use std::collections::HashMap;

use super::report::{Finding, Loss, Place, Problem};
use crate::aggregate::{BlockId, LedgerRow};
use crate::store::{BlockSum, Published, gate};

#[cfg(test)]
mod tests;

/// A ledger row that counts.
#[derive(Clone, Debug)]
pub struct Entry {
    pub row: LedgerRow,
    /// As it is stored, beside the outcomes that it is the sum of.
    pub received: u64,
}

impl From<Published> for Entry {
    fn from(published: Published) -> Self {
        Self { row: published.row, received: published.received }
    }
}

impl AsRef<LedgerRow> for Entry {
    fn as_ref(&self) -> &LedgerRow {
        &self.row
    }
}

/// Checks each row by itself and against the counts that are stored under its block's id.
pub fn check_rows(rows: &[Entry], sums: &HashMap<BlockId, BlockSum>) -> Vec<Finding> {
    rows.iter().flat_map(|entry| check_row(entry, sums)).collect()
}

fn check_row(entry: &Entry, sums: &HashMap<BlockId, BlockSum>) -> Vec<Finding> {
    let row = &entry.row;
    let mut findings = Vec::new();
    let mut find = |problem, detail: String| findings.push(Finding::of(row, problem, detail));
    let outcomes = row.tally;
    let sum = [outcomes.counted, outcomes.duplicate, outcomes.rejected, outcomes.ignored]
        .into_iter()
        .map(u128::from)
        .sum::<u128>();
    if u128::from(entry.received) != sum {
        find(
            Problem::Tally,
            format!(
                "received {}, but counted {} + duplicate {} + rejected {} + ignored {} = {sum}",
                entry.received, outcomes.counted, outcomes.duplicate, outcomes.rejected, outcomes.ignored
            ),
        );
    }
    let stored = sums.get(&row.block).copied().unwrap_or_default();
    if stored.sum != row.quantity {
        find(
            Problem::Quantity,
            format!("quantity {}, but its {} stored counts sum to {}", row.quantity, stored.rows, stored.sum),
        );
    }
    if row.next_offset < row.first_offset {
        find(Problem::Range, format!("offsets end at {}, before they begin", row.next_offset));
    }
    match row.times {
        Some((earliest, latest)) if earliest > latest => {
            find(Problem::Range, format!("the earliest event time {earliest} is after the latest, {latest}"));
        }
        None if outcomes.counted > 0 => {
            find(Problem::Range, "events were counted, but no time is noted".into())
        }
        _ => {}
    }
    if !row.loss.is_empty() && sum > 0 {
        find(Problem::Tally, format!("a loss received {sum} events"));
    }
    findings
}

/// Gaps and overlaps between the rows that count, which are in the order of (lane, offset).
pub fn check_order(rows: &[Entry]) -> Vec<Finding> {
    gate::alarms(rows)
        .into_iter()
        .map(|alarm| {
            let (problem, detail) = match alarm.fault {
                gate::Fault::Gap => (Problem::Gap, "no ledger row covers these offsets"),
                gate::Fault::Overlap => (Problem::Overlap, "two ledger rows that count cover these offsets"),
            };
            Finding {
                place: Place::within(&alarm.lane, alarm.from, alarm.to),
                block: None,
                problem,
                detail: format!("{detail}; `odometer recount` counts them again"),
            }
        })
        .collect()
}

/// Compares each row's offsets with those that it was prepared with: a lane's last row has no
/// neighbour that another end would part from or run into.
pub fn check_offsets(rows: &[Entry], prepared: &HashMap<BlockId, (i64, i64)>) -> Vec<Finding> {
    let changed = |entry: &&Entry| {
        let row = &entry.row;
        prepared.get(&row.block).is_some_and(|offsets| *offsets != (row.first_offset, row.next_offset))
    };
    rows.iter()
        .filter(changed)
        .map(|entry| {
            let (first, next) = prepared[&entry.row.block];
            Finding::of(
                &entry.row,
                Problem::Range,
                format!("the block was stored for offsets [{first}, {next})"),
            )
        })
        .collect()
}

/// Rolls and recounts that a greater rank overlaps only in part.
pub fn check_set_aside(published: &[Published], counting: &[Entry]) -> Vec<Finding> {
    let detail = "this row counts for nothing: another overlaps it only in part";
    gate::set_aside(published, counting)
        .into_iter()
        .map(|row| Finding::of(row, Problem::Overlap, detail.to_owned()))
        .collect()
}

pub fn losses(rows: &[Entry]) -> Vec<Loss> {
    rows.iter()
        .filter(|entry| !entry.row.loss.is_empty())
        .map(|entry| Loss { place: Place::of(&entry.row), loss: entry.row.loss.clone() })
        .collect()
}
