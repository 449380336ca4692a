//! Asks the broker how many partitions the configured topics have, so that one that nobody ever
//! read is not mistaken for one that is read to its end; and which of them nothing ever reached, since
//! those have been read to their end although nobody reads them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use crate::clock;

const ASK_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether the clock was moved: then it is asked at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks again and again until `shutdown`. `properties` are librdkafka's, the brokers among them.
/// While the broker does not answer, what it said last holds.
pub async fn watch_partitions(
    deployment: Arc<Deployment>,
    properties: Vec<(String, String)>,
    shutdown: CancellationToken,
) {
    let Some(client) = client(properties) else { return };
    while !shutdown.is_cancelled() {
        let (asked, client) = (deployment.clone(), client.clone());
        let asking = tokio::task::spawn_blocking(move || ask(&asked, &client));
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = asking => {}
        }
        if shutdown.run_until_cancelled(until_next_time(&deployment)).await.is_none() {
            break;
        }
    }
}

/// Asks once; where the broker does not answer, only what was read is known.
pub async fn learn_partitions(deployment: Arc<Deployment>, properties: Vec<(String, String)>) {
    let Some(client) = client(properties) else { return };
    if let Err(error) = tokio::task::spawn_blocking(move || ask(&deployment, &client)).await {
        tracing::warn!(%error, "ask the broker for partitions");
    }
}

fn client(properties: Vec<(String, String)>) -> Option<Arc<BaseConsumer>> {
    let mut config = ClientConfig::new();
    config.extend(properties);
    match config.set("allow.auto.create.topics", "false").create() {
        Ok(client) => Some(Arc::new(client)),
        Err(error) => {
            tracing::error!(%error, "make a client to ask for partitions: new ones are seen once they are read");
            None
        }
    }
}

async fn until_next_time(deployment: &Deployment) {
    let asked_ms = deployment.now_ms();
    let every_ms = i64::try_from(ASK_EVERY.as_millis()).unwrap_or(i64::MAX);
    let asked = clock::instant();
    while clock::instant() - asked < ASK_EVERY && deployment.now_ms() - asked_ms < every_ms {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Figures that are behind by less are kept up by those who read the lanes.
const LAG_MS: i64 = 5_000;

fn look_for_empty(deployment: &Deployment, client: &BaseConsumer, topic: &str, partitions: usize) {
    for (partition, number) in (0..partitions).zip(0..) {
        let asked_at = deployment.now_ms();
        match client.fetch_watermarks(topic, number, ANSWER_TIMEOUT) {
            // Nothing was ever written: what was deleted again would have left its offsets behind.
            Ok((_, 0)) => deployment.expect_empty(topic, partition, asked_at),
            Ok(_) => {}
            Err(error) => return tracing::debug!(topic, %error, "ask the broker where a partition ends"),
        }
    }
}

fn ask(deployment: &Deployment, client: &BaseConsumer) {
    for topic in deployment.topics() {
        let asked_at = deployment.now_ms();
        match client.fetch_metadata(Some(topic), ANSWER_TIMEOUT) {
            Ok(metadata) => {
                for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
                    let partitions = topic.partitions().len();
                    deployment.expect_partitions(topic.name(), partitions, asked_at);
                    if !deployment.has_reached(asked_at - LAG_MS) {
                        look_for_empty(deployment, client, topic.name(), partitions);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(topic, %error, "ask the broker for a topic's partitions");
                return;
            }
        }
    }
}
