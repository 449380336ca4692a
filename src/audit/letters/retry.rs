//! Sends letters again to where they came from.
//!
//! A letter and its mark are sent in one transaction, so that a letter is sent again at most once,
//! and every letter of a retry that ends well exactly once, whatever is killed in between: a later
//! retry takes over from an earlier one (which can then commit no more), reads the marks, and leaves
//! marked letters alone.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::super::kafka::{OwnedRecord, SendError, TransactionalSender, partitions};
use super::{Entry, Filter, Letter, LetterId, RETRIED, bounds, each, entry, full};
use crate::clock::Clock;
use crate::event::{Reason, Record};
use crate::source::{KafkaError, PartitionReader, Settings};

/// The header of an event that was sent again: its letter's id.
const RETRY_OF: &str = "odometer-retry-of";
/// Of one transaction.
const MOST_LETTERS: usize = 500;
const MOST_BYTES: usize = 8 << 20;

/// Which letters are to be sent again.
#[derive(Clone, Debug)]
pub enum Chosen {
    Ids(HashSet<LetterId>),
    All(Filter),
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Retry {
    /// Sent now.
    pub sent: u64,
    /// Sent by an earlier retry.
    pub already_retried: u64,
    pub not_retried: Vec<NotRetried>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotRetried {
    pub id: LetterId,
    pub why: String,
}

struct Sending<'a> {
    sender: TransactionalSender,
    settings: &'a Settings,
    clock: &'a Clock,
    outcome: Retry,
    bundle: Vec<(LetterId, [OwnedRecord; 2])>,
    bytes: usize,
    /// By topic; `None`: it does not exist.
    partitions: HashMap<String, Option<Vec<i32>>>,
}

/// Sends the chosen letters again. Blocks.
pub fn retry(settings: &Settings, chosen: &Chosen, clock: &Clock) -> Result<Retry, KafkaError> {
    let id = format!("{}-dead-letters-retry", settings.dead_letters);
    let sender = TransactionalSender::connect(settings, &id)?;
    // After taking over, so that no mark comes later than it is looked for.
    let mut marked = HashSet::new();
    each(settings, &mut |_, entry| {
        if let Entry::Mark(id) = entry {
            marked.insert(id.hash());
        }
    })?;
    let mut sending = Sending {
        sender,
        settings,
        clock,
        outcome: Retry::default(),
        bundle: Vec::new(),
        bytes: 0,
        partitions: HashMap::new(),
    };
    let mut seen = HashSet::new();
    for (partition, range) in bounds(settings)? {
        let mut reader = PartitionReader::open(settings, &settings.dead_letters, partition, range)?;
        loop {
            let mut failed = Ok(());
            let more = reader.read(|record| {
                if let (Entry::Letter(letter), Ok(())) = (entry(record), &failed)
                    && chosen.takes(&letter)
                    && seen.insert(letter.id.hash())
                {
                    failed = sending.take(record, letter, &marked);
                }
            })?;
            failed?;
            if !more {
                break;
            }
        }
    }
    sending.flush()?;
    if let Chosen::Ids(ids) = chosen {
        let missing = ids.iter().filter(|id| !seen.contains(&id.hash()));
        sending.outcome.not_retried.extend(
            missing.map(|id| NotRetried {
                id: id.clone(),
                why: "there is no such dead letter (any more)".into(),
            }),
        );
    }
    Ok(sending.outcome)
}

impl Chosen {
    fn takes(&self, letter: &Letter) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&letter.id),
            // Within the window it would be a duplicate of itself, beyond it an event that was counted
            // with other content would count twice: only where it is named.
            Self::All(filter) => {
                let is_named = filter.reason == Some(Reason::ConflictingDuplicate);
                let conflicts = letter.reason == Reason::ConflictingDuplicate.as_str();
                filter.takes(letter) && (is_named || !conflicts)
            }
        }
    }
}

impl Sending<'_> {
    fn take(
        &mut self,
        record: &Record<'_>,
        letter: Letter,
        marked: &HashSet<u128>,
    ) -> Result<(), KafkaError> {
        if marked.contains(&letter.id.hash()) {
            self.outcome.already_retried += 1;
            return Ok(());
        }
        if letter.truncated {
            self.refuse(letter.id, "its value was cut: send it again from its source");
            return Ok(());
        }
        let partitions = match self.partitions.get(&letter.topic) {
            Some(known) => known,
            None => {
                let found = partitions(self.settings, &letter.topic)?;
                self.partitions.entry(letter.topic.clone()).or_insert(found)
            }
        };
        if !partitions.as_ref().is_some_and(|partitions| partitions.contains(&letter.partition)) {
            let why =
                format!("partition {} of topic {} does not exist any more", letter.partition, letter.topic);
            self.refuse(letter.id, why);
            return Ok(());
        }
        let id = letter.id.clone();
        let records = [event(record, letter), self.mark(record, &id)];
        self.bytes += records.iter().map(OwnedRecord::size).sum::<usize>();
        self.bundle.push((id, records));
        if self.bundle.len() >= MOST_LETTERS || self.bytes >= MOST_BYTES { self.flush() } else { Ok(()) }
    }

    /// The letter's own headers, without its content, and that it was sent again.
    fn mark(&self, record: &Record<'_>, id: &LetterId) -> OwnedRecord {
        let mut headers: Vec<(String, Option<Vec<u8>>)> = Vec::new();
        for name in
            ["odometer-reason", "odometer-topic", "odometer-partition", "odometer-offset", "odometer-index"]
        {
            headers.push((name.to_owned(), record.headers.get(name).map(<[u8]>::to_vec)));
        }
        headers.push(("odometer-detail".to_owned(), Some(format!("sent again: {id}").into_bytes())));
        headers.push((RETRIED.to_owned(), Some(self.clock.now_ms().to_string().into_bytes())));
        OwnedRecord {
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: None,
            value: None,
            timestamp_ms: Some(self.clock.now_ms()),
            headers,
        }
    }

    fn flush(&mut self) -> Result<(), KafkaError> {
        let bundle = std::mem::take(&mut self.bundle);
        self.bytes = 0;
        if bundle.is_empty() {
            return Ok(());
        }
        let records: Vec<OwnedRecord> =
            bundle.iter().flat_map(|(_, records)| records.iter().cloned()).collect();
        match self.sender.send(&records, None) {
            Ok(()) => self.outcome.sent += bundle.len() as u64,
            Err(SendError::Ended(error)) => return Err(error),
            // One of them is to blame: each alone shows which.
            Err(SendError::Aborted(_)) => {
                for (id, records) in bundle {
                    match self.sender.send(&records, None) {
                        Ok(()) => self.outcome.sent += 1,
                        Err(SendError::Aborted(error)) => self.refuse(id, error.cause),
                        Err(SendError::Ended(error)) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, id: LetterId, why: impl Into<String>) {
        self.outcome.not_retried.push(NotRetried { id, why: why.into() });
    }
}

/// The event as it was, at its record's time, to where it was.
fn event(record: &Record<'_>, letter: Letter) -> OwnedRecord {
    let recorded_ms = letter.recorded_at.map(|time| time.0);
    let full = full(record, letter);
    let mut headers = full.headers;
    headers.push((RETRY_OF.to_owned(), Some(full.letter.id.to_string().into_bytes())));
    OwnedRecord {
        topic: full.letter.topic,
        partition: full.letter.partition,
        key: full.key,
        value: full.value,
        timestamp_ms: recorded_ms,
        headers,
    }
}
