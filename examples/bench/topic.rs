//! Topics with a number of partitions of our choice, and no more copies than one.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Topic {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    name: String,
    #[arg(long)]
    partitions: i32,
    /// Delete it instead.
    #[arg(long)]
    delete: bool,
}

impl Topic {
    pub fn run(&self) -> anyhow::Result<()> {
        let client: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let results = super::block_on(async {
            let new = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1));
            Ok(match self.delete {
                true => client.delete_topics(&[&self.name], &options).await?,
                false => client.create_topics([&new], &options).await?,
            })
        })?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}")).context("change topic")?;
        }
        Ok(())
    }
}
