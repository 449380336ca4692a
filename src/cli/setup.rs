//! `odometer setup`: makes what is missing, changes nothing that is there.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::kafka::{Cluster, Kafka, Purpose, Wanted, wanted};
use super::process::{START_PATIENCE, reach};
use super::screen::{Tone, cell, table};
use super::{Context, Exit, Failure};

/// One question to a broker that has answered before may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Make the Kafka topics and ClickHouse tables that are missing; safe to run again
#[derive(Debug, Args)]
pub struct Setup {}

#[derive(Debug, Serialize)]
struct Made {
    what: &'static str,
    name: String,
    /// False where it was there already.
    made: bool,
}

impl Setup {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let made = topics(context).await?;
        context.screen.print(&made, |made| for_people(made))
    }
}

async fn topics(context: &Context) -> Result<Vec<Made>, Failure> {
    let config = &context.config;
    let kafka = Kafka::new(config)?;
    let what = format!("Kafka at {}", config.kafka.brokers);
    let never = CancellationToken::new();
    let describe = || kafka.describe(Duration::from_secs(10));
    let cluster = reach(&what, START_PATIENCE, &never, describe).await?;
    let cluster = cluster.expect("a token that is never cancelled stops nothing");
    let wanted = wanted(&config.kafka);
    for topic in &wanted {
        refuse_compacted(&kafka, &cluster, topic).await?;
    }
    let mut made = Vec::new();
    for topic in wanted {
        let is_there = cluster.partitions.contains_key(&topic.name);
        let is_new = !is_there && kafka.create(&topic, PATIENCE).await?;
        made.push(Made { what: "topic", name: topic.name, made: is_new });
    }
    Ok(made)
}

/// Compaction keeps the last record of a key and drops the others: usage would vanish before it is
/// counted, or before it is counted again.
async fn refuse_compacted(kafka: &Kafka, cluster: &Cluster, topic: &Wanted) -> Result<(), Failure> {
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
        let (status, tone) = if row.made { ("made", Tone::Good) } else { ("was there", Tone::Plain) };
        table.add_row([cell(row.what, Tone::Plain), cell(&row.name, Tone::Plain), cell(status, tone)]);
    }
    table.trim_fmt()
}
