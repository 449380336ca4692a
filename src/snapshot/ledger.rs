//! The ledger in memory: the rows that count, kept up to date with what was published of late.

use std::collections::{BTreeMap, HashSet};

use crate::aggregate::{BlockId, LedgerRow};
use crate::event::Lane;
use crate::store::{self, gate};

#[cfg(test)]
mod tests;

/// Rows become visible in the order of their publication but for this long, in milliseconds: an
/// insert takes its time stamp when it begins and may take half a minute. What comes later still is
/// found when the whole ledger is read.
pub const VISIBLE_WITHIN_MS: i64 = 60_000;
/// Nearly all become visible within this long, in milliseconds.
const SOON_MS: i64 = 5_000;

/// A ledger row and when it was published, in epoch milliseconds by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub row: LedgerRow,
    pub published_at_ms: i64,
}

impl AsRef<LedgerRow> for Published {
    fn as_ref(&self) -> &LedgerRow {
        &self.row
    }
}

impl From<store::Published> for Published {
    fn from(published: store::Published) -> Self {
        Self { row: published.row, published_at_ms: published.published_at_ms }
    }
}

/// The rows that count.
#[derive(Debug, Default)]
pub struct LedgerView {
    counting: Vec<Published>,
    /// Every block that was taken in, whether it counts or not.
    known: HashSet<BlockId>,
    latest_ms: i64,
}

impl LedgerView {
    /// From all rows of the ledger that count.
    pub fn of<T: Into<Published>>(counting: Vec<T>) -> Self {
        let mut view = Self::default();
        view.take(counting.into_iter().map(Into::into).collect());
        view
    }

    /// Where to read on: rows published since then (epoch ms by the store's clock) may be new. Without
    /// looking back, those that became visible late are left for the next time.
    pub fn read_from_ms(&self, looks_back: bool) -> i64 {
        self.latest_ms - if looks_back { VISIBLE_WITHIN_MS } else { SOON_MS }
    }

    /// The view with what was published since; `None` where nothing of it is new. A row that does
    /// not count decides nothing, so the gate needs no more than the rows that counted.
    pub fn with<T: Into<Published>>(&self, recent: Vec<T>) -> Option<Self> {
        let recent: Vec<Published> = recent.into_iter().map(Into::into).collect();
        if recent.iter().all(|published| self.known.contains(&published.row.block)) {
            return None;
        }
        let mut view = Self { known: recent_blocks(&self.counting), ..Self::default() };
        view.known.extend(recent_blocks(&recent));
        let rows = self.counting.iter().cloned().chain(recent).collect();
        view.take(gate::counting(rows));
        view.latest_ms = view.latest_ms.max(self.latest_ms);
        Some(view)
    }

    /// Whether nothing is missing that the view before doesn't miss: else a row that lies between others
    /// has not become visible yet, or never will.
    pub fn goes_on_from(&self, before: &Self) -> bool {
        let known = before.ends();
        self.ends().keys().all(|lane| known.contains_key(lane)) && self.missed() <= before.missed()
    }

    /// Offsets between a lane's first block and its end that no row covers, of all lanes.
    fn missed(&self) -> i64 {
        let mut rows: Vec<&LedgerRow> = self.counting.iter().map(AsRef::as_ref).collect();
        rows.sort_unstable_by_key(|row| row.first_offset);
        let mut ends: BTreeMap<&Lane, i64> = BTreeMap::new();
        let mut missed = 0;
        for row in rows {
            let end = ends.entry(&row.lane).or_insert(row.first_offset);
            missed += (row.first_offset - *end).max(0);
            *end = row.next_offset.max(*end);
        }
        missed
    }

    fn take(&mut self, counting: Vec<Published>) {
        self.known.extend(recent_blocks(&counting));
        self.latest_ms = counting.iter().map(|published| published.published_at_ms).max().unwrap_or(0);
        self.counting = counting;
    }

    pub fn counting(&self) -> &[Published] {
        &self.counting
    }

    /// The rows alone, as queries for their blocks take them.
    pub fn rows(&self) -> Vec<LedgerRow> {
        self.counting.iter().map(|published| published.row.clone()).collect()
    }

    /// Each lane's end, and when its latest block was published (epoch ms).
    pub fn ends(&self) -> BTreeMap<&Lane, (i64, i64)> {
        let mut ends: BTreeMap<&Lane, (i64, i64)> = BTreeMap::new();
        for Published { row, published_at_ms } in &self.counting {
            let end = ends.entry(&row.lane).or_insert((row.next_offset, *published_at_ms));
            *end = (end.0.max(row.next_offset), end.1.max(*published_at_ms));
        }
        ends
    }
}

fn recent_blocks(rows: &[Published]) -> HashSet<BlockId> {
    rows.iter().map(|published| published.row.block).collect()
}
