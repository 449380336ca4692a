//! Up to which instant the figures hold every event, and which months lost some.

use std::collections::{BTreeMap, BTreeSet};

use crate::aggregate::LedgerRow;
use crate::clock::Time;
use crate::event::Lane;
use crate::month::Month;

#[cfg(test)]
mod tests;

/// Figures that are older than this, in milliseconds, are incomplete: longer than a hand-over after
/// a crash takes (librdkafka's session time-out is 45 s), so that one does not look like missing
/// usage.
pub const FRESH_WITHIN_MS: i64 = 60_000;

/// How far one lane was seen and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStanding {
    pub lane: Lane,
    /// Epoch milliseconds of the latest look at the log whose end the ledger has reached.
    pub reached_at: Option<i64>,
    /// Epoch milliseconds of the publication of the latest block; `None`: none was published yet.
    pub published_at: Option<i64>,
}

/// Which lanes must be read to their end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The configured topics. A lane of another topic is nobody's any more: it holds nothing back.
    /// Empty: every lane that the ledger knows.
    pub topics: BTreeSet<String>,
    /// By topic, where the broker was asked: one that was never read holds all back.
    pub partitions: BTreeMap<String, Partitions>,
}

/// The partitions of a topic, as the broker told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    /// By partition, the latest instant (epoch ms) at which it was not there yet or nothing had ever
    /// reached it, where one is known.
    empty_at: Vec<Option<i64>>,
    asked_at: Option<i64>,
}

impl Partitions {
    /// The broker was asked at `asked_at` (epoch ms) and told of so many. Partitions are only added.
    pub fn told(&mut self, count: usize, asked_at: i64) {
        if count > self.empty_at.len() {
            self.empty_at.resize(count, self.asked_at);
        }
        self.asked_at = Some(asked_at);
    }

    /// By `asked_at` (epoch ms) nothing had ever reached the partition.
    pub fn empty(&mut self, partition: usize, asked_at: i64) {
        if let Some(empty_at) = self.empty_at.get_mut(partition) {
            *empty_at = (*empty_at).max(Some(asked_at));
        }
    }
}

/// The instant by which everything that had reached Kafka is in the figures; `None` where no lane
/// is known yet or one was never read to an end that somebody saw.
pub fn complete_through(lanes: &[LaneStanding], expected: &Expected) -> Option<Time> {
    let lanes = current_lanes(lanes, expected);
    let is_told = |topic: &str| expected.partitions.get(topic).is_some_and(|told| !told.empty_at.is_empty());
    let is_known = |topic: &str| lanes.keys().any(|(name, _)| *name == topic) || is_told(topic);
    if expected.topics.iter().any(|topic| !is_known(topic)) {
        return None;
    }
    // As long as nothing was in a partition, nobody has to read it. `None` is less than any instant.
    let unread = expected.topics.iter().flat_map(|topic| {
        let partitions = expected.partitions.get(topic).map_or(&[][..], |told| &told.empty_at);
        (0..).zip(partitions).filter(|(partition, _)| !lanes.contains_key(&(topic, *partition)))
    });
    let unread = unread.map(|(_, empty_at)| *empty_at);
    lanes.values().map(|lane| lane.reached_at).chain(unread).min().flatten().map(Time)
}

/// Of a topic that was made again, the lanes of the newest: nothing is published in the old ones any
/// more, and they stand still for ever.
fn current_lanes<'a>(
    lanes: &'a [LaneStanding],
    expected: &Expected,
) -> BTreeMap<(&'a str, i32), &'a LaneStanding> {
    let mut current: BTreeMap<(&str, i32), &LaneStanding> = BTreeMap::new();
    let wanted = |topic: &str| expected.topics.is_empty() || expected.topics.contains(topic);
    for standing in lanes.iter().filter(|standing| wanted(&standing.lane.topic)) {
        let place = (&*standing.lane.topic, standing.lane.partition);
        let held = current.entry(place).or_insert(standing);
        if held.published_at < standing.published_at {
            *held = standing;
        }
    }
    current
}

/// Events that were gone from the log before they were counted, or that no block covers. When they
/// happened is not known; it lies in [from_ms, to_ms].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// How far an event's time may lie from the time at which it came, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    pub past_ms: i64,
    pub future_ms: i64,
}

/// What the ledger says is missing. `counting` are all rows that count, each with its publication
/// in epoch milliseconds.
///
/// A lost event came after the block before the loss and before the loss was published, so it
/// belongs between the earliest time in that block, less what is accepted late, and the
/// publication, plus what is accepted early.
pub fn losses(counting: &[(&LedgerRow, i64)], acceptance: Acceptance) -> Vec<Loss> {
    let mut lanes: BTreeMap<&Lane, Vec<(&LedgerRow, i64)>> = BTreeMap::new();
    for (row, published_at) in counting {
        lanes.entry(&row.lane).or_default().push((row, *published_at));
    }
    for rows in lanes.values_mut() {
        rows.sort_by_key(|(row, _)| (row.first_offset, row.next_offset));
    }
    let losses_of = |(lane, rows): (&&Lane, &Vec<(&LedgerRow, i64)>)| {
        let begins_with_loss = rows.first().is_some_and(|(row, _)| !row.loss.is_empty());
        let before = if begins_with_loss { earliest_in_topic_before(&lanes, lane) } else { None };
        losses_of_lane(rows, before, acceptance)
    };
    lanes.iter().flat_map(losses_of).collect()
}

/// What a topic lost before it was made anew came after the last block of then: the earliest time in that.
fn earliest_in_topic_before(lanes: &BTreeMap<&Lane, Vec<(&LedgerRow, i64)>>, lane: &Lane) -> Option<i64> {
    let began = lanes.get(lane).and_then(|rows| rows.first()).map(|(_, at)| *at);
    let is_before = |other: &Lane| {
        other.topic == lane.topic && other.partition == lane.partition && other.topic_id != lane.topic_id
    };
    let others = lanes.iter().filter(|(other, _)| is_before(other));
    let last_blocks =
        others.filter_map(|(_, rows)| rows.iter().rev().find_map(|(row, at)| Some((*at, row.times?.0))));
    last_blocks.filter(|(at, _)| Some(*at) <= began).max().map(|(_, earliest)| earliest)
}

/// `rows` by offset; `earliest_before`: of the block before them, in a topic that is gone.
fn losses_of_lane(
    rows: &[(&LedgerRow, i64)],
    mut earliest_before: Option<i64>,
    acceptance: Acceptance,
) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut end = rows.first().map_or(0, |(row, _)| row.first_offset);
    for (row, published_at) in rows {
        if !row.loss.is_empty() || row.first_offset > end {
            losses.push(Loss {
                from_ms: earliest_before.map_or(i64::MIN, |earliest: i64| earliest - acceptance.past_ms),
                to_ms: published_at + acceptance.future_ms,
            });
        }
        end = end.max(row.next_offset);
        earliest_before = row.times.map(|(earliest, _)| earliest).or(earliest_before);
    }
    losses
}

impl Loss {
    pub fn touches(&self, month: Month) -> bool {
        self.from_ms < month.end_ms() && month.start_ms() <= self.to_ms
    }
}

/// Whether nothing is known to be missing from a month's figures: nothing was lost that could
/// belong to it, and they hold what had reached Kafka by its end (where it has not ended: by
/// [`FRESH_WITHIN_MS`] ago).
pub fn is_complete(month: Month, complete_through: Option<Time>, as_of: Time, losses: &[Loss]) -> bool {
    let ended = month.end_ms() <= as_of.0;
    let needed = if ended { month.end_ms() } else { as_of.0 - FRESH_WITHIN_MS };
    complete_through.is_some_and(|through| through.0 >= needed)
        && !losses.iter().any(|loss| loss.touches(month))
}
