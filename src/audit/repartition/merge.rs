//! Reads several partitions as one stream in the order of the records' times, so that repeats that
//! were sent at about the same time stay close to one another and within the window.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::super::kafka::OwnedRecord;
use super::route::SourceRecord;
use crate::source::{KafkaError, PartitionReader, Settings};

pub struct Merge {
    partitions: Vec<Partition>,
}

struct Partition {
    reader: PartitionReader,
    waiting: VecDeque<SourceRecord>,
    /// The greatest time so far, which a record that is older or has none takes.
    time_ms: i64,
    is_read: bool,
}

impl Merge {
    pub fn open(
        settings: &Settings,
        topic: &str,
        ranges: &BTreeMap<i32, Range<i64>>,
    ) -> Result<Self, KafkaError> {
        let partitions = ranges
            .iter()
            .filter(|(_, range)| !range.is_empty())
            .map(|(partition, range)| {
                let reader = PartitionReader::open(settings, topic, *partition, range.clone())?;
                Ok(Partition { reader, waiting: VecDeque::new(), time_ms: i64::MIN, is_read: false })
            })
            .collect::<Result<_, KafkaError>>()?;
        Ok(Self { partitions })
    }

    /// The next record; waits for it. `None` at the end of all.
    pub fn next(&mut self) -> Result<Option<SourceRecord>, KafkaError> {
        for partition in &mut self.partitions {
            partition.fill()?;
        }
        self.partitions.retain(|partition| !partition.waiting.is_empty());
        let Some(first) = self.partitions.iter_mut().min_by_key(|partition| partition.head_time()) else {
            return Ok(None);
        };
        first.time_ms = first.head_time();
        Ok(first.waiting.pop_front())
    }
}

impl Partition {
    fn fill(&mut self) -> Result<(), KafkaError> {
        let Self { reader, waiting, is_read, .. } = self;
        while waiting.is_empty() && !*is_read {
            let more = reader.read(|record| {
                waiting.push_back(SourceRecord { offset: record.offset, record: OwnedRecord::copy(record) });
            })?;
            *is_read = !more;
        }
        Ok(())
    }

    fn head_time(&self) -> i64 {
        let head = self.waiting.front().and_then(|head| head.record.timestamp_ms);
        head.map_or(self.time_ms, |time_ms| time_ms.max(self.time_ms))
    }
}
