//! How far each source partition is copied: committed with the copies, or read from them.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::kafka::{PATIENCE, client};
use super::route::FROM;
use super::{RepartitionError, Topic};
use crate::source::{KafkaError, PartitionReader, Settings, Watermarks};

const MAGIC: &str = "odometer/1 repartition";

pub struct Progress {
    consumer: BaseConsumer,
    group: String,
    source: Topic,
    target: Topic,
    /// The next offset to copy, of partitions of which something was.
    next: BTreeMap<i32, i64>,
}

impl Progress {
    /// `group` is the consumer group that the offsets are committed for; it never has members.
    pub fn read(
        settings: &Settings,
        group: &str,
        source: &Topic,
        target: &Topic,
    ) -> Result<Self, RepartitionError> {
        let consumer: BaseConsumer = client(settings)
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .map_err(|error| failed(group, &error))?;
        let mut progress = Self {
            consumer,
            group: group.to_owned(),
            source: source.clone(),
            target: target.clone(),
            next: BTreeMap::new(),
        };
        progress.read_commits()?;
        if progress.next.len() < source.partitions.len() {
            progress.read_copies(settings)?;
        }
        Ok(progress)
    }

    pub fn next(&self, partition: i32) -> Option<i64> {
        self.next.get(&partition).copied()
    }

    /// Everything up to `offset` is copied.
    pub fn pass(&mut self, partition: i32, offset: i64) {
        let next = self.next.entry(partition).or_insert(0);
        *next = (*next).max(offset + 1);
    }

    /// What a transaction commits: every partition, so that all commits are equally old.
    pub fn to_commit(&self) -> Result<(TopicPartitionList, ConsumerGroupMetadata), RepartitionError> {
        let mut offsets = TopicPartitionList::new();
        let note = self.note();
        for (partition, next) in &self.next {
            let mut element = offsets.add_partition(&self.source.name, *partition);
            element.set_offset(Offset::Offset(*next)).map_err(|error| failed(&self.group, &error))?;
            element.set_metadata(&note);
        }
        let none = || KafkaError {
            action: format!("commit for group {}", self.group),
            cause: "no group".to_owned(),
        };
        Ok((offsets, self.consumer.group_metadata().ok_or_else(none)?))
    }

    /// Tells a commit from one of topics that have had the same names.
    fn note(&self) -> String {
        format!("{MAGIC} {} {} {}", self.source.id, self.target.id, self.target.partitions.len())
    }

    fn read_commits(&mut self) -> Result<(), RepartitionError> {
        let mut asked = TopicPartitionList::new();
        for partition in &self.source.partitions {
            asked.add_partition(&self.source.name, *partition);
        }
        let committed =
            self.consumer.committed_offsets(asked, PATIENCE).map_err(|error| failed(&self.group, &error))?;
        for element in committed.elements() {
            let Offset::Offset(next) = element.offset() else { continue };
            let Some(partitions) = self.partitions_noted(element.metadata()) else { continue };
            if partitions != self.target.partitions.len() {
                return Err(RepartitionError::PartitionsChanged {
                    from: self.source.name.clone(),
                    to: self.target.name.clone(),
                    before: partitions,
                    now: self.target.partitions.len(),
                });
            }
            self.next.insert(element.partition(), next);
        }
        Ok(())
    }

    /// How many partitions the target had; `None` where the note is of other topics.
    fn partitions_noted(&self, note: &str) -> Option<usize> {
        let ids = note.strip_prefix(MAGIC)?.strip_prefix(' ')?;
        let rest = ids.strip_prefix(&*self.source.id)?.strip_prefix(' ')?.strip_prefix(&*self.target.id)?;
        rest.trim_start().parse().ok()
    }

    /// Reads the whole target for where its records came from.
    fn read_copies(&mut self, settings: &Settings) -> Result<(), RepartitionError> {
        let watermarks = Watermarks::connect(settings)?;
        let (source, target) = (self.source.clone(), self.target.clone());
        for partition in &target.partitions {
            let (start, end) = watermarks.read(&target.name, *partition)?;
            let mut reader = PartitionReader::open(settings, &target.name, *partition, start..end)?;
            let mut is_ours = true;
            let mut more = true;
            while more {
                more = reader.read(|record| {
                    match record.headers.get(FROM).and_then(|from| place(from, &source)) {
                        Some((partition, offset)) => self.pass(partition, offset),
                        None => is_ours = false,
                    }
                })?;
            }
            if !is_ours {
                return Err(RepartitionError::OtherRecords { from: source.name, to: target.name });
            }
        }
        Ok(())
    }
}

/// The source partition and offset that a copy names; `None` where it is of another topic.
pub fn place(from: &[u8], source: &Topic) -> Option<(i32, i64)> {
    let from = std::str::from_utf8(from).ok()?;
    match from.split('/').collect::<Vec<_>>()[..] {
        [topic, id, partition, offset, _] if topic == source.name && id == &*source.id => {
            Some((partition.parse().ok()?, offset.parse().ok()?))
        }
        _ => None,
    }
}

fn failed(group: &str, error: &ClientError) -> KafkaError {
    KafkaError { action: format!("read commits of group {group}"), cause: error.to_string() }
}
