//! Topics and records, by nothing but librdkafka.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::wait::wait_until;
use super::{block_on, servers};

const PATIENCE: Duration = Duration::from_secs(60);

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers::kafka_brokers());
    config
}

/// Keeps records for ever, since tests give them times of long ago.
pub fn create_topic(name: &str, partitions: i32) {
    create(&NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1"));
}

/// A topic that forgets records whose key came again.
pub fn create_compacted_topic(name: &str) {
    create(&NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact"));
}

/// `partitions`: how many there are from now on.
pub fn add_partitions(topic: &str, partitions: i32) {
    let wanted = usize::try_from(partitions).expect("a number of partitions");
    let (admin, options) = admin();
    let asked = block_on(admin.create_partitions([&NewPartitions::new(topic, wanted)], &options));
    for result in asked.expect("ask Kafka to add partitions") {
        result.unwrap_or_else(|(topic, error)| panic!("add partitions to {topic}: {error}"));
    }
}

fn admin() -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let admin = client().create().expect("a Kafka admin client");
    (admin, AdminOptions::new().operation_timeout(Some(PATIENCE)))
}

fn create(topic: &NewTopic<'_>) {
    let (admin, options) = admin();
    let results = block_on(admin.create_topics([topic], &options)).expect("ask Kafka to create a topic");
    for result in results {
        result.unwrap_or_else(|(topic, error)| panic!("create topic {topic}: {error}"));
    }
}

/// Everything before `offset` is gone, as after its retention.
pub fn delete_records(topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
    let (admin, options) = admin();
    block_on(admin.delete_records(&offsets, &options)).expect("delete records");
}

pub fn delete_topic(topic: &str) {
    let (admin, options) = admin();
    for result in block_on(admin.delete_topics(&[topic], &options)).expect("ask Kafka to delete a topic") {
        result.unwrap_or_else(|(topic, error)| panic!("delete topic {topic}: {error}"));
    }
}

/// All that a group without members has committed is gone, as when it expires.
pub fn delete_group(group: &str) {
    let (admin, options) = admin();
    wait_until("a group to be empty and deleted", PATIENCE, || {
        let deleted = block_on(admin.delete_groups(&[group], &options));
        let mut results = deleted.expect("ask Kafka to delete a group");
        results.remove(0).map(|_| ()).map_err(|(group, error)| format!("{group}: {error}"))
    });
}

/// As an operator's tool does it, for a group without members.
pub fn reset_offset(group: &str, topic: &str, partition: i32, offset: i64) {
    let consumer: BaseConsumer = client().set("group.id", group).create().expect("a Kafka consumer");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    wait_until("an offset to be reset", PATIENCE, || {
        consumer.commit(&offsets, rdkafka::consumer::CommitMode::Sync).map_err(|error| error.to_string())
    });
}

/// A record as it is sent, or as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaRecord {
    pub partition: i32,
    /// The position among the records that were sent to the partition of a new topic.
    pub offset: i64,
    /// Epoch milliseconds.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl KafkaRecord {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

pub struct KafkaProducer {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl KafkaProducer {
    pub fn new() -> Self {
        let producer = client()
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "10")
            .set("queue.buffering.max.kbytes", "65536")
            // The broker's limit is of what was compressed.
            .set("message.max.bytes", "60000000")
            .create()
            .expect("a Kafka producer");
        Self { producer }
    }

    /// Hands the record over, in order with the others of its partition.
    pub fn send(&self, topic: &str, record: &KafkaRecord) {
        loop {
            let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
            message.timestamp = record.timestamp_ms;
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            if !record.headers.is_empty() {
                let none = OwnedHeaders::new_with_capacity(record.headers.len());
                let each = record.headers.iter();
                let headers =
                    each.fold(none, |all, (key, value)| all.insert(Header { key, value: Some(value) }));
                message = message.headers(headers);
            }
            match self.producer.send(message) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("send to {topic}[{}]: {error}", record.partition),
            }
        }
    }

    /// Returns when everything is acknowledged.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).expect("flush records to Kafka");
    }
}

/// The offset after the last record, by partition.
pub fn ends(topic: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = client().create().expect("a Kafka consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("ask Kafka for a topic");
    let partitions = metadata.topics()[0].partitions().iter().map(|partition| partition.id());
    partitions
        .map(|partition| {
            let watermarks = consumer.fetch_watermarks(topic, partition, PATIENCE);
            (
                partition,
                watermarks
                    .unwrap_or_else(|error| panic!("ask for the end of {topic}[{partition}]: {error}"))
                    .1,
            )
        })
        .collect()
}

/// Everything that is in the topic now.
pub fn read_all(topic: &str) -> Vec<KafkaRecord> {
    let consumer: BaseConsumer = client()
        .set("group.id", "it-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a Kafka consumer");
    let mut assignment = TopicPartitionList::new();
    let ends = ends(topic);
    for &partition in ends.keys() {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an assignment");
    }
    consumer.assign(&assignment).expect("assign partitions");
    let mut records = Vec::new();
    let mut open = ends.len();
    while open > 0 {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => records.push(owned(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("read {topic}: {error}"),
            None => panic!("read {topic}: no answer within {} s", PATIENCE.as_secs()),
        }
    }
    records
}

fn owned(message: &impl Message) -> KafkaRecord {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    KafkaRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect(),
    }
}
