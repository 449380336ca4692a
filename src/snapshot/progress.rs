//! Which blocks the table in memory already holds, and what a newer ledger asks of it.

use std::collections::{BTreeMap, HashMap};

use crate::aggregate::{BlockId, BlockKind, LedgerRow, Tally};
use crate::event::Lane;

#[cfg(test)]
pub(super) mod tests;

/// What must happen to a table so that it holds exactly what the ledger counts.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Add the rows of these blocks, by lane in the order of their offsets. Empty: nothing is new.
    Apply(Vec<LedgerRow>),
    /// Something that was added counts no more as it was: read everything again.
    Reload { lane: Lane, first_offset: i64 },
}

/// The blocks whose rows a table holds.
#[derive(Debug, Default)]
pub struct Progress {
    lanes: BTreeMap<Lane, BTreeMap<BlockId, Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    first_offset: i64,
    next_offset: i64,
    content: Content,
}

/// What a block counted. The digest is a sum over events, so that blocks that say the same of the
/// same events have equal sums however the events are cut into blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    tally: Tally,
    digest: u128,
}

impl Content {
    fn add(&mut self, other: Self) {
        self.tally.counted += other.tally.counted;
        self.tally.duplicate += other.tally.duplicate;
        self.tally.rejected += other.tally.rejected;
        self.tally.ignored += other.tally.ignored;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

impl Held {
    /// As [`LedgerRow::covers`]: a block without offsets lies at the one where it starts.
    fn lies_in(&self, row: &LedgerRow) -> bool {
        row.first_offset <= self.first_offset
            && self.next_offset.max(self.first_offset + 1) <= row.next_offset
    }
}

impl From<&LedgerRow> for Held {
    fn from(row: &LedgerRow) -> Self {
        Self {
            first_offset: row.first_offset,
            next_offset: row.next_offset,
            content: Content { tally: row.tally, digest: row.digest },
        }
    }
}

impl Progress {
    /// What a table holds that was read whole.
    pub fn of<T: AsRef<LedgerRow>>(counting: &[T]) -> Self {
        let mut progress = Self::default();
        progress.take(counting);
        progress
    }

    /// `counting` are all rows that count now, each once.
    pub fn step_to<T: AsRef<LedgerRow>>(&self, counting: &[T]) -> Step {
        let mut lanes: BTreeMap<&Lane, HashMap<BlockId, &LedgerRow>> = BTreeMap::new();
        for row in counting.iter().map(AsRef::as_ref) {
            lanes.entry(&row.lane).or_default().insert(row.block, row);
        }
        let mut fresh = Vec::new();
        let nothing = BTreeMap::new();
        for (lane, rows) in &lanes {
            match added(self.lanes.get(*lane).unwrap_or(&nothing), rows) {
                Ok(added) => fresh.extend(added.into_iter().cloned()),
                Err(first_offset) => return Step::Reload { lane: (*lane).clone(), first_offset },
            }
        }
        let vanished = self.lanes.keys().find(|lane| !lanes.contains_key(lane));
        if let Some(lane) = vanished {
            return Step::Reload { lane: lane.clone(), first_offset: 0 };
        }
        Step::Apply(fresh)
    }

    /// The table now holds what `counting` says; call it after the step was carried out.
    pub fn advance<T: AsRef<LedgerRow>>(&mut self, counting: &[T]) {
        self.lanes.clear();
        self.take(counting);
    }

    fn take<T: AsRef<LedgerRow>>(&mut self, counting: &[T]) {
        for row in counting.iter().map(AsRef::as_ref) {
            self.lanes.entry(row.lane.clone()).or_default().insert(row.block, Held::from(row));
        }
    }
}

/// The rows of one lane that must be added, or the offset from which the lane must be read again:
/// a held block may only go where a new one covers it together with others and says the same.
fn added<'a>(
    held: &BTreeMap<BlockId, Held>,
    rows: &HashMap<BlockId, &'a LedgerRow>,
) -> Result<Vec<&'a LedgerRow>, i64> {
    let mut new: Vec<&LedgerRow> =
        rows.values().copied().filter(|row| !held.contains_key(&row.block)).collect();
    new.sort_by_key(|row| (row.first_offset, row.next_offset));
    let mut replaced: Vec<Option<Content>> = vec![None; new.len()];
    let vanished = held.iter().filter(|(block, _)| !rows.contains_key(block)).map(|(_, held)| held);
    // A block without offsets counted nothing: the next live one hides it.
    for gone in vanished.filter(|held| held.first_offset < held.next_offset) {
        let cover = new.iter().position(|row| gone.lies_in(row));
        let cover = cover.ok_or(gone.first_offset)?;
        replaced[cover].get_or_insert_default().add(gone.content);
    }
    let mut added = Vec::new();
    for (row, replaced) in new.into_iter().zip(replaced) {
        match replaced {
            None => added.push(row),
            Some(content) if row.kind != BlockKind::Recount && content == Held::from(row).content => {}
            Some(_) => return Err(row.first_offset),
        }
    }
    Ok(added)
}
