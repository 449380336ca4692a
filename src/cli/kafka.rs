//! Kafka as the commands see it: which topics there are, and making those that are wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::Failure;
use crate::config::{self, Config};

#[cfg(test)]
mod tests;

/// Partitions of a topic that `setup` makes: enough for four processes to share the work.
const PARTITIONS: i32 = 4;
/// The broker's own default.
const REPLICATION: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Input,
    DeadLetters,
    Snapshots,
}

/// A topic that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub purpose: Purpose,
}

/// The configured topics, inputs first.
pub fn wanted(kafka: &config::Kafka) -> Vec<Wanted> {
    let inputs =
        kafka.topics.iter().map(|topic| Wanted { name: topic.name.clone(), purpose: Purpose::Input });
    let ours = [
        Wanted { name: kafka.dead_letters.clone(), purpose: Purpose::DeadLetters },
        Wanted { name: kafka.snapshots.clone(), purpose: Purpose::Snapshots },
    ];
    inputs.chain(ours).collect()
}

/// What the brokers say.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub brokers: usize,
    /// Number of partitions by topic.
    pub partitions: BTreeMap<String, usize>,
}

pub struct Kafka {
    admin: std::sync::Arc<AdminClient<DefaultClientContext>>,
    brokers: String,
}

impl Kafka {
    /// Connects in the background; nothing is asked yet.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let client: ClientConfig = config.kafka_properties()?.into_iter().collect();
        let admin = client.create().context("start Kafka client")?;
        Ok(Self { admin: std::sync::Arc::new(admin), brokers: config.kafka.brokers.clone() })
    }

    pub async fn describe(&self, patience: Duration) -> anyhow::Result<Cluster> {
        let admin = self.admin.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, patience)?;
            let partitions = |topic: &rdkafka::metadata::MetadataTopic| {
                (topic.name().to_owned(), topic.partitions().len())
            };
            Ok::<_, rdkafka::error::KafkaError>(Cluster {
                brokers: metadata.brokers().len(),
                partitions: metadata.topics().iter().map(partitions).collect(),
            })
        });
        let cluster = asked.await.context("ask Kafka")?;
        cluster.map_err(|error| anyhow!("ask Kafka at {} for its topics: {error}", self.brokers))
    }

    /// Makes a topic; false where it is there already.
    pub async fn create(&self, wanted: &Wanted, patience: Duration) -> anyhow::Result<bool> {
        let topic = settings(wanted.purpose)
            .iter()
            .fold(NewTopic::new(&wanted.name, PARTITIONS, REPLICATION), |topic, (key, value)| {
                topic.set(key, value)
            });
        let made = self.admin.create_topics([&topic], &options(patience)).await;
        let made = made.with_context(|| format!("make topic {}", wanted.name))?;
        match made.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(anyhow!("make topic {}: {code}", wanted.name)),
            None => Err(anyhow!("make topic {}: Kafka did not answer for it", wanted.name)),
        }
    }

    /// The topic's `cleanup.policy`: `delete`, `compact` or both.
    pub async fn cleanup_policy(&self, topic: &str, patience: Duration) -> anyhow::Result<String> {
        self.topic_setting(topic, "cleanup.policy", patience).await
    }

    /// What the topic's configuration says, the broker's defaults included.
    pub async fn topic_setting(&self, topic: &str, name: &str, patience: Duration) -> anyhow::Result<String> {
        let context = || format!("read the configuration of topic {topic}");
        let asked = self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options(patience)).await;
        let answer = asked.with_context(context)?.into_iter().next();
        let resource = answer.with_context(context)?.map_err(|code| anyhow!("{}: {code}", context()))?;
        let setting = resource.get(name).and_then(|entry| entry.value.clone());
        setting.with_context(|| format!("{}: no {name}", context()))
    }
}

fn options(patience: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(patience)).operation_timeout(Some(patience))
}

/// Event time is in the event; a record's own time is its producer's, so that a late batch is late.
fn settings(purpose: Purpose) -> &'static [(&'static str, &'static str)] {
    match purpose {
        Purpose::Input => &[("cleanup.policy", "delete"), ("message.timestamp.type", "CreateTime")],
        Purpose::DeadLetters => &[("cleanup.policy", "delete")],
        Purpose::Snapshots => &[("cleanup.policy", "compact")],
    }
}
