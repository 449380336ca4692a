use std::collections::HashMap;
use std::ops::Range;

use super::IngestError;
use super::LaneCounter;
use super::beginning::EPOCH_REACH;
use super::counter::Start;
use super::rebuild::Rebuild;
use crate::aggregate::LedgerRow;
use crate::dedup::{Cache, Window};
use crate::event::{EventKey, Lane, Record, Rules, RulesHash};
use crate::flush::FinishedBlock;

#[cfg(test)]
mod tests;

/// A range of a lane's log, read as often as needed.
pub trait Log {
    /// Visits the records of [start, end) in order.
    fn read(&self, range: Range<i64>, visit: &mut dyn FnMut(&Record<'_>)) -> Result<(), IngestError>;

    /// The leader epoch of the last record of [start, end) that the log has; -1 where it has none.
    fn last_epoch(&self, range: Range<i64>) -> Result<i32, IngestError>;

    /// The first offset that the log still has.
    fn start(&self) -> Result<i64, IngestError>;
}

/// Counts a past range of a lane again, under today's rules.
pub struct Recounter<'a, L> {
    pub lane: &'a Lane,
    pub log: &'a L,
    /// Today's.
    pub rules: &'a Rules,
    /// The rules of every hash that `rows` name.
    pub known: &'a HashMap<RulesHash, Rules>,
    /// The lane's rows that count, in the order of their offsets.
    pub rows: &'a [LedgerRow],
    pub cache: &'a Cache,
}

/// A range that was counted again.
pub struct Recounted {
    /// Which of the rows it replaces.
    pub rows: Range<usize>,
    pub block: FinishedBlock,
    /// Keys that the range claims now, or claimed before, may occur again behind the lane's end: the
    /// owner's window must be made anew.
    pub replaces_window: bool,
}

/// Why a range can't be counted again; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    #[error("the ledger has no block in that range")]
    Nothing,
    #[error(
        "records of that range were never read: {loss}; recount before and after offsets [{first}, {next})"
    )]
    Loss { first: i64, next: i64, loss: String },
    #[error(
        "the log was cut at offset {offset} and nothing was counted behind it yet; recount once something is"
    )]
    Behind { offset: i64 },
    #[error(
        "the log was cut somewhere below offset {cut}, and it starts at {log_start} now, which may be behind \
         that: what is gone can't be counted again; recount behind offset {cut} only"
    )]
    CutGone { cut: i64, log_start: i64 },
    #[error("the log starts at {log_start}, the block at {first}: what is gone can't be counted again")]
    LogGone { first: i64, log_start: i64 },
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// A recount keeps no leader epoch: the records that it read may be others than those of its rows.
const UNKNOWN_EPOCH: i32 = -1;

/// Each key's last occurrence: its offset and content.
type Claims = HashMap<EventKey, (i64, u32)>;

impl<L: Log> Recounter<'_, L> {
    /// Counts the blocks that [from, to) touches, and those behind them that the change reaches.
    pub fn count(&self, from: i64, to: i64) -> Result<Recounted, RecountError> {
        let mut rows = self.touched(from, to).ok_or(RecountError::Nothing)?;
        loop {
            let cut = self.last_cut(&rows);
            if let Some(cut) = cut {
                rows.start = self.first_row_cut(rows.start, cut)?;
            }
            let end = cut.map_or(rows.end, |cut| self.row_after(cut));
            if end > rows.end {
                rows.end = end;
                continue;
            }
            if self.is_cut(rows.end - 1) && rows.end < self.rows.len() {
                rows.end += 1;
                continue;
            }
            self.check(&rows)?;
            let (block, claims) = self.count_rows(&rows)?;
            let changed = difference(claims, self.old_claims(&rows)?);
            let lane_end = self.rows.last().map_or(0, |row| row.next_offset);
            // What was claimed before is read from the log as it is now. Where a cut has not been noticed
            // yet, the owner's window may hold other keys, so it is made anew wherever it reaches back.
            let replaces_window = |last: i64| lane_end - last.max(block.next) <= self.widest();
            let Some(last) = changed.values().copied().max() else {
                return Ok(Recounted { rows, replaces_window: replaces_window(cut.unwrap_or(0)), block });
            };
            match self.last_row_reached(rows.end, &changed, last)? {
                // One of the keys occurs again: what was judged there may change as well.
                Some(row) => rows.end = row + 1,
                None => {
                    let replaces_window = replaces_window(last.max(cut.unwrap_or(last)));
                    return Ok(Recounted { rows, block, replaces_window });
                }
            }
        }
    }

    /// Where the log was cut, at the latest, after rows of the range were counted. The loss row lies at
    /// the ledger's end of that time; how far below it the log was cut, nobody knows. What the log held
    /// before can't be read any more, so every key may have been claimed there: all that lies up to a
    /// window behind the loss row is counted again too, and with that the cut is mended.
    fn last_cut(&self, rows: &Range<usize>) -> Option<i64> {
        let first = self.rows[rows.start].first_offset;
        let cuts =
            (0..self.rows.len()).filter(|row| self.is_cut(*row)).map(|row| self.rows[row].first_offset);
        cuts.filter(|cut| first < *cut).max()
    }

    /// The row from which on the log may be another than the one that was counted, at most `start`. What
    /// ends with a record of the same leader epoch as the log has there was not cut: all below it is the
    /// same. Without this, a recount of a part would cover the loss row and so hide the rest.
    fn first_row_cut(&self, start: usize, cut: i64) -> Result<usize, RecountError> {
        let mut first = start;
        for row in self.rows[..start].iter().rev() {
            // The log began behind what was never read, and was not cut below its start.
            let was_never_read = !row.loss.is_empty() && row.first_offset < row.next_offset;
            if was_never_read || self.is_as_counted(row, cut)? {
                break;
            }
            first -= 1;
        }
        Ok(first)
    }

    /// Whether the log still holds the last record that the row counted. A recount doesn't know.
    fn is_as_counted(&self, row: &LedgerRow, cut: i64) -> Result<bool, RecountError> {
        let log_start = self.log.start()?;
        if row.first_offset < row.next_offset && row.next_offset <= log_start {
            return Err(RecountError::CutGone { cut, log_start });
        }
        if row.leader_epoch < 0 {
            return Ok(false);
        }
        let from = row.next_offset.saturating_sub(EPOCH_REACH).max(row.first_offset);
        Ok(self.log.last_epoch(from..row.next_offset)? == row.leader_epoch)
    }

    /// Whether the row says that the log was cut where it lies: at the end of what was counted of it.
    fn is_cut(&self, row: usize) -> bool {
        let row = &self.rows[row];
        !row.loss.is_empty() && row.first_offset == row.next_offset
    }

    /// The number of rows up to a window behind `cut`.
    fn row_after(&self, cut: i64) -> usize {
        let reach = cut.saturating_add(self.widest());
        self.rows.iter().rposition(|row| row.first_offset <= reach).map_or(0, |last| last + 1)
    }

    fn touched(&self, from: i64, to: i64) -> Option<Range<usize>> {
        let start = self.rows.iter().position(|row| row.next_offset > from)?;
        let mut end = self.rows.iter().rposition(|row| row.first_offset < to)? + 1;
        if start >= end {
            return None;
        }
        // A loss without offsets that lies at the range's end tells of a cut within it; only a range
        // that goes on behind it covers it.
        while end < self.rows.len() && self.is_cut(end) {
            end += 1;
        }
        Some(start..end)
    }

    fn check(&self, rows: &Range<usize>) -> Result<(), RecountError> {
        let rows = &self.rows[rows.clone()];
        // A loss without offsets says that the log was cut there; counting again mends it.
        if let Some(row) = rows.iter().find(|row| !row.loss.is_empty() && row.first_offset < row.next_offset)
        {
            let (first, next) = (row.first_offset, row.next_offset);
            return Err(RecountError::Loss { first, next, loss: row.loss.clone() });
        }
        if let Some(last) = rows.last().filter(|row| !row.loss.is_empty()) {
            return Err(RecountError::Behind { offset: last.first_offset });
        }
        let (first, log_start) = (rows[0].first_offset, self.log.start()?);
        if log_start > first {
            return Err(RecountError::LogGone { first, log_start });
        }
        Ok(())
    }

    fn count_rows(&self, rows: &Range<usize>) -> Result<(FinishedBlock, Claims), RecountError> {
        let covered = &self.rows[rows.clone()];
        let (first, next) = (covered[0].first_offset, covered[covered.len() - 1].next_offset);
        let width = i64::try_from(self.rules.dedup_window).unwrap_or(i64::MAX);
        let whole_from = self.rows[0].first_offset;
        let needed_from = first.saturating_sub(width).max(whole_from);
        let read_from = needed_from.max(self.log.start()?);
        let window_from = if read_from > needed_from {
            covered[0].window_from.max(read_from)
        } else {
            covered[0].window_from
        };
        let expected = self.cache.expect(1);
        let window =
            Window::begin(self.rules.dedup_window, read_from, &expected).map_err(IngestError::from)?;
        let before = self.reader(read_from, &self.rows[..rows.start])?;
        let start = Start {
            end: first,
            window,
            window_from,
            rebuild: Some(before),
            last_record: None,
            is_cut_short: false,
        };
        let mut counter = LaneCounter::new(self.lane, self.rules, start).map_err(IngestError::from)?;
        let mut failure = None;
        self.log.read(read_from..next, &mut |record| {
            if failure.is_none() {
                failure = counter.take(record, UNKNOWN_EPOCH).err();
            }
        })?;
        if let Some(full) = failure {
            return Err(IngestError::from(full).into());
        }
        counter.reach(next).map_err(IngestError::from)?;
        let block = counter.close().finish();
        let claims = block.occurrences.iter().map(|at| (at.key, (at.offset, at.content))).collect();
        Ok((block, claims))
    }

    /// What the rows claimed when they were counted.
    fn old_claims(&self, rows: &Range<usize>) -> Result<Claims, RecountError> {
        let covered = &self.rows[rows.clone()];
        let (first, next) = (covered[0].first_offset, covered[covered.len() - 1].next_offset);
        let mut reader = self.reader(first, covered)?;
        let mut claims = Claims::new();
        self.log.read(first..next, &mut |record| {
            reader.each_key(record, |at| {
                claims.insert(at.key, (at.offset, at.content));
            });
        })?;
        Ok(claims)
    }

    /// The last row from `start` on in which one of the changed keys occurs while it is remembered.
    fn last_row_reached(
        &self,
        start: usize,
        changed: &HashMap<EventKey, i64>,
        last: i64,
    ) -> Result<Option<usize>, RecountError> {
        let behind = &self.rows[start..];
        let (Some(first), Some(end)) = (behind.first(), behind.last()) else { return Ok(None) };
        let until = end.next_offset.min(last.saturating_add(self.widest()).saturating_add(1));
        let mut reader = self.reader(first.first_offset, behind)?;
        let mut reached = None;
        self.log.read(first.first_offset..until, &mut |record| {
            reader.each_key(record, |at| {
                if changed.contains_key(&at.key) {
                    reached = Some(at.offset);
                }
            });
        })?;
        Ok(reached.and_then(|offset| self.rows.iter().position(|row| row.next_offset > offset)))
    }

    /// The widest window that any of the rules has.
    fn widest(&self) -> i64 {
        let widths = self.known.values().map(|rules| rules.dedup_window);
        let widest = widths.chain([self.rules.dedup_window]).max().unwrap_or(0);
        i64::try_from(widest).unwrap_or(i64::MAX)
    }

    fn reader(&self, from: i64, rows: &[LedgerRow]) -> Result<Rebuild, RecountError> {
        Ok(Rebuild::new(&self.lane.topic, from, rows, self.known).map_err(IngestError::from)?)
    }
}

/// The keys whose last occurrence is not the same in both, each with the later of the two offsets.
fn difference(new: Claims, mut old: Claims) -> HashMap<EventKey, i64> {
    let mut changed = HashMap::new();
    for (key, claim) in new {
        let other = old.remove(&key);
        if other != Some(claim) {
            changed.insert(key, other.map_or(claim.0, |other| claim.0.max(other.0)));
        }
    }
    changed.extend(old.into_iter().map(|(key, (offset, _))| (key, offset)));
    changed
}
