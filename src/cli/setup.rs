//! `odometer setup`: makes what is missing, changes nothing that is there.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::kafka::{Cluster, Kafka, Purpose, Wanted, wanted};
use super::process::{START_PATIENCE, reach};
use super::screen::{Tone, cell, table};
use super::{Context, Exit, Failure};
use crate::store::Store;

/// One question to a broker that has answered before may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Make the Kafka topics and ClickHouse tables that are missing; safe to run again
#[derive(Debug, Args)]
pub struct Setup {}

#[derive(Debug, Serialize)]
struct Made {
    what: &'static str,
    name: String,
    status: &'static str,
}

impl Setup {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let never = CancellationToken::new();
        let topics = topics(context, &never).await?.unwrap_or_default();
        let mut made: Vec<_> = topics
            .into_iter()
            .map(|(name, made)| Made { what: "topic", name, status: if made { "made" } else { "was there" } })
            .collect();
        if open_store(context, &never).await?.is_some() {
            made.push(Made {
                what: "database",
                name: context.config.clickhouse.database.clone(),
                status: "ready",
            });
        }
        context.screen.print(&made, |made| for_people(made))
    }
}

/// Makes the topics that are missing. Answers with each topic's name and whether it is new; `None`:
/// told to stop before Kafka answered.
pub async fn topics(
    context: &Context,
    shutdown: &CancellationToken,
) -> Result<Option<Vec<(String, bool)>>, Failure> {
    let config = &context.config;
    let kafka = Kafka::new(config)?;
    let what = format!("Kafka at {}", config.kafka.brokers);
    let describe = || kafka.describe(Duration::from_secs(10));
    let Some(cluster) = reach(&what, START_PATIENCE, shutdown, describe).await? else { return Ok(None) };
    let wanted = wanted(&config.kafka);
    for topic in &wanted {
        refuse_compacted(&kafka, &cluster, topic).await?;
    }
    let mut made = Vec::new();
    for topic in wanted {
        let is_there = cluster.partitions.contains_key(&topic.name);
        let is_new = !is_there && kafka.create(&topic, PATIENCE).await?;
        made.push((topic.name, is_new));
    }
    Ok(Some(made))
}

/// Connects to ClickHouse and makes its tables where they are missing; `None`: told to stop before.
pub async fn open_store(context: &Context, shutdown: &CancellationToken) -> Result<Option<Store>, Failure> {
    let settings = context.config.store_settings()?;
    let store = Store::new(&settings).map_err(anyhow::Error::from)?;
    let what = format!("ClickHouse at {}", settings.url);
    let reached = reach(&what, START_PATIENCE, shutdown, || store.setup()).await?;
    Ok(reached.map(|()| store))
}

/// Compaction keeps the last record of a key and drops the others: usage would vanish before it is
/// counted, or before it is counted again.
pub async fn refuse_compacted(kafka: &Kafka, cluster: &Cluster, topic: &Wanted) -> Result<(), Failure> {
    if topic.purpose != Purpose::Input || !cluster.partitions.contains_key(&topic.name) {
        return Ok(());
    }
    let policy = kafka.cleanup_policy(&topic.name, PATIENCE).await?;
    if !policy.contains("compact") {
        return Ok(());
    }
    let message = format!(
        "kafka.topics: topic {} is compacted (cleanup.policy={policy}): its events would vanish",
        topic.name
    );
    let hint = format!("set cleanup.policy=delete on {}, or count another topic", topic.name);
    Err(Failure::new(Exit::Config, message).hint(hint))
}

fn for_people(made: &[Made]) -> String {
    let mut table = table(["WHAT", "NAME", "STATUS"]);
    for row in made {
        let tone = if row.status == "was there" { Tone::Plain } else { Tone::Good };
        table.add_row([cell(row.what, Tone::Plain), cell(&row.name, Tone::Plain), cell(row.status, tone)]);
    }
    table.trim_fmt()
}
