//! Asks the broker how many partitions the configured topics have, so that one that nobody ever
//! read is not mistaken for one that is read to its end.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;

const ASK_EVERY: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks again and again until `shutdown`. `properties` are librdkafka's, the brokers among them.
/// While the broker does not answer, what it said last holds.
pub async fn watch_partitions(
    deployment: Arc<Deployment>,
    properties: Vec<(String, String)>,
    shutdown: CancellationToken,
) {
    let mut config = ClientConfig::new();
    config.extend(properties);
    let client: Arc<BaseConsumer> = match config.set("allow.auto.create.topics", "false").create() {
        Ok(client) => Arc::new(client),
        Err(error) => {
            tracing::error!(%error, "make a client to ask for partitions: new ones are seen once they are read");
            return;
        }
    };
    while !shutdown.is_cancelled() {
        let (deployment, client) = (deployment.clone(), client.clone());
        let asking = tokio::task::spawn_blocking(move || ask(&deployment, &client));
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = asking => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
    }
}

fn ask(deployment: &Deployment, client: &BaseConsumer) {
    for topic in deployment.topics() {
        let asked_at = deployment.now_ms();
        match client.fetch_metadata(Some(topic), ANSWER_TIMEOUT) {
            Ok(metadata) => {
                for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
                    deployment.expect_partitions(topic.name(), topic.partitions().len(), asked_at);
                }
            }
            Err(error) => {
                tracing::debug!(topic, %error, "ask the broker for a topic's partitions");
                return;
            }
        }
    }
}
