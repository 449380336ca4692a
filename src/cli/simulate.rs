//! `odometer simulate`: traffic whose exact counts are known, sent to a configured topic.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::kafka::Kafka;
use super::outcomes::OutcomeReport;
use super::screen::grouped;
use super::{Context, Failure};
use crate::clock::Clock;
use crate::config::{Config, Topic};
use crate::event::Format;
use crate::month::Month;
use crate::simulate::{Expected, ProduceError, Sent, Settings, Share, Traffic, TrafficProducer};

#[cfg(test)]
mod tests;

const EXAMPLES: &str = "\
Examples:
  odometer simulate --orgs 20 --events 10000
  odometer simulate --orgs 2000 --events 1000000 --month 2026-10 --duplicates 3% --malformed 1%
  odometer simulate --orgs 20 --events 10000 --format kafka-log --expected expected.ndjson

A record's time is its event's plus a small delay. The same settings send the same bytes, so a
second run with the same --seed and --month is all duplicates as long as odometer remembers it.";

/// One question to a broker that has answered before may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Send realistic traffic whose exact counts are known to a configured topic
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Simulate {
    /// How many organizations; few of them have most of the traffic
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    orgs: u32,
    /// How many events, duplicates and malformed ones included
    #[arg(long, value_name = "N")]
    events: u64,
    /// Events a second at most; without it as fast as Kafka takes them
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// What the records are; without it what the topic's are
    #[arg(long, value_name = "F", value_enum)]
    format: Option<FormatName>,
    /// Which part of the events repeats an earlier one: 0.03, 3% or 3; a number from 1 on is percent
    #[arg(long, value_name = "P", default_value = "0")]
    duplicates: Share,
    /// Which part of the events can't be counted, for all the reasons that occur in practice
    #[arg(long, value_name = "P", default_value = "0")]
    malformed: Share,
    /// Another seed, another run; without it one that was never used
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// When it happens: a month as in 2026-11, up to now; without it the last hour
    #[arg(long, value_name = "M")]
    month: Option<Month>,
    /// Where to write what odometer has to count, one JSON object a line: organization, region,
    /// month, meter, value
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// A configured topic; without it the first one of the format
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Where the organizations are; without it in the deployment's own region
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    regions: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Cloudevents,
    KafkaLog,
    Batch,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Cloudevents => Self::Cloudevents,
            FormatName::KafkaLog => Self::KafkaLog,
            FormatName::Batch => Self::Batch,
        }
    }
}

/// What was sent and what has to become of it.
#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    partitions: u32,
    seed: u64,
    records: u64,
    /// Keys and values, before compression.
    bytes: u64,
    outcomes: OutcomeReport,
}

impl Simulate {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = &context.config;
        let topic = self.topic(config)?;
        let settings = self.settings(config, topic);
        settings.check().map_err(|error| Failure::usage(error.to_string()))?;
        let expected_file = self.expected.as_deref().map(create).transpose()?;

        let (brokers, name) = (config.kafka.brokers.clone(), topic.name.clone());
        let properties = config.kafka_properties()?;
        let connect = move || TrafficProducer::connect(&brokers, &name, &properties);
        let producer = blocking(connect).await??;
        warn_of_retention(context, topic, &settings).await?;

        let (seed, partitions) = (settings.seed, producer.partitions());
        let mut traffic =
            Traffic::new(settings, partitions).map_err(|error| Failure::usage(error.to_string()))?;
        let (rate, bar) = (self.rate, context.screen.progress("send", self.events));
        let (sent, expected) = blocking(move || {
            let sent = producer.send(&mut traffic, rate, |events| bar.set_position(events));
            bar.finish_and_clear();
            sent.map(|sent| (sent, traffic.expected()))
        })
        .await??;
        if let (Some(file), Some(path)) = (expected_file, &self.expected) {
            write(&expected, file, path)?;
        }
        context.screen.print(&report(&topic.name, partitions, seed, sent, &expected), for_people)
    }

    fn topic<'a>(&self, config: &'a Config) -> Result<&'a Topic, Failure> {
        let topics = &config.kafka.topics;
        let names = || topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", ");
        let format = self.format.map(Format::from);
        let fits = |topic: &&Topic| format.is_none_or(|format| topic.format == format);
        if let Some(name) = &self.topic {
            let topic = topics.iter().find(|topic| topic.name == *name).ok_or_else(|| {
                Failure::usage(format!("find topic {name}: it is not configured"))
                    .hint(format!("configured: {}", names()))
            })?;
            return Some(topic).filter(fits).ok_or_else(|| {
                Failure::usage(format!("simulate into {name}: it is configured with another format"))
                    .hint("leave --format out, or name another topic")
            });
        }
        topics.iter().find(fits).ok_or_else(|| {
            Failure::usage("find a topic of that format: none is configured")
                .hint(format!("add one to kafka.topics; configured: {}", names()))
        })
    }

    fn settings(&self, config: &Config, topic: &Topic) -> Settings {
        let regions =
            if self.regions.is_empty() { vec![config.region.clone()] } else { self.regions.clone() };
        Settings {
            format: topic.format,
            organization: topic.organization.clone(),
            region: topic.region.clone(),
            default_region: config.region.clone(),
            regions,
            organizations: self.orgs,
            events: self.events,
            duplicates: self.duplicates,
            malformed: self.malformed,
            seed: self.seed.unwrap_or_else(rand::random),
            month: self.month,
            now_ms: Clock::System.now_ms(),
            dedup_window: config.metering.dedup_window,
            accept_past_ms: i64::try_from(config.metering.accept_past.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await.context("send traffic")?)
}

/// Kafka deletes by record time, and a past month's records have past times.
async fn warn_of_retention(context: &Context, topic: &Topic, settings: &Settings) -> Result<(), Failure> {
    let Some(month) = settings.month else { return Ok(()) };
    let kept = Kafka::new(&context.config)?.topic_setting(&topic.name, "retention.ms", PATIENCE).await?;
    let Ok(kept_ms) = kept.parse::<i64>() else { return Ok(()) };
    if kept_ms >= 0 && month.start_ms() < settings.now_ms - kept_ms {
        let days = kept_ms / (24 * 60 * 60 * 1_000);
        context.screen.note(&format!(
            "warning: topic {} keeps records for {days} days, so Kafka soon deletes those of {month}, \
             counted or not; set retention.ms=-1 on it",
            topic.name
        ));
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::failed(format!("create {}: {error}", path.display())))
}

fn write(expected: &Expected, file: File, path: &Path) -> Result<(), Failure> {
    let mut out = BufWriter::new(file);
    let written = expected.write(&mut out).and_then(|()| out.flush());
    written.map_err(|error| Failure::failed(format!("write {}: {error}", path.display())))
}

fn report(topic: &str, partitions: u32, seed: u64, sent: Sent, expected: &Expected) -> Report {
    let outcomes = &expected.outcomes;
    Report {
        topic: topic.to_owned(),
        partitions,
        seed,
        records: sent.records,
        bytes: sent.bytes,
        outcomes: OutcomeReport {
            received: outcomes.received(),
            counted: outcomes.counted,
            duplicate: outcomes.duplicate,
            rejected: outcomes.rejected.iter().map(|(reason, n)| (reason.as_str(), *n)).collect(),
            ignored: outcomes.ignored.iter().map(|(detail, n)| (detail.as_str(), *n)).collect(),
        },
    }
}

fn for_people(report: &Report) -> String {
    format!(
        "Sent {} events in {} records to {} ({} partitions) with --seed {}. To be expected:\n{}\n",
        grouped(report.outcomes.received.into()),
        grouped(report.records.into()),
        report.topic,
        report.partitions,
        report.seed,
        report.outcomes.table(false).trim_fmt(),
    )
}

impl From<ProduceError> for Failure {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Unreachable { .. } => Self::unreachable(error.to_string())
                .hint("start it, or correct kafka.brokers; `odometer validate` checks all servers"),
            ProduceError::NoTopic(_) => Self::failed(error.to_string()).hint("`odometer setup` makes it"),
            _ => Self::failed(error.to_string()),
        }
    }
}
