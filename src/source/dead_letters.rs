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
pub const QUEUE_BYTES: u64 = 32 << 20;

impl DeadLetters {
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

    async fn deliver(&self, letter: &DeadLetter, cut: &Cut<'_>, truncated: bool) -> Result<(), ClientError> {
        let headers = headers(letter, cut.headers, truncated);
        let mut record = FutureRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        record.key = cut.key;
        record.payload = cut.value;
        self.producer.send(record, DELIVERY_TIMEOUT).await.map(|_| ()).map_err(|(error, _)| error)
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
