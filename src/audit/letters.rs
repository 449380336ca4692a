//! Dead letters: each rejected event once, whatever was sent twice, and its second way.
//!
//! The topic holds letters and marks. A mark says that a letter was sent again; it has the letter's
//! identity, and [`RETRIED`] as its last header. It follows its letter in the same partition, so that
//! retention never drops a mark before its letter.

mod retry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

pub use retry::{Chosen, NotRetried, Retry, retry};

use super::kafka;
use crate::clock::Time;
use crate::event::{Headers, Reason, Record};
use crate::source::{KafkaError, PartitionReader, Settings, Watermarks};

/// What odometer adds to a letter's headers begins so.
const OURS: &str = "odometer-";
/// The last header of a mark; its value is the time in epoch milliseconds.
const RETRIED: &str = "odometer-retried";

/// What tells a rejected event from every other: its place in the topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Position within the record.
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dead letter's id, which is TOPIC/PARTITION/OFFSET/INDEX, e.g. gateway.events/3/1042/0")]
pub struct InvalidLetterId(String);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.topic, self.partition, self.offset, self.index)
    }
}

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    /// The index may be left out where it is 0.
    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let parts: Vec<&str> = text.split('/').collect();
        let (place, index) = match parts[..] {
            [topic, partition, offset] => ([topic, partition, offset], "0"),
            [topic, partition, offset, index] => ([topic, partition, offset], index),
            _ => return Err(InvalidLetterId(text.to_owned())),
        };
        let read = || {
            Some(Self {
                topic: Some(place[0].to_owned()).filter(|topic| !topic.is_empty())?,
                partition: place[1].parse().ok()?,
                offset: place[2].parse().ok()?,
                index: index.parse().ok()?,
            })
        };
        read().ok_or_else(|| InvalidLetterId(text.to_owned()))
    }
}

impl LetterId {
    /// Sets of many ids hold these.
    fn hash(&self) -> u128 {
        xxh3_128(self.to_string().as_bytes())
    }
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is said of a letter without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    pub id: LetterId,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub index: u32,
    pub reason: String,
    pub detail: String,
    /// When the letter was sent.
    pub rejected_at: Option<Time>,
    /// The event's record's own time.
    pub recorded_at: Option<Time>,
    /// The value was cut, since the broker takes none that long.
    pub truncated: bool,
    /// Of the value.
    pub bytes: usize,
    pub retried: bool,
}

/// A letter with all that it holds.
#[derive(Clone, Debug)]
pub struct FullLetter {
    pub letter: Letter,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The original record's.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// One record of the topic.
pub enum Entry {
    Letter(Letter),
    Mark(LetterId),
    /// Somebody else's record.
    Foreign,
}

/// Which letters are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub reason: Option<Reason>,
    pub topic: Option<String>,
}

impl Filter {
    pub fn takes(&self, letter: &Letter) -> bool {
        self.reason.is_none_or(|reason| letter.reason == reason.as_str())
            && self.topic.as_ref().is_none_or(|topic| letter.topic == *topic)
    }
}

/// The newest letters that a filter takes, and how many there are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Letters {
    /// The newest first.
    pub data: Vec<Letter>,
    pub total: u64,
    pub by_reason: BTreeMap<String, u64>,
    /// Records of the topic that are no letters.
    pub foreign: u64,
}

/// Reads the topic to its end. Blocks.
pub fn list(settings: &Settings, filter: &Filter, limit: usize) -> Result<Letters, KafkaError> {
    let mut letters = Letters::default();
    let (mut seen, mut retried) = (HashSet::new(), HashSet::new());
    let mut newest: BTreeMap<(Option<Time>, LetterId), Letter> = BTreeMap::new();
    each(settings, &mut |_, entry| match entry {
        Entry::Letter(letter) if seen.insert(letter.id.hash()) && filter.takes(&letter) => {
            letters.total += 1;
            *letters.by_reason.entry(letter.reason.clone()).or_default() += 1;
            newest.insert((letter.rejected_at, letter.id.clone()), letter);
            if newest.len() > limit {
                newest.pop_first();
            }
        }
        Entry::Letter(_) => {}
        Entry::Mark(id) => drop(retried.insert(id.hash())),
        Entry::Foreign => letters.foreign += 1,
    })?;
    letters.data = newest.into_values().rev().collect();
    for letter in &mut letters.data {
        letter.retried = retried.contains(&letter.id.hash());
    }
    Ok(letters)
}

/// How many letters were sent from an instant on, by reason; each rejected event once, and none that
/// was sent again. Blocks.
pub fn count_since(settings: &Settings, since_ms: i64) -> Result<BTreeMap<String, u64>, KafkaError> {
    let mut reasons: HashMap<u128, String> = HashMap::new();
    let mut retried = HashSet::new();
    for (partition, range) in bounds(settings)? {
        let start = kafka::first_offset_since(settings, &settings.dead_letters, partition, since_ms)?;
        let range = start.unwrap_or(range.end).max(range.start)..range.end;
        let mut reader = PartitionReader::open(settings, &settings.dead_letters, partition, range)?;
        while reader.read(|record| match entry(record) {
            Entry::Letter(letter) => drop(reasons.insert(letter.id.hash(), letter.reason)),
            Entry::Mark(id) => drop(retried.insert(id.hash())),
            Entry::Foreign => {}
        })? {}
    }
    let mut by_reason = BTreeMap::new();
    for (_, reason) in reasons.into_iter().filter(|(id, _)| !retried.contains(id)) {
        *by_reason.entry(reason).or_default() += 1;
    }
    Ok(by_reason)
}

/// One letter with its content; `None` where it is not (or no longer) in the topic. Blocks.
pub fn find(settings: &Settings, id: &LetterId) -> Result<Option<FullLetter>, KafkaError> {
    let mut found: Option<FullLetter> = None;
    let mut retried = false;
    each(settings, &mut |record, entry| match entry {
        Entry::Letter(letter) if letter.id == *id && found.is_none() => found = Some(full(record, letter)),
        Entry::Mark(marked) => retried |= marked == *id,
        _ => {}
    })?;
    if let Some(full) = &mut found {
        full.letter.retried = retried;
    }
    Ok(found)
}

/// Visits every record that is in the topic now, partition by partition. A topic that is not there
/// holds none.
fn each(settings: &Settings, visit: &mut dyn FnMut(&Record<'_>, Entry)) -> Result<(), KafkaError> {
    for (partition, range) in bounds(settings)? {
        let mut reader = PartitionReader::open(settings, &settings.dead_letters, partition, range)?;
        while reader.read(|record| visit(record, entry(record)))? {}
    }
    Ok(())
}

/// Of each partition, the offsets that are there now.
fn bounds(settings: &Settings) -> Result<Vec<(i32, std::ops::Range<i64>)>, KafkaError> {
    let Some(partitions) = kafka::partitions(settings, &settings.dead_letters)? else {
        return Ok(Vec::new());
    };
    let watermarks = Watermarks::connect(settings)?;
    partitions
        .into_iter()
        .map(|partition| {
            let (start, end) = watermarks.read(&settings.dead_letters, partition)?;
            Ok((partition, start..end))
        })
        .collect()
}

/// What a record of the topic is.
fn entry(record: &Record<'_>) -> Entry {
    let Some(id) = id(record.headers) else { return Entry::Foreign };
    let mut last = String::new();
    record.headers.each(&mut |name, _| name.clone_into(&mut last));
    if last == RETRIED {
        return Entry::Mark(id);
    }
    let Some(reason) = text(record.headers, "odometer-reason") else { return Entry::Foreign };
    let recorded_ms = text(record.headers, "odometer-timestamp").and_then(|text| text.parse().ok());
    Entry::Letter(Letter {
        topic: id.topic.clone(),
        partition: id.partition,
        offset: id.offset,
        index: id.index,
        id,
        reason,
        detail: text(record.headers, "odometer-detail").unwrap_or_default(),
        rejected_at: record.timestamp_ms.map(Time),
        recorded_at: recorded_ms.map(Time),
        truncated: record.headers.get("odometer-truncated").is_some(),
        bytes: record.value.map_or(0, <[u8]>::len),
        retried: false,
    })
}

fn id(headers: &dyn Headers) -> Option<LetterId> {
    let number = |name| text(headers, name);
    Some(LetterId {
        topic: text(headers, "odometer-topic")?,
        partition: number("odometer-partition")?.parse().ok()?,
        offset: number("odometer-offset")?.parse().ok()?,
        index: number("odometer-index")?.parse().ok()?,
    })
}

fn text(headers: &dyn Headers, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

fn full(record: &Record<'_>, letter: Letter) -> FullLetter {
    FullLetter {
        letter,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: original_headers(record.headers),
    }
}

/// The event's own headers: those before ours. One of its own that is named like ours stays away
/// with them, so that it can't pretend to be.
fn original_headers(headers: &dyn Headers) -> Vec<(String, Option<Vec<u8>>)> {
    let mut original = Vec::new();
    headers.each(&mut |name, value| {
        if !name.starts_with(OURS) {
            original.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        }
    });
    original
}
