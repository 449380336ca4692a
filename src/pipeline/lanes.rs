use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::counter::Beginning;
use super::lane_task::{LanePublisher, LaneTask};
use super::rebuild::Rebuild;
use super::{IngestError, LaneCounter, Settings};
use crate::clock::Clock;
use crate::dedup::{Cache, Journal, Window};
use crate::event::{Lane, Rules};
use crate::flush::{FinishedBlock, Publisher, TakeOver, take_over};
use crate::source::{Client, DeadLetters, Fence, Start, TopicDescription};
use crate::store::Store;

/// What every lane of a session is begun with.
pub struct Grounds<'a> {
    pub settings: &'a Settings,
    pub client: &'a Client,
    pub fence: &'a Arc<Fence>,
    pub store: &'a Store,
    pub letters: &'a DeadLetters,
    pub cache: &'a Cache,
    pub clock: &'a Clock,
}

/// A lane that was taken over and may be read.
pub struct Begun {
    pub counter: LaneCounter,
    pub task: LaneTask,
    /// The offset to read from: below the ledger's end where the window must be rebuilt.
    pub read_from: i64,
}

/// Where a lane's log begins and ends, as the broker says.
#[derive(Clone, Copy)]
struct LogBounds {
    start: i64,
    end: i64,
}

impl Grounds<'_> {
    /// Takes a lane over, in slot `slot` of the session.
    pub async fn begin(&self, topic: &TopicDescription, partition: i32, slot: usize) -> Result<Begun, IngestError> {
        let lane = topic.lane(partition);
        let rules = self
            .settings
            .rules
            .get(&*lane.topic)
            .ok_or_else(|| IngestError::UnknownTopic { topic: lane.topic.to_string() })?;
        let committed = self.client.committed(&lane.topic, partition)?;
        let (start, end) = self.client.watermarks().read(&lane.topic, partition)?;
        let log = LogBounds { start, end };
        let tenure_id = rand::random();
        let taken = take_over(self.store, &lane, &self.settings.kafka.group, committed.as_ref(), tenure_id)
            .await
            .map_err(|error| IngestError::TakeOver(error.to_string()))?;
        let place = self.place(&lane, &taken, log).await?;
        let first = first_blocks(&lane, &taken, place, log, rules);
        let window_from = match (taken.rows.last(), first.last()) {
            (_, Some(block)) => block.window_from,
            (Some(row), None) => row.window_from,
            (None, None) => place,
        };
        let (beginning, journal, read_from) = self.open_window(&lane, rules, &taken, place, window_from, log).await?;
        let counter = LaneCounter::new(&lane, rules, beginning)?;
        self.fence.hold(&taken.tenure);
        let publisher: LanePublisher = Publisher::new(
            self.store.clone(),
            Arc::clone(self.fence),
            self.letters.clone(),
            &self.settings.kafka.group,
            &taken,
        );
        let task = LaneTask {
            slot,
            publisher,
            journal,
            width: i64::try_from(rules.dedup_window).unwrap_or(i64::MAX),
            first,
            roll_interval: self.settings.roll_interval + stagger(&lane, self.settings.roll_interval),
            clock: self.clock.clone(),
        };
        tracing::info!(%lane, token = taken.tenure.token, at = place, read_from, "took lane over");
        Ok(Begun { counter, task, read_from })
    }

    /// Where counting goes on: the ledger's end, or behind what was lost, or where a lane without
    /// history starts.
    async fn place(&self, lane: &Lane, taken: &TakeOver, log: LogBounds) -> Result<i64, IngestError> {
        if let Some(end) = taken.end() {
            return Ok(end.max(log.start));
        }
        let siblings = self.store.topic_lanes(&lane.topic, &lane.topic_id).await?;
        // A partition that was added later holds nothing that anyone chose to pass over.
        let is_first_start = siblings.iter().all(|partition| *partition == lane.partition);
        Ok(match self.settings.kafka.start {
            Start::Latest if is_first_start => log.end,
            _ => log.start,
        })
    }

    /// Opens the window at `end`: from the journal as far as that reaches, from the log beyond.
    async fn open_window(
        &self,
        lane: &Lane,
        rules: &Rules,
        taken: &TakeOver,
        end: i64,
        window_from: i64,
        log: LogBounds,
    ) -> Result<(Beginning, Option<Journal>, i64), IngestError> {
        let width = i64::try_from(rules.dedup_window).unwrap_or(i64::MAX);
        let whole_from = taken.rows.first().map_or(end, |row| row.first_offset);
        let needed_from = end.saturating_sub(width).max(whole_from);
        let mut window = Window::new(rules.dedup_window, needed_from, self.cache)?;
        let mut journal = self.open_journal(lane);
        let covered_end = taken.end().unwrap_or(end);
        let mut reached = needed_from;
        let mut full = None;
        if let Some(journal) = &mut journal {
            reached = journal
                .replay(
                    needed_from,
                    covered_end,
                    |frame| is_covered_by(&taken.rows, frame.first, frame.next, frame.rules),
                    |frame| {
                        for at in frame.occurrences.into_iter().filter(|at| at.offset >= needed_from) {
                            if full.is_none() {
                                full = window.observe(at).err();
                            }
                        }
                    },
                )
                .unwrap_or_else(|error| {
                    tracing::warn!(%lane, "read journal: {error}; the window is read from the log");
                    needed_from
                });
        }
        if let Some(full) = full {
            return Err(full.into());
        }
        // Where the log was cut short of the ledger, reading begins at what is left of it.
        let read_from = reached.max(log.start).min(end).min(log.end.max(log.start));
        let window_from = if log.start > reached && reached < covered_end { window_from.max(log.start) } else { window_from };
        let rebuild = if read_from < end { Some(self.rebuild(lane, rules, taken, read_from).await?) } else { None };
        let (expected_epoch, read_from) = match last_epoch(taken).filter(|_| log.end >= covered_end) {
            Some((offset, epoch)) if offset >= log.start => (epoch, read_from.min(offset)),
            _ => (-1, read_from),
        };
        Ok((Beginning { end, window, window_from, rebuild, expected_epoch }, journal, read_from))
    }

    fn open_journal(&self, lane: &Lane) -> Option<Journal> {
        Journal::open(self.cache, lane)
            .inspect_err(|error| {
                tracing::warn!(%lane, "open journal: {error}; every start reads the window from the log");
            })
            .ok()
    }

    async fn rebuild(&self, lane: &Lane, current: &Rules, taken: &TakeOver, from: i64) -> Result<Rebuild, IngestError> {
        let rows: Vec<_> = taken.rows.iter().filter(|row| row.next_offset > from).cloned().collect();
        let mut rules = HashMap::from([(current.hash(), current.clone())]);
        for row in &rows {
            if !rules.contains_key(&row.rules) {
                match self.store.rules(row.rules).await? {
                    Some(stored) => drop(rules.insert(row.rules, stored)),
                    None => tracing::error!(
                        %lane,
                        "the configuration {} of offsets [{}, {}) is not in the database; their keys are unknown",
                        row.rules, row.first_offset, row.next_offset
                    ),
                }
            }
        }
        Ok(Rebuild::new(&lane.topic, from, &rows, &rules)?)
    }
}

/// What is published before anything that is counted.
fn first_blocks(lane: &Lane, taken: &TakeOver, place: i64, log: LogBounds, rules: &Rules) -> Vec<FinishedBlock> {
    let hash = rules.hash();
    let Some(end) = taken.end() else {
        return vec![FinishedBlock::empty(place, place, place, hash, String::new())];
    };
    let window_from = taken.rows.last().map_or(end, |row| row.window_from);
    if log.start > end {
        let loss = format!(
            "the log starts at {}, the ledger ended at {end}: at most {} records were never read",
            log.start,
            log.start - end
        );
        tracing::error!(%lane, "records were lost: {loss}");
        return vec![FinishedBlock::empty(end, log.start, log.start, hash, loss)];
    }
    let is_known = taken.rows.last().is_some_and(|row| !row.loss.is_empty());
    if log.end < end && !is_known {
        let loss = format!(
            "the log ends at {}, the ledger at {end}: records were counted that the log has lost, and what \
             takes their offsets is not counted; `odometer recount` counts the range again",
            log.end
        );
        tracing::error!(%lane, "the log was cut: {loss}");
        return vec![FinishedBlock::empty(end, end, window_from, hash, loss)];
    }
    Vec::new()
}

/// The offset and leader epoch of the last record below the ledger's end, as the ledger keeps it.
fn last_epoch(taken: &TakeOver) -> Option<(i64, i32)> {
    let row = taken.rows.iter().rev().take_while(|row| row.loss.is_empty()).find(|row| row.leader_epoch >= 0)?;
    Some((row.next_offset - 1, row.leader_epoch))
}

/// Whether the rows that count over [first, next) were all made under `rules`.
fn is_covered_by(
    rows: &[crate::aggregate::LedgerRow],
    first: i64,
    next: i64,
    rules: crate::event::RulesHash,
) -> bool {
    rows.iter()
        .filter(|row| row.first_offset < next && first < row.next_offset)
        .all(|row| row.rules == rules && row.loss.is_empty())
}

/// Lanes roll up one after another, not all at once.
fn stagger(lane: &Lane, interval: Duration) -> Duration {
    interval * u32::try_from(lane.partition.rem_euclid(16)).unwrap_or(0) / 64
}
