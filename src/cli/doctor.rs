//! `odometer doctor`: what is wrong, and what to do about it.

mod organizations;
mod regions;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::audit::check_account_log;
use super::screen::{Tone, cell, table};
use super::{Context, Exit, Failure};
use crate::audit::doctor::{self, Check, Health, Settings};
use crate::clock::Clock;
use crate::store::Store;

/// Say what is wrong and what to do about it
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong (something may be doubtful), 1 something is, 69 a server does not answer."
)]
pub struct Doctor {}

/// The accounts database is given less time than where a command can't do without it.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
struct Diagnosis {
    health: Health,
    checks: Vec<Check>,
}

impl Doctor {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = &context.config;
        let settings = Settings {
            kafka: config.source_settings()?,
            snapshots: config.kafka.snapshots.clone(),
            dedup_window: config.metering.dedup_window,
        };
        let store = Store::new(&config.store_settings()?).map_err(anyhow::Error::from)?;
        let mut checks = vec![Check::good("configuration", describe(context)), operator_token(context)];
        checks.extend(doctor::examine(&store, &settings, &Clock::System).await);
        let accounts = accounts(context).await;
        let can_compare = accounts.health == Health::Good;
        checks.push(accounts);
        if can_compare {
            checks.extend(organizations::check(context).await);
            checks.extend(regions::check(context, &store).await);
        }
        let health = checks.iter().map(|check| check.health).max().unwrap_or(Health::Good);
        let diagnosis = Diagnosis { health, checks };
        context.screen.print(&diagnosis, for_people)?;
        let is_unreachable = diagnosis.checks.iter().any(|check| check.is_unreachable);
        match health {
            Health::Wrong if is_unreachable => Err(Failure::silent(Exit::Unreachable)),
            Health::Wrong => Err(Failure::silent(Exit::Failed)),
            Health::Good | Health::Doubtful => Ok(()),
        }
    }
}

fn describe(context: &Context) -> String {
    let config = &context.config;
    let topics: Vec<&str> = config.kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    format!("region {}, group {}, topics {}", config.region, config.kafka.group, topics.join(", "))
}

/// Only `serve` and `run` need it.
fn operator_token(context: &Context) -> Check {
    match context.config.operator_token() {
        Ok(_) => Check::good("operator token", "is set"),
        Err(error) => {
            Check::doubtful("operator token", error.to_string(), "`odometer serve` and `run` need it")
        }
    }
}

async fn accounts(context: &Context) -> Check {
    let name = "accounts";
    match check_account_log(context, PATIENCE).await {
        Ok(None) => Check::good(name, "no database yet; it is made at the first start"),
        Ok(Some(log)) => match log.problem {
            None => {
                Check::good(name, format!("a log of {} entries, unbroken", log.entries.unwrap_or_default()))
            }
            Some(problem) => Check::wrong(
                name,
                problem,
                "somebody changed the accounts database by hand: compare it with a backup",
            ),
        },
        Err(failure) => {
            Check::unreachable(name, failure.message, "start the database, or correct accounts.url")
        }
    }
}

fn for_people(diagnosis: &Diagnosis) -> String {
    let mut table = table(["CHECK", "HEALTH", "DETAIL"]);
    for check in &diagnosis.checks {
        let (health, tone) = match check.health {
            Health::Good => ("good", Tone::Good),
            Health::Doubtful => ("doubtful", Tone::Doubtful),
            Health::Wrong => ("WRONG", Tone::Bad),
        };
        let detail = match &check.hint {
            Some(hint) => format!("{}\n→ {hint}", check.detail),
            None => check.detail.clone(),
        };
        table.add_row([cell(&check.name, Tone::Plain), cell(health, tone), cell(detail, Tone::Plain)]);
    }
    table.trim_fmt()
}
