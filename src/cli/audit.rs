//! `odometer audit`: does everything add up?

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sqlx::sqlite::SqliteConnectOptions;
use tokio_util::sync::CancellationToken;

use super::kafka::Kafka;
use super::process::{START_PATIENCE, reach};
use super::screen::{Tone, cell, grouped, table};
use super::{Context, Exit, Failure};
use crate::accounts::audit_log;
use crate::accounts::database::Database;
use crate::audit::{self, Report};
use crate::month::Month;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  odometer audit                            the ledger, the stored counts, the account log
  odometer audit --month 2026-11 --recount  and count November's blocks again from the log

Exit codes: 0 everything balances, 1 it does not.";

/// Check that everything adds up: ledger, stored counts, offsets, the account log
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Audit {
    /// Look only at ledger rows with events of this UTC month, such as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<Month>,
    /// Read the log again, by code of its own, and compare counts, outcomes and digests
    #[arg(long)]
    recount: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    report: Report,
    /// `None`: there is no accounts database yet.
    account_log: Option<AccountLog>,
}

/// The hash chain over all changes of accounts.
#[derive(Debug, Serialize)]
pub struct AccountLog {
    pub entries: Option<i64>,
    /// Where it is broken.
    pub problem: Option<String>,
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let store = reached_store(context).await?;
        let mut report = match self.recount {
            false => audit::audit(&store, self.month).await.context("audit")?,
            true => self.count_again(context, &store).await?,
        };
        let account_log = check_account_log(context, START_PATIENCE).await?;
        report.balanced &= account_log.as_ref().is_none_or(|log| log.problem.is_none());
        let answer = Answer { report, account_log };
        context.screen.print(&answer, for_people)?;
        if answer.report.balanced { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }

    async fn count_again(&self, context: &Context, store: &Store) -> Result<Report, Failure> {
        reached_kafka(context).await?;
        let bar = context.screen.progress("reading the log", 0);
        let progress = |read, total| {
            bar.set_length(total);
            bar.set_position(read);
        };
        let settings = context.config.source_settings()?;
        let report = audit::audit_with_recount(store, &settings, self.month, &progress).await;
        bar.finish_and_clear();
        Ok(report.context("audit")?)
    }
}

/// The database as it is: reading makes nothing.
pub async fn reached_store(context: &Context) -> Result<Store, Failure> {
    let settings = context.config.store_settings()?;
    let store = Store::new(&settings).map_err(anyhow::Error::from)?;
    let what = format!("ClickHouse at {}", settings.url);
    reach(&what, START_PATIENCE, &CancellationToken::new(), || store.ping()).await?;
    Ok(store)
}

/// Answers once the brokers do.
pub async fn reached_kafka(context: &Context) -> Result<Kafka, Failure> {
    let kafka = Kafka::new(&context.config)?;
    let what = format!("Kafka at {}", context.config.kafka.brokers);
    let describe = || kafka.describe(Duration::from_secs(10));
    reach(&what, START_PATIENCE, &CancellationToken::new(), describe).await?;
    Ok(kafka)
}

/// The hash chain over all changes of accounts.
pub async fn check_account_log(context: &Context, patience: Duration) -> Result<Option<AccountLog>, Failure> {
    let url = context.config.accounts_url()?;
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(&url).context("read accounts.url")?;
        if !options.get_filename().exists() {
            return Ok(None);
        }
    }
    let what = "the accounts database (accounts.url)";
    let open = || Database::open(&url, 1);
    let Some(database) = reach(what, patience, &CancellationToken::new(), open).await? else {
        return Ok(None);
    };
    Ok(Some(match audit_log::verify(&database).await.context("check account log")? {
        Ok(entries) => AccountLog { entries: Some(entries), problem: None },
        Err(broken) => AccountLog { entries: None, problem: Some(broken.to_string()) },
    }))
}

fn for_people(answer: &Answer) -> String {
    let report = &answer.report;
    let mut text = String::new();
    if !report.findings.is_empty() {
        let mut findings = table(["PROBLEM", "LANE", "OFFSETS", "BLOCK", "WHAT DIFFERS"]);
        for finding in &report.findings {
            findings.add_row([
                cell(finding.problem.as_str(), Tone::Bad),
                cell(lane(&finding.place), Tone::Plain),
                cell(offsets(&finding.place), Tone::Plain),
                cell(finding.block.as_deref().unwrap_or("-"), Tone::Plain),
                cell(&finding.detail, Tone::Plain),
            ]);
        }
        text += &format!("{}\n\n", findings.trim_fmt());
    }
    if !report.losses.is_empty() || !report.not_verifiable.is_empty() {
        let mut known = table(["LANE", "OFFSETS", "KNOWN"]);
        for loss in &report.losses {
            let what = format!("lost: {}", loss.loss);
            known.add_row([
                cell(lane(&loss.place), Tone::Plain),
                cell(offsets(&loss.place), Tone::Plain),
                cell(what, Tone::Doubtful),
            ]);
        }
        for part in &report.not_verifiable {
            let what = format!("not verifiable: {} ({} ledger rows)", part.reason, part.rows);
            known.add_row([
                cell(lane(&part.place), Tone::Plain),
                cell(offsets(&part.place), Tone::Plain),
                cell(what, Tone::Doubtful),
            ]);
        }
        text += &format!("{}\n\n", known.trim_fmt());
    }
    text + &summary(answer)
}

fn summary(answer: &Answer) -> String {
    let report = &answer.report;
    let mut parts = vec![format!(
        "{} ledger rows of {} lanes with {} events",
        grouped(report.rows as u128),
        grouped(report.lanes as u128),
        grouped(report.received.into())
    )];
    if let Some(again) = report.recounted {
        parts.push(format!(
            "{} rows with {} events counted again from the log",
            grouped(again.rows as u128),
            grouped(again.received.into())
        ));
    }
    match &answer.account_log {
        None => parts.push("no accounts database".to_owned()),
        Some(AccountLog { problem: Some(problem), .. }) => parts.push(problem.clone()),
        Some(AccountLog { entries, .. }) => {
            parts.push(format!("account log of {} entries", entries.unwrap_or_default()));
        }
    }
    let verdict = if report.balanced { "balanced" } else { "NOT BALANCED" };
    format!("{verdict}: {}", parts.join("; "))
}

fn lane(place: &audit::Place) -> String {
    format!("{}[{}]", place.topic, place.partition)
}

fn offsets(place: &audit::Place) -> String {
    format!("{} to {}", place.first_offset, place.next_offset)
}
