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
    /// Before the last record.
    rejections: usize,
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
            rejections: 0,
            rejected: BTreeMap::new(),
        }
    }

    /// Sends the next records, as many as there are, and returns how many events were sent so far.
    pub fn send(&mut self, records: usize) -> u64 {
        for _ in 0..records {
            let Some(mut record) = self.story.next() else { break };
            self.producer.send(&self.topic, &record);
            record.offset = self.judge(&record);
            self.remember(record);
        }
        self.producer.flush();
        self.oracle.received()
    }

    fn judge(&mut self, record: &KafkaRecord) -> i64 {
        self.rejections = self.oracle.rejected();
        self.oracle.read(record)
    }

    /// Keeps the record that was judged last where it holds one event, which was rejected.
    fn remember(&mut self, record: KafkaRecord) {
        let several = self.format == Format::Batch
            || record.value.as_ref().is_some_and(|value| value.first() == Some(&b'['));
        if self.oracle.rejected() > self.rejections && !several {
            self.rejected.insert((self.topic.clone(), record.partition, record.offset), record);
        }
    }

    /// Sends the rest. What counts is what the topic then holds: a broker that was killed may have
    /// taken records twice.
    pub fn finish_with_a_broker_in_doubt(mut self) -> Sent {
        self.send(usize::MAX);
        self.oracle = Oracle::new(&self.topic, rules(self.format));
        self.rejected.clear();
        for record in kafka::read_all(&self.topic) {
            assert_eq!(self.judge(&record), record.offset, "the topic holds every offset");
            self.remember(record);
        }
        self.finish()
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
