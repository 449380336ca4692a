use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use tokio::sync::oneshot;

use super::{KafkaError, Settings, producer};
use crate::clock::instant;
use crate::event::DeadLetter;
use crate::telemetry::vital_task;

/// Sends rejected events to the dead-letter topic and waits for Kafka to have them.
#[derive(Clone)]
pub struct DeadLetters {
    producer: Arc<BaseProducer<Deliveries>>,
    topic: String,
}

/// Tells whoever waits for a letter what became of it.
struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), ClientError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let result = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        // Nobody waits for the letters of a lane that was given up.
        let _ = waiting.send(result);
    }
}

/// What became of letters, tokens to renew and errors are asked for this often.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// A full queue is tried again after this long, until it was full for so long.
const FULL_PAUSE: Duration = Duration::from_millis(20);
const FULL_PATIENCE: Duration = Duration::from_secs(30);
/// Letters under way; each has headers besides what the queue counts of it.
const AT_ONCE: usize = 4_096;
/// The producer's own queue; a full one makes the sender wait.
pub const QUEUE_BYTES: u64 = 32 << 20;

impl DeadLetters {
    /// Within a runtime, which serves the client for as long as anyone has it.
    pub fn connect(settings: &Settings) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config.extend(settings.client_properties());
        config
            .set("acks", "all") // a letter may come twice, so nothing needs to be idempotent
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "20000")
            .set("message.max.bytes", "100000000") // the broker's limit decides, not the client's
            .set("queue.buffering.max.kbytes", (QUEUE_BYTES / 1024).to_string());
        let producer =
            config.create_with_context(Deliveries).map(Arc::new).map_err(|error: ClientError| {
                KafkaError { action: "create producer of dead letters".into(), cause: error.to_string() }
            })?;
        tokio::spawn(vital_task(serve(Arc::downgrade(&producer))));
        Ok(Self { producer, topic: settings.dead_letters.clone() })
    }

    /// Returns once every letter is acknowledged. After an error all may be sent again: a letter's
    /// identity is (topic, partition, offset, index), so that readers list it once.
    pub async fn send(&self, letters: &[DeadLetter]) -> Result<(), KafkaError> {
        for together in letters.chunks(AT_ONCE) {
            try_join_all(together.iter().map(|letter| self.send_one(letter))).await?;
        }
        Ok(())
    }

    /// What the broker refuses for its size is cut until it fits, and marked: the value first, then
    /// the original headers, then the key.
    async fn send_one(&self, letter: &DeadLetter) -> Result<(), KafkaError> {
        let mut cut =
            Cut { value: letter.value.as_deref(), headers: &letter.headers, key: letter.key.as_deref() };
        let mut truncated = false;
        loop {
            match self.deliver(letter, &cut, truncated).await {
                Ok(()) => return Ok(()),
                Err(ClientError::MessageProduction(
                    RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
                )) if cut.shrink() => truncated = true,
                Err(error) => {
                    return Err(KafkaError {
                        action: format!(
                            "send dead letter of {}[{}]@{} to {}",
                            letter.topic, letter.partition, letter.offset, self.topic
                        ),
                        cause: error.to_string(),
                    });
                }
            }
        }
    }

    /// It takes no longer than the client's `message.timeout.ms` once the queue has room for it.
    async fn deliver(&self, letter: &DeadLetter, cut: &Cut<'_>, truncated: bool) -> Result<(), ClientError> {
        if cut.value.is_some_and(|value| value.len() as u64 > QUEUE_BYTES) {
            // The client would call its queue full, however empty it is.
            return Err(ClientError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge));
        }
        let began = instant();
        loop {
            let (sender, delivered) = oneshot::channel();
            let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&self.topic, Box::new(sender))
                .headers(headers(letter, cut.headers, truncated));
            record.key = cut.key;
            record.payload = cut.value;
            match self.producer.send(record) {
                // The client tells of every letter that it took.
                Ok(()) => return delivered.await.unwrap_or(Err(ClientError::Canceled)),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if began.elapsed() < FULL_PATIENCE =>
                {
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

async fn serve(client: Weak<BaseProducer<Deliveries>>) {
    while let Some(client) = client.upgrade() {
        producer::drain(&client);
        drop(client);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What is left of a letter that is too large.
struct Cut<'a> {
    value: Option<&'a [u8]>,
    headers: &'a [(String, Option<Vec<u8>>)],
    key: Option<&'a [u8]>,
}

impl Cut<'_> {
    /// `false` where nothing is left to cut.
    fn shrink(&mut self) -> bool {
        if let Some(value) = self.value.filter(|value| !value.is_empty()) {
            self.value = Some(&value[..value.len() / 2]);
        } else if !self.headers.is_empty() {
            self.headers = &[];
        } else if let Some(key) = self.key.filter(|key| !key.is_empty()) {
            self.key = Some(&key[..key.len() / 2]);
        } else {
            return false;
        }
        true
    }
}

fn headers(letter: &DeadLetter, original: &[(String, Option<Vec<u8>>)], truncated: bool) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(original.len() + 8);
    for (key, value) in original {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let ours = [
        ("odometer-reason", letter.reason.as_str().to_owned()),
        ("odometer-detail", letter.detail.clone()),
        ("odometer-topic", letter.topic.to_string()),
        ("odometer-partition", letter.partition.to_string()),
        ("odometer-offset", letter.offset.to_string()),
        ("odometer-index", letter.index.to_string()),
    ];
    for (key, value) in &ours {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    if let Some(timestamp) = letter.timestamp_ms {
        let value = Some(timestamp.to_string());
        headers = headers.insert(Header { key: "odometer-timestamp", value: value.as_ref() });
    }
    if truncated {
        headers = headers.insert(Header { key: "odometer-truncated", value: Some("true") });
    }
    headers
}
