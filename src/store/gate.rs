//! The gate: which ledger rows count. One rule, in Rust for readers that read the gate first and
//! then rows by id, and in SQL for the views; a test holds that the two agree.
//!
//! **The rule.** Take a lane's rows from the greatest rank down. A live block counts unless a row
//! taken before covers it. A roll or recount counts unless it shares an offset with a row taken
//! before: one that is covered is replaced, one that is overlapped only in part doesn't count and
//! hides nothing. A row without offsets lies at the one where it starts, hides nothing, and is
//! hidden only by a roll or recount that begins before it: it may tell of a loss, which what was
//! counted behind it must not hide.
//!
//! What follows from it, and what garbage collection and rolling build on:
//! - A row that doesn't count decides nothing: it may be removed, in any order, at any time.
//! - The greatest rank of a lane always counts, so no removal loses the lane's greatest token.
//! - Rolls and recounts that count share no offset with one another.

use std::collections::{HashMap, HashSet};

use crate::aggregate::{BlockId, BlockKind, LedgerRow};
use crate::event::Lane;

mod sql;
#[cfg(test)]
mod tests;

pub(super) use sql::{counting_blocks, counting_rows};

/// Where live blocks don't follow one another; `recount` heals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub lane: Lane,
    pub fault: Fault,
    /// The offsets [from, to) are counted by nobody (gap) or twice (overlap).
    pub from: i64,
    pub to: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Gap,
    Overlap,
}

/// The rows that count, of any number of lanes, in the order of (lane, offset). A block that is
/// there several times, as after a repeated publish, is taken once: its first.
pub fn counting<T: AsRef<LedgerRow>>(rows: Vec<T>) -> Vec<T> {
    let mut seen: HashSet<BlockId> = HashSet::with_capacity(rows.len());
    let mut lanes: HashMap<Lane, Vec<T>> = HashMap::new();
    for row in rows {
        if seen.insert(row.as_ref().block) {
            match lanes.get_mut(&row.as_ref().lane) {
                Some(lane) => lane.push(row),
                None => {
                    lanes.insert(row.as_ref().lane.clone(), vec![row]);
                }
            }
        }
    }
    let mut counting: Vec<T> = lanes.into_values().flat_map(counting_of_lane).collect();
    counting.sort_by(|a, b| {
        let key = |row: &LedgerRow| (row.first_offset, row.next_offset, rank(row));
        let (a, b) = (a.as_ref(), b.as_ref());
        a.lane.cmp(&b.lane).then_with(|| key(a).cmp(&key(b)))
    });
    counting
}

/// Two blocks of one rank would be a bug; their ids then decide, so that every reader agrees.
type Rank = ((u64, u64, u128), BlockId);

fn rank(row: &LedgerRow) -> Rank {
    (row.rank(), row.block)
}

fn counting_of_lane<T: AsRef<LedgerRow>>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort_by_key(|row| rank(row.as_ref()));
    let hiders = possible_hiders(&rows);
    let mut taken: Vec<(i64, i64, bool)> = Vec::new();
    let mut counting = Vec::with_capacity(rows.len());
    for (row, may_hide) in rows.into_iter().zip(hiders).rev() {
        let ledger = row.as_ref();
        let (first, next) = (ledger.first_offset, occupied_end(ledger));
        let live = ledger.kind == BlockKind::Live;
        let is_empty = ledger.first_offset == ledger.next_offset;
        let mut hiders = taken.iter().filter(|(from, _, is_live)| !is_empty || (!is_live && *from < first));
        let counts = if live {
            !hiders.any(|&(from, to, _)| from <= first && next <= to)
        } else {
            !hiders.any(|&(from, to, _)| from < next && first < to)
        };
        if may_hide && (live || counts) {
            taken.push((first, next, live));
        }
        if counts {
            counting.push(row);
        }
    }
    counting
}

/// By rank ascending: which rows can hide another at all. That is every roll and recount, but of
/// the live blocks only those that start before something of smaller rank ends, which in sound
/// operation none does: so the gate compares rows with the few rolls, not with one another.
fn possible_hiders<T: AsRef<LedgerRow>>(by_rank: &[T]) -> Vec<bool> {
    let mut reach = i64::MIN;
    let hides = |row: &T| {
        let row = row.as_ref();
        let restless = reach > row.first_offset;
        reach = reach.max(occupied_end(row));
        row.first_offset < row.next_offset && (row.kind != BlockKind::Live || restless)
    };
    by_rank.iter().map(hides).collect()
}

/// The end of the offsets that the row lies on.
fn occupied_end(row: &LedgerRow) -> i64 {
    row.next_offset.max(row.first_offset + 1)
}

/// Gaps and overlaps between the counting rows, which are in the order of (lane, offset).
pub fn alarms<T: AsRef<LedgerRow>>(counting: &[T]) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut end: Option<(&Lane, i64)> = None;
    for row in counting.iter().map(AsRef::as_ref) {
        let (first, next) = (row.first_offset, row.next_offset);
        let reached = match end {
            Some((lane, reached)) if *lane == row.lane => reached,
            _ => first,
        };
        let mut alarm = |fault, from, to| {
            alarms.push(Alarm { lane: row.lane.clone(), fault, from, to });
        };
        if reached < first {
            alarm(Fault::Gap, reached, first);
        } else if first < reached.min(next) {
            alarm(Fault::Overlap, first, reached.min(next));
        }
        end = Some((&row.lane, reached.max(next)));
    }
    alarms
}

/// The rolls and recounts that count for nothing though no row that counts covers them: in sound
/// operation there are none, so a ledger row was changed, or two owners published at once.
pub fn set_aside<'r, T: AsRef<LedgerRow>, C: AsRef<LedgerRow>>(
    rows: &'r [T],
    counting: &[C],
) -> Vec<&'r LedgerRow> {
    let mut lanes: HashMap<&Lane, Vec<&LedgerRow>> = HashMap::new();
    for row in counting.iter().map(AsRef::as_ref) {
        lanes.entry(&row.lane).or_default().push(row);
    }
    let is_covered = |row: &LedgerRow| {
        let counting = lanes.get(&row.lane).map_or(&[][..], Vec::as_slice);
        counting.iter().any(|other| other.block == row.block || other.covers(row))
    };
    rows.iter()
        .map(AsRef::as_ref)
        .filter(|row| row.kind != BlockKind::Live && row.first_offset < row.next_offset && !is_covered(row))
        .collect()
}
