//! What the audit's tools need of Kafka beside reading: who has which partitions, and sending records
//! so that all of a bundle are there or none.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::event::Record;
use crate::source::{KafkaError, Settings};

/// One request may take this long.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A transaction that nobody ends is aborted by the broker after this many milliseconds.
const TRANSACTION_TIMEOUT_MS: &str = "60000";
/// Kafka's word for a record without a time.
const NO_TIMESTAMP: i64 = -1;

/// A record on its way to another topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    pub topic: String,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Epoch milliseconds.
    pub timestamp_ms: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// A copy of what was read, with its time and headers.
    pub fn copy(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self {
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp_ms: record.timestamp_ms,
            headers,
        }
    }

    /// Roughly, in bytes.
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }
}

/// The numbers of a topic's partitions; `None` where there is no such topic.
pub fn partitions(settings: &Settings, topic: &str) -> Result<Option<Vec<i32>>, KafkaError> {
    let failed = |error: ClientError| KafkaError {
        action: format!("ask Kafka at {} for topic {topic}", settings.brokers),
        cause: error.to_string(),
    };
    let client: BaseConsumer = client(settings).create().map_err(failed)?;
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    Ok(found.map(|found| {
        let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        partitions
    }))
}

/// The first offset whose record is of `since_ms` or later; `None` where there is none.
pub fn first_offset_since(
    settings: &Settings,
    topic: &str,
    partition: i32,
    since_ms: i64,
) -> Result<Option<i64>, KafkaError> {
    let failed = |error: ClientError| KafkaError {
        action: format!("look for time {since_ms} in {topic}[{partition}]"),
        cause: error.to_string(),
    };
    let consumer: BaseConsumer = client(settings).create().map_err(failed)?;
    let mut times = TopicPartitionList::new();
    times.add_partition_offset(topic, partition, Offset::Offset(since_ms)).map_err(failed)?;
    let found = consumer.offsets_for_times(times, PATIENCE).map_err(failed)?;
    Ok(found.elements().first().and_then(|element| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }))
}

/// Makes `topic` with as many partitions as `like` has, and that keeps records as long and as large.
pub async fn create_topic_like(
    settings: &Settings,
    topic: &str,
    like: &str,
    partitions: i32,
) -> Result<(), KafkaError> {
    let failed = |cause: String| KafkaError { action: format!("make topic {topic}"), cause };
    let admin: AdminClient<DefaultClientContext> =
        client(settings).create().map_err(|error| failed(error.to_string()))?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(like)], &options).await;
    let described = described.map_err(|error| failed(format!("read configuration of {like}: {error}")))?;
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "delete")
        // Records keep the times that their events are held against.
        .set("message.timestamp.type", "CreateTime");
    let config = described.first().and_then(|config| config.as_ref().ok());
    for name in ["retention.ms", "retention.bytes", "max.message.bytes"] {
        if let Some(value) =
            config.and_then(|config| config.get(name)).and_then(|entry| entry.value.as_deref())
        {
            new = new.set(name, value);
        }
    }
    match admin.create_topics([&new], &options).await.map_err(|error| failed(error.to_string()))?.first() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(failed(code.to_string())),
        None => Err(failed("Kafka did not answer for it".to_owned())),
    }
}

pub fn client(settings: &Settings) -> ClientConfig {
    settings.client_properties().into_iter().collect()
}

/// Sends bundles of records, each in a transaction.
pub struct TransactionalSender {
    producer: ThreadedProducer<DefaultProducerContext>,
    id: String,
}

/// Why a bundle was not sent. None of it is there then, for anyone who reads committed records.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A part of it can't be sent; another bundle may be.
    #[error("{0}")]
    Aborted(KafkaError),
    /// This sender is at its end, e.g. because another with its id has taken over.
    #[error("{0}")]
    Ended(KafkaError),
}

impl TransactionalSender {
    /// Takes over from any other sender with the same `id`: what it has not committed is aborted, and
    /// it can commit no more.
    pub fn connect(settings: &Settings, id: &str) -> Result<Self, KafkaError> {
        let failed = |error: ClientError| KafkaError {
            action: format!("begin transactions as {id} at {}", settings.brokers),
            cause: error.to_string(),
        };
        let producer: ThreadedProducer<DefaultProducerContext> = client(settings)
            .set("transactional.id", id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.max.bytes", "100000000") // the broker's limit decides, not the client's
            .set("queue.buffering.max.kbytes", "65536")
            .create()
            .map_err(failed)?;
        let mut tries = 0;
        loop {
            match producer.init_transactions(PATIENCE) {
                Ok(()) => return Ok(Self { producer, id: id.to_owned() }),
                Err(error) if is_retriable(&error) && tries < 3 => tries += 1,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Sends all of the records, and with them commits `offsets` for a group, or sends nothing.
    pub fn send(
        &self,
        records: &[OwnedRecord],
        offsets: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    ) -> Result<(), SendError> {
        self.producer.begin_transaction().map_err(|error| self.ended(&error))?;
        let sent = records.iter().try_for_each(|record| self.enqueue(record));
        let sent = sent.and_then(|()| match offsets {
            Some((offsets, group)) => self.producer.send_offsets_to_transaction(offsets, group, PATIENCE),
            None => Ok(()),
        });
        match sent.and_then(|()| self.commit()) {
            Ok(()) => Ok(()),
            Err(error) if is_fatal(&error) => Err(self.ended(&error)),
            Err(error) => {
                self.producer.abort_transaction(PATIENCE).map_err(|error| self.ended(&error))?;
                Err(SendError::Aborted(self.failed(&error)))
            }
        }
    }

    fn enqueue(&self, record: &OwnedRecord) -> Result<(), ClientError> {
        let none = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(none, |all, (key, value)| all.insert(Header { key, value: value.as_deref() }));
        let mut message = BaseRecord::<[u8], [u8]>::to(&record.topic)
            .partition(record.partition)
            .timestamp(record.timestamp_ms.unwrap_or(NO_TIMESTAMP))
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                    message = same;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until everything that was sent is acknowledged, then commits. A commit that was not
    /// answered may be repeated: it is the same one.
    fn commit(&self) -> Result<(), ClientError> {
        loop {
            match self.producer.commit_transaction(PATIENCE) {
                Err(error) if is_retriable(&error) => {}
                result => return result,
            }
        }
    }

    fn failed(&self, error: &ClientError) -> KafkaError {
        KafkaError { action: format!("send records as {}", self.id), cause: error.to_string() }
    }

    fn ended(&self, error: &ClientError) -> SendError {
        SendError::Ended(self.failed(error))
    }
}

fn is_retriable(error: &ClientError) -> bool {
    matches!(error, ClientError::Transaction(error) if error.is_retriable())
}

fn is_fatal(error: &ClientError) -> bool {
    matches!(error, ClientError::Transaction(error) if error.is_fatal())
}
