//! What is to be read of a lane's log, and what it can tell about. Pure.

use std::collections::HashMap;
use std::ops::Range;

use super::super::report::{NotVerifiable, Place};
use crate::aggregate::LedgerRow;
use crate::event::{Rules, RulesHash};

#[cfg(test)]
mod tests;

/// What the log holds: [start, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    pub start: i64,
    pub end: i64,
}

#[derive(Clone, Debug)]
pub struct PlannedRow {
    pub row: LedgerRow,
    /// Whether it is counted again and compared; else it is only read for its keys, where needed.
    pub judged: bool,
    /// Whether every key that could make its events duplicates is known. Where offsets were lost or
    /// gone when counting began, its owner may have known keys that no log holds.
    pub window_is_whole: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All rows of the lane that don't overlap, by offset.
    pub rows: Vec<PlannedRow>,
    /// Offsets to read: ascending, apart from one another.
    pub ranges: Vec<Range<i64>>,
    pub not_verifiable: Vec<NotVerifiable>,
}

impl Plan {
    /// Offsets to read, at most.
    pub fn offsets(&self) -> u64 {
        self.ranges.iter().map(|range| u64::try_from(range.end - range.start).unwrap_or(0)).sum()
    }

    pub fn judges_anything(&self) -> bool {
        self.rows.iter().any(|row| row.judged)
    }
}

/// `rows` are a lane's rows that count, by offset; `wanted` says which are to be judged, `log` what
/// is still there, or why nothing of it is.
pub fn plan(
    rows: &[LedgerRow],
    wanted: impl Fn(&LedgerRow) -> bool,
    log: &Result<LogBounds, String>,
    rules: &HashMap<RulesHash, Rules>,
) -> Plan {
    let mut plan = Plan::default();
    let lane_start = rows.first().map_or(0, |row| row.first_offset);
    let mut reached = i64::MIN;
    for row in rows {
        if row.first_offset < reached || row.next_offset < row.first_offset {
            continue; // An alarm of its own.
        }
        reached = row.next_offset;
        let (mut judged, mut window_is_whole) = (false, true);
        if wanted(row)
            && row.loss.is_empty()
            && let Some(rules) = rules.get(&row.rules)
        {
            match range_to_read(row, rules.dedup_window, log) {
                Ok(range) => {
                    judged = true;
                    let needed_from = window_start(row, rules.dedup_window).max(lane_start);
                    window_is_whole = row.window_from <= needed_from;
                    add(&mut plan.ranges, range);
                }
                Err(reason) => {
                    plan.not_verifiable.push(NotVerifiable { place: Place::of(row), rows: 1, reason })
                }
            }
        }
        plan.rows.push(PlannedRow { row: row.clone(), judged, window_is_whole });
    }
    plan
}

/// The row's offsets, and before them those whose keys make its events duplicates.
fn range_to_read(
    row: &LedgerRow,
    window: u64,
    log: &Result<LogBounds, String>,
) -> Result<Range<i64>, String> {
    if row.first_offset == row.next_offset {
        return Ok(row.first_offset..row.first_offset);
    }
    let log = log.as_ref().map_err(Clone::clone)?;
    let from = window_start(row, window).max(row.window_from).min(row.first_offset);
    if log.start > from {
        return Err(format!("the log starts at {}", log.start));
    }
    if log.end < row.next_offset {
        return Err(format!("the log ends at {}", log.end));
    }
    Ok(from..row.next_offset)
}

fn window_start(row: &LedgerRow, window: u64) -> i64 {
    row.first_offset.saturating_sub(i64::try_from(window).unwrap_or(i64::MAX))
}

fn add(ranges: &mut Vec<Range<i64>>, range: Range<i64>) {
    if range.is_empty() {
        return;
    }
    match ranges.last_mut() {
        // A row may reach back further than the one before it did.
        Some(last) if range.start <= last.end => {
            last.start = last.start.min(range.start);
            last.end = last.end.max(range.end);
            while let [.., before, last] = ranges.as_mut_slice()
                && last.start <= before.end
            {
                before.start = before.start.min(last.start);
                before.end = before.end.max(last.end);
                ranges.pop();
            }
        }
        _ => ranges.push(range),
    }
}
