//! `odometer validate`: the configuration is sound, and every server answers.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::kafka::{self, Cluster, Kafka, Wanted};
use super::screen::{Tone, cell, table};
use super::setup::refuse_compacted;
use super::{Context, Exit, Failure};
use crate::config::{Config, ConfigError};

mod accounts;
mod clickhouse;

/// One server may take this long; all are asked at the same time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Check the configuration, then that every server answers
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 good, 78 the configuration is wrong, 69 a server is unreachable.")]
pub struct Validate {
    /// Check the configuration alone
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Good,
    /// It works as it is, but there is something to do.
    Doubtful,
    /// A secret that is needed is missing.
    Misconfigured,
    Unreachable,
}

/// What was looked at and found.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    status: Status,
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    status: Status,
    checks: Vec<Check>,
}

impl Check {
    fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), hint: None }
    }

    fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Good, detail)
    }

    fn unreachable(name: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self::new(name, Status::Unreachable, format!("{detail:#}"))
    }

    fn misconfigured(name: impl Into<String>, error: &ConfigError) -> Self {
        Self::new(name, Status::Misconfigured, error.to_string())
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Validate {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = &context.config;
        let mut checks = vec![Check::good("configuration", describe(config)), operator_token(config)];
        checks.extend(price_book(config));
        checks.extend(webhooks(config));
        if !self.offline {
            let (kafka, clickhouse, accounts) =
                tokio::join!(kafka_checks(config), clickhouse::check(config), accounts::check(config));
            checks.extend(kafka);
            checks.push(clickhouse);
            checks.push(accounts);
        }
        let worst = |status| checks.iter().any(|check| check.status == status).then_some(status);
        let status = worst(Status::Misconfigured)
            .or_else(|| worst(Status::Unreachable))
            .or_else(|| worst(Status::Doubtful))
            .unwrap_or(Status::Good);
        let report = Report { status, checks };
        context.screen.print(&report, for_people)?;
        match report.status {
            Status::Good | Status::Doubtful => Ok(()),
            Status::Misconfigured => Err(Failure::silent(Exit::Config)),
            Status::Unreachable => Err(Failure::silent(Exit::Unreachable)),
        }
    }
}

fn describe(config: &Config) -> String {
    let topics: Vec<&str> = config.kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let plans = match &config.plans {
        Some(path) => path.display().to_string(),
        None => "built in".to_owned(),
    };
    format!("region {}, topics {}, price book {plans}", config.region, topics.join(", "))
}

/// Only `serve` and `run` need the token, so that its absence is no failure here.
fn operator_token(config: &Config) -> Check {
    match config.operator_token() {
        Ok(_) => Check::good("operator token", "is set"),
        Err(error) => Check::new("operator token", Status::Doubtful, error.to_string())
            .hint("`odometer serve` and `odometer run` need it; `odometer ingest` does not"),
    }
}

/// Only a mistake is told.
fn price_book(config: &Config) -> Option<Check> {
    config.price_book().err().map(|error| Check::misconfigured("price book", &error))
}

/// Only a mistake is told; the database's own check tells of its URL.
fn webhooks(config: &Config) -> Option<Check> {
    config.accounts_url().ok()?;
    config.accounts_settings().err().map(|error| Check::misconfigured("webhooks", &error))
}

async fn kafka_checks(config: &Config) -> Vec<Check> {
    let name = format!("Kafka {}", config.kafka.brokers);
    let kafka = match Kafka::new(config) {
        Ok(kafka) => kafka,
        Err(failure) if failure.exit == Exit::Config => {
            return vec![Check::new(name, Status::Misconfigured, failure.message)];
        }
        Err(failure) => return vec![Check::unreachable(name, failure)],
    };
    let cluster = match kafka.describe(PATIENCE).await {
        Ok(cluster) => cluster,
        Err(error) => return vec![Check::unreachable(name, error)],
    };
    let mut checks = vec![Check::good(name, counted(cluster.brokers, "broker"))];
    for topic in kafka::wanted(&config.kafka) {
        checks.push(topic_check(&kafka, &cluster, &topic).await);
    }
    checks
}

async fn topic_check(kafka: &Kafka, cluster: &Cluster, topic: &Wanted) -> Check {
    let name = format!("topic {}", topic.name);
    let Some(partitions) = cluster.partitions.get(&topic.name) else {
        return Check::new(name, Status::Doubtful, "does not exist").hint("run `odometer setup` to make it");
    };
    match refuse_compacted(kafka, cluster, topic).await {
        Ok(()) => Check::good(name, counted(*partitions, "partition")),
        Err(failure) if failure.exit == Exit::Config => {
            let check = Check::new(name, Status::Misconfigured, failure.message);
            Check { hint: failure.hint, ..check }
        }
        Err(failure) => Check::unreachable(name, failure),
    }
}

/// `1 broker`, `2 brokers`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn for_people(report: &Report) -> String {
    let mut table = table(["CHECK", "STATUS", "DETAIL"]);
    for check in &report.checks {
        let tone = match check.status {
            Status::Good => Tone::Good,
            Status::Doubtful => Tone::Doubtful,
            Status::Misconfigured | Status::Unreachable => Tone::Bad,
        };
        let status = format!("{:?}", check.status).to_lowercase();
        let detail = match &check.hint {
            Some(hint) => format!("{}\n{hint}", check.detail),
            None => check.detail.clone(),
        };
        table.add_row([cell(&check.name, Tone::Plain), cell(status, tone), cell(detail, Tone::Plain)]);
    }
    table.trim_fmt()
}
