use std::collections::BTreeMap;

use super::story::{self, Story};
use super::{DEDUP_WINDOW, MAX_EVENT_BYTES};
use crate::figures::Sent;
use crate::oracle::{Format, Oracle, Rules};
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};

/// Tells a story to a topic, and to an oracle.
pub struct Sender {
    topic: String,
    format: Format,
    story: Story,
    producer: KafkaProducer,
    oracle: Oracle,
    rejected: BTreeMap<(String, i32, i64), KafkaRecord>,
}

impl Sender {
    /// Makes the topic; `topic` is its name within the deployment.
    pub fn new(deployment: &Deployment, topic: &str, format: Format, events: u64, partitions: i32) -> Self {
        let topic = deployment.topic(topic);
        kafka::create_topic(&topic, partitions);
        Self {
            oracle: Oracle::new(&topic, rules(format)),
            topic,
            format,
            story: Story::new(format, events, partitions),
            producer: KafkaProducer::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// Sends the next records, as many as there are, and returns how many events were sent so far.
    pub fn send(&mut self, records: usize) -> u64 {
        for mut record in self.story.by_ref().take(records) {
            self.producer.send(&self.topic, &record);
            let before = self.oracle.rejected();
            record.offset = self.oracle.read(&record);
            let several = self.format == Format::Batch
                || record.value.as_ref().is_some_and(|value| value.first() == Some(&b'['));
            if self.oracle.rejected() > before && !several {
                self.rejected.insert((self.topic.clone(), record.partition, record.offset), record);
            }
        }
        self.producer.flush();
        self.oracle.received()
    }

    /// Sends the rest.
    pub fn finish(mut self) -> Sent {
        self.send(usize::MAX);
        let ends = self.oracle.ends();
        assert_eq!(kafka::ends(&self.topic), ends, "each record has the offset that the oracle gave it");
        let ends = ends.into_iter().map(|(partition, end)| ((self.topic.clone(), partition), end)).collect();
        Sent { totals: self.oracle.totals(), ends, rejected: self.rejected }
    }
}

/// As the configuration of a story has them.
pub fn rules(format: Format) -> Rules {
    Rules {
        format,
        organization: "konnect.org_id",
        region: "konnect.geo",
        default_region: "us",
        dedup_window: DEDUP_WINDOW,
        accept_past_ms: story::ACCEPT_PAST_MS,
        accept_future_ms: story::ACCEPT_FUTURE_MS,
        max_event_bytes: MAX_EVENT_BYTES,
        sums: vec![("tokens", "ai.completion")],
    }
}
