use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{KafkaError, Settings};
use crate::event::DeadLetter;

/// Sends rejected events to the dead-letter topic and waits for Kafka to have them.
#[derive(Clone)]
pub struct DeadLetters {
    producer: FutureProducer,
    topic: String,
}

/// How long one letter may take; the caller tries again without end.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// The producer's own queue; a full one makes the sender wait.
const QUEUE_KIBIBYTES: &str = "32768";

impl DeadLetters {
    pub fn connect(settings: &Settings) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config.extend(settings.client_properties());
        config
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "20000")
            .set("message.max.bytes", "100000000") // the broker's limit decides, not the client's
            .set("queue.buffering.max.kbytes", QUEUE_KIBIBYTES);
        let producer = config.create().map_err(|error: ClientError| KafkaError {
            action: "create producer of dead letters".into(),
            cause: error.to_string(),
        })?;
        Ok(Self { producer, topic: settings.dead_letters.clone() })
    }

    /// Returns once every letter is acknowledged. After an error all may be sent again: a letter's
    /// identity is (topic, partition, offset, index), so that readers list it once.
    pub async fn send(&self, letters: &[DeadLetter]) -> Result<(), KafkaError> {
        try_join_all(letters.iter().map(|letter| self.send_one(letter))).await.map(|_| ())
    }

    /// A value that the broker refuses for its size is halved until it fits, and marked.
    async fn send_one(&self, letter: &DeadLetter) -> Result<(), KafkaError> {
        let mut value = letter.value.as_deref();
        let mut truncated = false;
        loop {
            match self.deliver(letter, value, truncated).await {
                Ok(()) => return Ok(()),
                Err(ClientError::MessageProduction(
                    RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
                )) if value.is_some_and(|value| !value.is_empty()) => {
                    value = value.map(|value| &value[..value.len() / 2]);
                    truncated = true;
                }
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

    async fn deliver(
        &self,
        letter: &DeadLetter,
        value: Option<&[u8]>,
        truncated: bool,
    ) -> Result<(), ClientError> {
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers(letter, truncated));
        record.key = letter.key.as_deref();
        record.payload = value;
        self.producer.send(record, DELIVERY_TIMEOUT).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

fn headers(letter: &DeadLetter, truncated: bool) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 8);
    for (key, value) in &letter.headers {
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
