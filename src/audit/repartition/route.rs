//! Where a record's events go, and as what.

use xxhash_rust::xxh3::xxh3_64;

use super::super::kafka::OwnedRecord;
use super::super::naive::{Judged, NaiveReader, event_key};
use super::Topic;
use crate::event::{Headers, Record};

/// The header that says where a copy came from: TOPIC/TOPIC_ID/PARTITION/OFFSET/INDEX.
pub const FROM: &str = "odometer-from";

/// A source record with its place.
pub struct SourceRecord {
    pub offset: i64,
    pub record: OwnedRecord,
}

pub struct Router {
    reader: NaiveReader,
    source: Topic,
    target: Topic,
}

struct OwnedHeaders<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Headers for OwnedHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(header, _)| header == name)?.1.as_deref()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

impl Router {
    /// `target` has at least one partition.
    pub fn new(reader: NaiveReader, source: &Topic, target: &Topic) -> Self {
        Self { reader, source: source.clone(), target: target.clone() }
    }

    /// A copy for each event, and whether it has a key. What has none goes by its bytes, so that the
    /// same bytes meet in one partition too.
    pub fn route(&self, source: &SourceRecord) -> Vec<(OwnedRecord, bool)> {
        let record = &source.record;
        let headers = OwnedHeaders(&record.headers);
        let borrowed = Record {
            topic: &record.topic,
            partition: record.partition,
            offset: source.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let parts = self.reader.read(&borrowed).into_iter();
        (0_u32..)
            .zip(parts)
            .map(|(index, part)| {
                let value = part.alone.or_else(|| record.value.clone());
                let key = match &part.judged {
                    Judged::Event(event) => Some(event_key(event)),
                    _ => None,
                };
                let hash = key.unwrap_or_else(|| xxh3_64(value.as_deref().unwrap_or_default()).into());
                (self.copy(source, value, hash, index), key.is_some())
            })
            .collect()
    }

    fn copy(&self, source: &SourceRecord, value: Option<Vec<u8>>, hash: u128, index: u32) -> OwnedRecord {
        let partitions = &self.target.partitions;
        let at = usize::try_from(hash % partitions.len() as u128).unwrap_or(0);
        let from = format!(
            "{}/{}/{}/{}/{index}",
            self.source.name, self.source.id, source.record.partition, source.offset
        );
        let mut headers = source.record.headers.clone();
        headers.push((FROM.to_owned(), Some(from.into_bytes())));
        OwnedRecord {
            topic: self.target.name.clone(),
            partition: partitions[at],
            value,
            headers,
            ..source.record.clone()
        }
    }
}
