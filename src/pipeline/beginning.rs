use std::io;
use std::ops::ControlFlow;

use super::counter::Start as CounterStart;
use super::rebuild::{Rebuild, known_rules};
use super::{IngestError, LaneCounter};
use crate::aggregate::{BlockKind, LedgerRow};
use crate::dedup::{CacheFull, Expected, Journal, StoredFrame, Window};
use crate::event::{Lane, Rules, RulesHash};
use crate::flush::{FinishedBlock, Stores, TakeOver, TakeOverError, take_over};
use crate::source::{Committed, Start};
use crate::store::Uncounted;

#[cfg(test)]
mod tests;

/// What a lane is begun with, whoever keeps the log, the group and the store.
pub struct Beginner<'a, S> {
    pub store: &'a S,
    /// Their windows, the lane's among them.
    pub expected: &'a Expected,
    pub group: &'a str,
    pub rules: &'a Rules,
    pub start: Start,
}

/// What the broker says of a lane that was just assigned.
#[derive(Clone, Debug)]
pub struct LaneState {
    pub lane: Lane,
    /// Of its topic.
    pub partitions: i32,
    pub committed: Option<Committed>,
    /// The first offset that the log still has.
    pub log_start: i64,
    /// The end of what may be read.
    pub log_end: i64,
}

/// A lane that was taken over and may be read.
pub struct Begun {
    pub taken: TakeOver,
    pub counter: LaneCounter,
    /// Published before anything that is counted: where a new lane starts, or what was lost.
    pub first: Vec<FinishedBlock>,
    pub journal: Option<Journal>,
    /// The offset to read from: below the ledger's end where the window must be rebuilt.
    pub read_from: i64,
}

/// How many offsets below the ledger's end the last record is looked for whose leader epoch tells
/// whether the log was cut: the last offsets may hold control records or aborted ones.
pub(super) const EPOCH_REACH: i64 = 256;

impl<S: Stores> Beginner<'_, S> {
    /// Takes a lane over. `tenure_id` is random and new.
    pub async fn begin(&self, state: &LaneState, tenure_id: u128) -> Result<Begun, IngestError> {
        let LaneState { lane, committed, .. } = state;
        let taken = take_over(self.store, lane, self.group, committed.as_ref(), tenure_id).await.map_err(
            |error| match error {
                TakeOverError::OtherGroup { .. } => IngestError::OtherGroup(error.to_string()),
                TakeOverError::Store { .. } | TakeOverError::Overtaken { .. } => {
                    IngestError::TakeOver(error.to_string())
                }
            },
        )?;
        let place = self.place(state, &taken).await?;
        let first = match taken.end() {
            Some(end) => first_blocks(state, &taken, end, self.rules.hash()),
            None => {
                let loss = self.loss_before(lane).await?;
                vec![FinishedBlock::empty(place, place, place, self.rules.hash(), loss)]
            }
        };
        let window_from = match (first.last(), taken.rows.last()) {
            (Some(block), _) => block.window_from,
            (None, Some(row)) => row.window_from,
            (None, None) => place,
        };
        let mut journal = self.open_journal(lane);
        let (start, read_from) = self.open_window(state, &taken, place, window_from, &mut journal).await?;
        let counter = LaneCounter::new(lane, self.rules, start)?;
        Ok(Begun { taken, counter, first, journal, read_from })
    }

    /// Where counting goes on: the ledger's end, or behind what was lost, or where a lane without
    /// history starts.
    async fn place(&self, state: &LaneState, taken: &TakeOver) -> Result<i64, IngestError> {
        if let Some(end) = taken.end() {
            return Ok(end.max(state.log_start));
        }
        // Asked for whatever `start` says: it may say something else when partitions are added.
        let first_partitions = self
            .store
            .first_partitions(&state.lane, state.partitions)
            .await
            .map_err(|error| IngestError::TakeOver(error.to_string()))?;
        // A partition that was added later holds nothing that anyone chose to pass over.
        let is_original = state.lane.partition < first_partitions;
        Ok(match self.start {
            Start::Latest if is_original => state.log_end,
            _ => state.log_start,
        })
    }

    /// What the topic lost that had the lane's name before, if it was deleted with records that were
    /// seen and not counted.
    async fn loss_before(&self, lane: &Lane) -> Result<String, IngestError> {
        let uncounted = self
            .store
            .uncounted_before(lane)
            .await
            .map_err(|error| IngestError::TakeOver(error.to_string()))?;
        let Some(Uncounted { topic_id, end, high }) = uncounted else { return Ok(String::new()) };
        let loss = format!(
            "the topic was deleted and made again: of the log that it had as {topic_id} the ledger ended at {end}, \
             and {high} was the end that was seen last: at most {} records, and what came after, were never read",
            high - end
        );
        tracing::error!(%lane, "records were lost: {loss}");
        Ok(loss)
    }

    /// Opens the window at `end`: from the journal as far as that reaches, from the log beyond.
    /// Answers with the offset to read from.
    async fn open_window(
        &self,
        state: &LaneState,
        taken: &TakeOver,
        end: i64,
        window_from: i64,
        journal: &mut Option<Journal>,
    ) -> Result<(CounterStart, i64), IngestError> {
        let width = i64::try_from(self.rules.dedup_window).unwrap_or(i64::MAX);
        let first_counted = taken.rows.first().map_or(end, |row| row.first_offset);
        let needed_from = end.saturating_sub(width).max(first_counted);
        let covered_end = taken.end().unwrap_or(end);
        let mut window = Window::begin(self.rules.dedup_window, needed_from, self.expected)?;
        let mut reached = needed_from;
        if let Some(open) = journal {
            match replay(open, &mut window, &taken.rows, needed_from, covered_end) {
                Ok(offset) => reached = offset,
                // The window goes before the journal, which takes room from it; but not where the journal
                // alone knows what the log has no more.
                Err(ReplayError::Full(full))
                    if !full.is_disk || open.bytes() == 0 || state.log_start > needed_from =>
                {
                    return Err(full.into());
                }
                Err(error) => {
                    tracing::warn!(lane = %state.lane, "read journal: {error}; the window is read from the log");
                    if matches!(error, ReplayError::Full(_))
                        && let Err(error) = open.clear()
                    {
                        tracing::warn!(lane = %state.lane, "remove journal: {error}");
                    }
                    *journal = None;
                    drop(window);
                    window = Window::begin_again(self.rules.dedup_window, needed_from, self.expected)?;
                }
            }
        }
        let has_hole = state.log_start > reached && reached < covered_end;
        let window_from = if has_hole { window_from.max(state.log_start) } else { window_from };
        // Where the log was cut short of the ledger, reading begins at what is left of it.
        let read_from = reached.max(state.log_start).min(end).min(state.log_end.max(state.log_start));
        // What the journal holds is not read into the window once more.
        let known_to = reached.max(read_from);
        let rebuild =
            if known_to < end { Some(self.rebuild(&state.lane, taken, known_to).await?) } else { None };
        let last_record = last_record(taken)
            .filter(|(offset, _)| state.log_end >= covered_end && *offset >= state.log_start);
        let read_from = last_record.map_or(read_from, |(offset, _)| {
            read_from.min(offset.saturating_sub(EPOCH_REACH)).max(state.log_start)
        });
        let is_cut_short = state.log_end < end;
        Ok((CounterStart { end, window, window_from, rebuild, last_record, is_cut_short }, read_from))
    }

    fn open_journal(&self, lane: &Lane) -> Option<Journal> {
        Journal::open(self.expected.cache(), lane)
            .inspect_err(|error| {
                tracing::warn!(%lane, "open journal: {error}; every start reads the window from the log");
            })
            .ok()
    }

    async fn rebuild(&self, lane: &Lane, taken: &TakeOver, from: i64) -> Result<Rebuild, IngestError> {
        let rows: Vec<_> = taken.rows.iter().filter(|row| row.next_offset > from).cloned().collect();
        let rules = known_rules(self.store, &rows, self.rules)
            .await
            .map_err(|error| IngestError::TakeOver(error.to_string()))?;
        for row in rows.iter().filter(|row| !rules.contains_key(&row.rules)) {
            tracing::error!(
                %lane,
                "the configuration {} of offsets [{}, {}) is not in the database; their keys are unknown",
                row.rules, row.first_offset, row.next_offset
            );
        }
        Ok(Rebuild::new(&lane.topic, from, &rows, &rules)?)
    }
}

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("{0}")]
    Full(CacheFull),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Fills the window from the journal; answers with the offset that it knows everything below.
fn replay(
    journal: &mut Journal,
    window: &mut Window,
    rows: &[LedgerRow],
    from: i64,
    end: i64,
) -> Result<i64, ReplayError> {
    let mut full = None;
    let mut together = Vec::with_capacity(REPLAYED_TOGETHER);
    let mut remember = |frame: &StoredFrame| {
        let mut needed = frame.occurrences().skip_while(|at| at.offset < from);
        loop {
            together.clear();
            together.extend(needed.by_ref().take(REPLAYED_TOGETHER));
            if together.is_empty() {
                return Ok(());
            }
            window.remember(&together)?;
        }
    };
    let reached = journal.replay(
        from,
        end,
        |frame| is_covered_by(rows, frame.first, frame.next, frame.rules),
        |frame| {
            full = remember(frame).err();
            if full.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    full.map_or(Ok(reached?), |full| Err(ReplayError::Full(full)))
}

/// Keys of a frame that are unpacked at once.
const REPLAYED_TOGETHER: usize = 1_024;

/// What is published before anything that is counted, where the ledger ends at `end`.
fn first_blocks(state: &LaneState, taken: &TakeOver, end: i64, rules: RulesHash) -> Vec<FinishedBlock> {
    let (lane, log_start, log_end) = (&state.lane, state.log_start, state.log_end);
    let window_from = taken.rows.last().map_or(end, |row| row.window_from);
    if log_start > end {
        let loss = format!(
            "the log starts at {log_start}, the ledger ended at {end}: at most {} records were never read",
            log_start - end
        );
        tracing::error!(%lane, "records were lost: {loss}");
        return vec![FinishedBlock::empty(end, log_start, log_start, rules, loss)];
    }
    let is_known = taken.rows.last().is_some_and(|row| !row.loss.is_empty());
    if log_end < end && !is_known {
        let loss = format!(
            "the log ends at {log_end}, the ledger at {end}: records were counted that the log has lost, and \
             what takes their offsets is not counted; `odometer recount` counts the range again"
        );
        tracing::error!(%lane, "the log was cut: {loss}");
        return vec![FinishedBlock::empty(end, end, window_from, rules, loss)];
    }
    Vec::new()
}

/// The greatest offset that the last record below the ledger's end may have, and its leader epoch, as
/// the ledger keeps it. Rows without an epoch hold no record, but for recounts, which keep none.
fn last_record(taken: &TakeOver) -> Option<(i64, i32)> {
    let mut end = None;
    for row in taken.rows.iter().rev().take_while(|row| row.loss.is_empty()) {
        let next = *end.get_or_insert(row.next_offset);
        if row.leader_epoch >= 0 {
            return Some((next - 1, row.leader_epoch));
        }
        if row.kind == BlockKind::Recount {
            end = None;
        }
    }
    None
}

/// Whether the row that counts over [first, next), alone, was made under `rules` as the log went by: a
/// recount found the log, or its rules, to be others. A block is a row, or part of one that it was
/// rolled up into: what begins or ends elsewhere is no block of this ledger.
fn is_covered_by(rows: &[LedgerRow], first: i64, next: i64, rules: RulesHash) -> bool {
    let is_counted_so =
        |row: &LedgerRow| row.rules == rules && row.loss.is_empty() && row.kind != BlockKind::Recount;
    let covers = |row: &LedgerRow| row.first_offset <= first && next <= row.next_offset;
    first == next || rows.iter().any(|row| covers(row) && is_counted_so(row))
}
