use std::fmt;
use std::sync::Arc;

use super::Reason;

/// One partition of one topic. The topic id tells a topic from another that was made later under
/// the same name: offsets start again there, so it is another lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    pub topic: Arc<str>,
    /// As Kafka prints it: 22 characters of URL-safe base64.
    pub topic_id: Arc<str>,
    pub partition: i32,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// One Kafka record, borrowed from the client's buffer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Epoch milliseconds; `None` where the producer sent none (Kafka's -1).
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a dyn Headers,
}

/// A record's headers, parsed only when something asks for them.
pub trait Headers {
    /// The last value under `name` (Kafka allows repeats), if it is not null.
    fn get(&self, name: &str) -> Option<&[u8]>;
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// For records that have none.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }

    fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

/// A rejected event on its way to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub key: Option<Arc<[u8]>>,
    /// The event alone, in its record's format.
    pub value: Option<Vec<u8>>,
    /// Shared, like the key, by the letters of one record.
    pub headers: Arc<[(String, Option<Vec<u8>>)]>,
    /// The record's own time, epoch milliseconds: what its event's time is held against when it is
    /// sent again.
    pub timestamp_ms: Option<i64>,
    pub reason: Reason,
    /// Says what is wrong without quoting the record.
    pub detail: String,
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Position within the record, from 0.
    pub index: u32,
}

impl DeadLetter {
    /// Bytes of the original headers.
    pub fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }
}
