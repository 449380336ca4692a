//! The snapshots topic: each organization's current usage, when it changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashSet;
use hashbrown::{HashMap, HashSet};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use tokio_util::sync::CancellationToken;

use super::service::Snapshots;
use super::usage::Usage;
use crate::clock::{self, Time};
use crate::source;

#[cfg(test)]
mod tests;

/// How often changes are looked for; much less than an interval.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Snapshots on their way to the broker, in KiB. More wait as the names of their organizations.
const QUEUE_KIB: &str = "32768";
/// What is on its way when the process stops is given this long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Ours, before the operator's.
const PROPERTIES: &[(&str, &str)] = &[
    // Snapshots of one organization must not overtake one another.
    ("enable.idempotence", "true"),
    ("compression.type", "lz4"),
    ("linger.ms", "20"),
    ("queue.buffering.max.kbytes", QUEUE_KIB),
    ("message.timeout.ms", "30000"),
];

/// Where snapshots go.
#[derive(Clone)]
pub struct TopicSettings {
    /// librdkafka's properties, the brokers among them.
    pub properties: Vec<(String, String)>,
    pub topic: String,
    /// An organization's snapshots follow one another at this distance at least.
    pub interval: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("make a producer for topic {topic}: {cause}")]
pub struct PublishError {
    topic: String,
    cause: KafkaError,
}

/// Sends what changed.
pub struct Publisher {
    /// Asked for what it has to tell at every look. The client's own thread for that is busy with
    /// nothing for the last millisecond of every tenth of a second, and answers wait for it.
    producer: BaseProducer<Deliveries>,
    topic: String,
    queue: Queue,
}

/// What the client tells of what was sent.
struct Deliveries {
    topic: String,
    /// Whose snapshot did not arrive.
    failed: Arc<DashSet<Arc<str>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Arc<str>>;

    fn delivery(&self, result: &DeliveryResult<'_>, organization: Box<Arc<str>>) {
        match result {
            Ok(_) => metrics::counter!("odometer_snapshot_published_total").increment(1),
            Err((error, _)) => {
                metrics::counter!("odometer_snapshot_publish_failures_total").increment(1);
                tracing::warn!(topic = self.topic, %error, "publish a snapshot; retrying");
                self.failed.insert(*organization);
            }
        }
    }
}

impl Publisher {
    pub fn new(settings: TopicSettings) -> Result<Self, PublishError> {
        let mut config = ClientConfig::new();
        for (name, value) in PROPERTIES {
            config.set(*name, *value);
        }
        config.extend(settings.properties);
        let failed = Arc::new(DashSet::new());
        let context = Deliveries { topic: settings.topic.clone(), failed: failed.clone() };
        let producer = config
            .create_with_context(context)
            .map_err(|cause| PublishError { topic: settings.topic.clone(), cause })?;
        Ok(Self { producer, topic: settings.topic, queue: Queue::new(settings.interval, failed) })
    }

    /// Publishes until `shutdown`.
    pub async fn run(mut self, snapshots: Snapshots, shutdown: CancellationToken) {
        loop {
            source::drain(&self.producer);
            self.queue.collect(snapshots.changes().drain());
            self.send_due(&snapshots, clock::instant());
            metrics::gauge!("odometer_snapshot_pending").set(self.queue.pending.len() as f64);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
        let producer = self.producer;
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(topic = self.topic, %error, "flush snapshots at the end");
        }
    }

    fn send_due(&mut self, snapshots: &Snapshots, now: Instant) {
        for organization in self.queue.due(now) {
            let Some(mut usage) = snapshots.current(&organization) else {
                self.queue.forget(&organization);
                continue;
            };
            let content = usage.content_hash();
            if self.queue.was_sent(&organization, content) {
                self.queue.forget(&organization);
                continue;
            }
            usage.as_of = self.queue.later_than_sent(&organization, usage.as_of);
            match self.send(&organization, &usage) {
                Ok(()) => self.queue.sent(organization, content, usage.as_of, now),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => break,
                Err(error) => {
                    metrics::counter!("odometer_snapshot_publish_failures_total").increment(1);
                    tracing::warn!(topic = self.topic, %error, "publish a snapshot; retrying");
                    self.queue.put_off(organization, now);
                }
            }
        }
    }

    fn send(&self, organization: &Arc<str>, usage: &Usage) -> Result<(), KafkaError> {
        let payload = serde_json::to_vec(usage).expect("usage is plain data");
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(organization.clone()))
            .key(&**organization)
            .payload(&payload);
        self.producer.send(record).map_err(|(error, _)| error)
    }
}

/// Whose snapshot waits, and what was sent last. Each organization is there once.
struct Queue {
    interval: Duration,
    pending: HashSet<Arc<str>>,
    sent: HashMap<Arc<str>, Sent>,
    failed: Arc<DashSet<Arc<str>>>,
}

#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    as_of: Time,
    /// `None`: it did not arrive.
    content: Option<u64>,
}

impl Queue {
    fn new(interval: Duration, failed: Arc<DashSet<Arc<str>>>) -> Self {
        Self { interval, pending: HashSet::new(), sent: HashMap::new(), failed }
    }

    fn collect(&mut self, changed: Vec<Arc<str>>) {
        self.pending.extend(changed);
        let failed: Vec<Arc<str>> = self.failed.iter().map(|organization| organization.clone()).collect();
        for organization in failed {
            self.failed.remove(&organization);
            if let Some(sent) = self.sent.get_mut(&organization) {
                sent.content = None;
            }
            self.pending.insert(organization);
        }
    }

    fn due(&self, now: Instant) -> Vec<Arc<str>> {
        let waited = |organization: &&Arc<str>| {
            self.sent.get(*organization).is_none_or(|sent| now - sent.at >= self.interval)
        };
        self.pending.iter().filter(waited).cloned().collect()
    }

    fn was_sent(&self, organization: &Arc<str>, content: u64) -> bool {
        self.sent.get(organization).is_some_and(|sent| sent.content == Some(content))
    }

    /// Readers keep the greatest `as_of`, so that one that says something else must have a greater one,
    /// also where a test's clock stands still.
    fn later_than_sent(&self, organization: &Arc<str>, as_of: Time) -> Time {
        self.sent.get(organization).map_or(as_of, |sent| as_of.max(Time(sent.as_of.0 + 1)))
    }

    fn sent(&mut self, organization: Arc<str>, content: u64, as_of: Time, at: Instant) {
        self.pending.remove(&organization);
        self.sent.insert(organization, Sent { at, as_of, content: Some(content) });
    }

    /// Tries again an interval later.
    fn put_off(&mut self, organization: Arc<str>, at: Instant) {
        let as_of = self.sent.get(&organization).map_or(Time(i64::MIN), |sent| sent.as_of);
        self.sent.insert(organization, Sent { at, as_of, content: None });
    }

    fn forget(&mut self, organization: &Arc<str>) {
        self.pending.remove(organization);
    }
}
