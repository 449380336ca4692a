//! Topics and their partitions, as a broker keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use odometer::event::{Format, Lane};

use super::facts::Fact;

pub struct Topic {
    pub name: &'static str,
    pub format: Format,
    pub id: Arc<str>,
    /// How often it was made.
    pub times_made: u32,
    pub partitions: Vec<Partition>,
}

#[derive(Default)]
pub struct Partition {
    pub start: i64,
    pub end: i64,
    /// Offsets without an entry are control records.
    pub entries: BTreeMap<i64, Entry>,
    pub leader_epoch: i32,
    /// Where each epoch but the first began.
    epochs: Vec<(i32, i64)>,
}

#[derive(Clone)]
pub struct Entry {
    pub record: Arc<Written>,
    pub leader_epoch: i32,
}

/// One record as it was produced.
pub struct Written {
    /// Tells two records at one offset apart.
    pub serial: u64,
    pub facts: Arc<Vec<Fact>>,
    pub value: Vec<u8>,
}

impl Topic {
    pub fn new(name: &'static str, format: Format, partitions: usize) -> Self {
        let mut topic = Self { name, format, id: "".into(), times_made: 0, partitions: Vec::new() };
        topic.make(partitions);
        topic
    }

    /// Deleted where it is, and made again.
    pub fn make(&mut self, partitions: usize) {
        self.times_made += 1;
        self.id = format!("{}-id-{}", self.name, self.times_made).into();
        self.partitions = (0..partitions).map(|_| Partition::default()).collect();
    }

    pub fn lane(&self, partition: i32) -> Lane {
        Lane { topic: self.name.into(), topic_id: Arc::clone(&self.id), partition }
    }

    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        (0..self.partitions.len()).map(|partition| self.lane(partition as i32))
    }
}

impl Partition {
    pub fn append(&mut self, record: Arc<Written>) {
        self.entries.insert(self.end, Entry { record, leader_epoch: self.leader_epoch });
        self.end += 1;
    }

    pub fn append_control(&mut self) {
        self.end += 1;
    }

    /// Retention.
    pub fn forget(&mut self, start: i64) {
        self.start = self.start.max(start);
        self.entries = self.entries.split_off(&self.start);
    }

    /// An unclean election: another leader, which lacks what lies at and beyond `end`.
    pub fn cut(&mut self, end: i64) {
        self.end = end.max(self.start);
        self.entries.split_off(&self.end);
        self.leader_epoch += 1;
        self.epochs.retain(|(_, start)| *start < self.end);
        self.epochs.push((self.leader_epoch, self.end));
    }

    /// The epoch of what lies at an offset.
    pub fn epoch_at(&self, offset: i64) -> i32 {
        let begun = self.epochs.iter().rev().find(|(_, start)| *start <= offset);
        begun.map_or(0, |(epoch, _)| *epoch)
    }

    /// Where the records of an epoch end in this log.
    pub fn end_of_epoch(&self, epoch: i32) -> i64 {
        let later = self.epochs.iter().find(|(later, _)| *later > epoch);
        later.map_or(self.end, |(_, start)| *start)
    }
}
