//! Kafka in: batches of borrowed records, the group's fence, and dead letters out.
//!
//! The consumer group's generation is the fence that makes publishing exact: Kafka refuses a commit
//! from a member whose generation has passed. [`Client`] therefore subscribes (it never assigns by
//! itself), and [`Fence`] commits under one lock that a revocation takes too.

mod client;
mod dead_letters;
mod fence;
mod ffi;
mod producer;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use client::{Batch, Client, Committed, Item, Rebalance, TopicDescription, Watermarks};
pub use dead_letters::{DeadLetters, QUEUE_BYTES as LETTER_BYTES};
pub use fence::{CommitError, Fence, Tenure};
pub use producer::drain;
pub use reader::PartitionReader;

/// How to reach Kafka, and what of it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub brokers: String,
    pub group: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// The topic that rejected events go to.
    pub dead_letters: String,
    /// Where a lane without any history starts.
    pub start: Start,
    /// Whether records are taken from librdkafka in batches, rather than one by one.
    pub batches: bool,
    /// librdkafka's properties, over odometer's defaults; never one of [`OWNED_PROPERTIES`].
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// Properties that odometer's exactness rests on, so that configuration can't set them.
pub const OWNED_PROPERTIES: [(&str, &str); 9] = [
    ("auto.offset.reset", "where a lane starts follows from the ledger and from `kafka.start`"),
    ("enable.auto.commit", "an offset is committed only with the block that it publishes"),
    ("enable.auto.offset.store", "an offset is committed only with the block that it publishes"),
    ("isolation.level", "records of aborted transactions are never counted"),
    ("enable.partition.eof", "an idle lane is complete only when its end is known"),
    ("group.protocol", "the classic protocol's generation is the fence of every commit"),
    ("group.id", "set `kafka.group`"),
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
];

/// No answer from Kafka within this long is an error.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Defaults that differ from librdkafka's, and why.
const DEFAULTS: [(&str, &str); 10] = [
    ("partition.assignment.strategy", "cooperative-sticky"), // a rebalance stops only lanes that move
    ("session.timeout.ms", "10000"),                         // a process that died is replaced after this
    ("heartbeat.interval.ms", "500"),                        // which is how a member learns of a rebalance
    ("topic.metadata.refresh.interval.ms", "30000"),         // partitions that are added are found soon
    ("fetch.wait.max.ms", "100"),                            // the tail doesn't wait for a full fetch
    ("queued.min.messages", "100000"),
    ("fetch.queue.backoff.ms", "10"), // a full queue is empty again long before librdkafka's second
    ("fetch.max.bytes", "8388608"),   // an answer unpacks to several times its size, whatever is queued
    ("socket.timeout.ms", "20000"),
    ("socket.nagle.disable", "true"),
];

/// librdkafka's own default of `queued.max.messages.kbytes`.
const QUEUED_KIBIBYTES: u64 = 64 << 10;

/// What librdkafka keeps of a queued message beside its bytes.
const MESSAGE_OVERHEAD: u64 = 512;
/// How many times its size an answer may unpack to: what compression makes of records that are much
/// alike.
const UNPACKED: u64 = 8;

/// Set last, whatever the configuration says.
const OWNED: [(&str, &str); 6] = [
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
    ("group.protocol", "classic"),
];

/// A request that Kafka, or the way to it, did not serve.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct KafkaError {
    /// Verb and object: `read watermarks of gateway.events[3]`.
    pub action: String,
    pub cause: String,
}

impl Settings {
    fn taking(&self) -> ffi::Taking {
        if self.batches { ffi::Taking::Batches } else { ffi::Taking::OneByOne }
    }

    /// The most bytes that a consumer holds of what nobody has read yet: its queue, what it keeps of
    /// each message there, and one answer, unpacked, that is still added to it when it is full.
    pub fn fetched_bytes(&self) -> u64 {
        let queued =
            self.number("queued.max.messages.kbytes").unwrap_or(QUEUED_KIBIBYTES).saturating_mul(1024);
        let messages = self.number("queued.min.messages").unwrap_or(0).saturating_mul(MESSAGE_OVERHEAD);
        queued.saturating_add(messages).saturating_add(self.answer_bytes().saturating_mul(UNPACKED))
    }

    /// The most bytes that a poll of so many bytes and records holds: each keeps all of the answer that
    /// it came in.
    pub fn polled_bytes(&self, bytes: u64, records: u64) -> u64 {
        bytes.max(self.answer_bytes()).saturating_add(records.saturating_mul(MESSAGE_OVERHEAD))
    }

    fn answer_bytes(&self) -> u64 {
        self.number("fetch.max.bytes").unwrap_or(0)
    }

    fn number(&self, property: &str) -> Option<u64> {
        self.consumer_properties().get(property).and_then(|value| value.parse().ok())
    }

    /// The consumer's properties: odometer's defaults, then the configuration's, then the owned ones.
    pub fn consumer_properties(&self) -> BTreeMap<String, String> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut properties: BTreeMap<_, _> = DEFAULTS.into_iter().map(owned).collect();
        // librdkafka refuses an answer that may be smaller than a message.
        if let Some(largest) = self.properties.get("message.max.bytes") {
            let bytes = |value: &String| value.parse::<u64>().unwrap_or(0);
            properties.entry("fetch.max.bytes".into()).and_modify(|answer| {
                if bytes(answer) < bytes(largest) {
                    answer.clone_from(largest);
                }
            });
        }
        properties.extend(self.properties.clone());
        properties.extend(OWNED.into_iter().map(owned));
        properties.insert("bootstrap.servers".into(), self.brokers.clone());
        properties.insert("group.id".into(), self.group.clone());
        properties
    }

    /// The properties that any client shares (producers, admin): where the brokers are and how to
    /// speak to them, without what only a consumer knows.
    pub fn client_properties(&self) -> BTreeMap<String, String> {
        const SHARED: [&str; 5] = ["security.", "sasl.", "ssl.", "socket.", "client."];
        let mut properties: BTreeMap<_, _> = self
            .properties
            .iter()
            .filter(|(name, _)| {
                SHARED.iter().any(|prefix| name.starts_with(prefix))
                    || *name == "enable.sasl.oauthbearer.unsecure.jwt"
                    || *name == "enable.ssl.certificate.verification"
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        properties.insert("bootstrap.servers".into(), self.brokers.clone());
        properties
    }
}
