//! Sends traffic into Kafka: every record once, each into its own partition, in order.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::clock;

use super::traffic::{SimulatedRecord, Traffic};

/// Records and KiB that wait for the broker at most; beyond that making traffic pauses.
const QUEUED_RECORDS: &str = "100000";
const QUEUED_KIB: &str = "65536";
/// How long to wait for the broker's first answer, and between looks at a full queue.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
const QUEUE_WAIT: Duration = Duration::from_millis(5);
const FLUSH_WAIT: Duration = Duration::from_millis(500);

/// What has been delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub records: u64,
    pub events: u64,
    /// Keys and values, before compression.
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    #[error("configure Kafka producer: {0}")]
    Properties(#[source] KafkaError),
    #[error("reach Kafka at {brokers}: {source}")]
    Unreachable { brokers: String, source: KafkaError },
    #[error("find topic {0}: Kafka has none of that name")]
    NoTopic(String),
    #[error("send to {topic}: {source}")]
    Send { topic: String, source: KafkaError },
    #[error("send to {topic}: {failed} records were refused, the first because of: {first}")]
    Refused { topic: String, failed: u64, first: KafkaError },
}

pub struct TrafficProducer {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    partitions: u32,
}

impl TrafficProducer {
    /// Connects, and finds out how many partitions the topic has. `properties` are librdkafka's
    /// and hold the brokers; `brokers` is for messages.
    pub fn connect(
        brokers: &str,
        topic: &str,
        properties: &[(String, String)],
    ) -> Result<Self, ProduceError> {
        let mut config: ClientConfig = properties.iter().cloned().collect();
        config
            .set("client.id", "odometer-simulate")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            // The broker keeps order and drops repeats of a retried request: a simulated duplicate
            // must be the only kind there is.
            .set("enable.idempotence", "true")
            // A broker that goes away is waited for without end.
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.messages", QUEUED_RECORDS)
            .set("queue.buffering.max.kbytes", QUEUED_KIB);
        let producer: ThreadedProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(ProduceError::Properties)?;
        // Asking for one topic would make it, with the broker's defaults; asking for all does not.
        let metadata = producer
            .client()
            .fetch_metadata(None, CONNECT_WAIT)
            .map_err(|source| ProduceError::Unreachable { brokers: brokers.to_owned(), source })?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.map_or(0, |found| found.partitions().len() as u32);
        if partitions == 0 {
            return Err(ProduceError::NoTopic(topic.to_owned()));
        }
        Ok(Self { producer, topic: topic.to_owned(), partitions })
    }

    /// How many partitions the topic has; at least 1.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Sends all traffic, at most `rate` events a second, and returns when the broker has
    /// acknowledged every record. `progress` is told how many events have been handed over.
    pub fn send(
        &self,
        traffic: &mut Traffic,
        rate: Option<u64>,
        mut progress: impl FnMut(u64),
    ) -> Result<Sent, ProduceError> {
        let started = clock::instant();
        let mut sent = Sent::default();
        for record in traffic {
            if let Some(rate) = rate {
                let due = Duration::from_micros(micros(sent.events, rate));
                std::thread::sleep(due.saturating_sub(started.elapsed()));
            }
            sent.records += 1;
            sent.events += record.events;
            sent.bytes += (record.key.as_ref().map_or(0, Vec::len) + record.value.len()) as u64;
            self.hand_over(&record)?;
            progress(sent.events);
        }
        while self.producer.in_flight_count() > 0 {
            // Times out as long as the broker is away; whatever else went wrong, the deliveries say.
            let _ = self.producer.flush(FLUSH_WAIT);
        }
        self.check_deliveries()?;
        Ok(sent)
    }

    fn hand_over(&self, record: &SimulatedRecord) -> Result<(), ProduceError> {
        loop {
            let mut message = BaseRecord::<[u8], [u8]>::to(&self.topic)
                .partition(record.partition as i32)
                .timestamp(record.timestamp_ms)
                .payload(&record.value);
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            if !record.headers.is_empty() {
                message = message.headers(headers(record));
            }
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.check_deliveries()?;
                    std::thread::sleep(QUEUE_WAIT);
                }
                Err((source, _)) => return Err(ProduceError::Send { topic: self.topic.clone(), source }),
            }
        }
    }

    fn check_deliveries(&self) -> Result<(), ProduceError> {
        match &*self.producer.context().lock() {
            None => Ok(()),
            Some((failed, first)) => Err(ProduceError::Refused {
                topic: self.topic.clone(),
                failed: *failed,
                first: first.clone(),
            }),
        }
    }
}

fn headers(record: &SimulatedRecord) -> OwnedHeaders {
    let none = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(none, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// When the event of that number is due, in microseconds from the start.
fn micros(events: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(events) * 1_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

/// Counts the records that the broker refused, and keeps the first reason.
#[derive(Default)]
struct Deliveries {
    refused: Mutex<Option<(u64, KafkaError)>>,
}

impl Deliveries {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(u64, KafkaError)>> {
        self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            let mut refused = self.lock();
            let (failed, _) = refused.get_or_insert_with(|| (0, error.clone()));
            *failed += 1;
        }
    }
}
