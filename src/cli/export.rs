//! `odometer export`: what every organization used in a month, as a file for other programs.

mod columns;
mod file;
mod lines;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::columns::Columns;
use self::file::NewFile;
use self::lines::{Csv, Ndjson};
use super::audit::reached_store;
use super::process::{START_PATIENCE, reach, until_stopped};
use super::screen::grouped;
use super::{Context, Failure, accounts};
use crate::clock::{Clock, Time};
use crate::month::Month;
use crate::snapshot::Deployment;
use crate::snapshot::everyone::Everyone;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  odometer export --month 2026-11 --format parquet --out usage-2026-11.parquet
  odometer export --month 2026-11 --format csv --out usage-2026-11.csv

Columns: organization, region, meter, month, value, in the order of the first three.
The file appears under its name when it is whole; until then, what was there stays.";

/// How often the progress bar moves: once for this many organizations.
const PROGRESS_STEP: u64 = 1_000;

/// Write every organization's usage of a month to a file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Export {
    /// A UTC month such as 2026-11
    #[arg(long, value_name = "YYYY-MM")]
    month: Month,
    /// How the file is written
    #[arg(long, value_enum)]
    format: Format,
    /// The file; it is replaced where it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet, compressed, with statistics
    Parquet,
    /// Comma-separated values with a header (RFC 4180)
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// One line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Row<'a> {
    organization: &'a str,
    region: &'a str,
    meter: &'a str,
    /// `2026-11`.
    month: &'a str,
    /// As in the view `usage_monthly`, a sum beyond 2^64 - 1 is 2^64 - 1.
    value: u64,
}

/// Rows on their way into a file of one format.
trait Rows {
    fn write(&mut self, row: Row<'_>) -> io::Result<()>;

    /// Everything is in the file when it returns.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Format {
    fn rows(self, file: File) -> io::Result<Box<dyn Rows + Send>> {
        let file = BufWriter::new(file);
        Ok(match self {
            Self::Parquet => Box::new(Columns::new(file)?),
            Self::Csv => Box::new(Csv::new(file)?),
            Self::Ndjson => Box::new(Ndjson::new(file)),
        })
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Summary {
    month: Month,
    format: Format,
    out: PathBuf,
    organizations: u64,
    rows: u64,
    bytes: u64,
    as_of: Time,
    complete_through: Option<Time>,
    complete: bool,
}

impl Export {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        // A signal ends the work here, so that the unfinished file goes with it.
        until_stopped(context.config.shutdown_timeout, |shutdown| async move {
            tokio::select! {
                done = self.export(context) => done,
                () = shutdown.cancelled() => Err(Failure::failed("export: stopped before the file was whole")),
            }
        })
        .await
    }

    async fn export(&self, context: &Context) -> Result<(), Failure> {
        let file = NewFile::beside(&self.out)?;
        let deployments = reached_deployments(context).await?;
        let bar = context.screen.progress("organizations", 0);
        let everyone = Everyone::read(&deployments, self.month, !bar.is_hidden()).await;
        let mut everyone = everyone.context("read usage of everyone")?;
        bar.set_length(everyone.organizations_about());
        let (organizations, rows) = self.copy(&mut everyone, &file, &bar).await?;
        let bytes = file.finish()?;
        bar.finish_and_clear();
        let summary = Summary {
            month: self.month,
            format: self.format,
            out: self.out.clone(),
            organizations,
            rows,
            bytes,
            as_of: everyone.as_of(),
            complete_through: everyone.complete_through(),
            complete: everyone.is_complete(),
        };
        context.screen.print(&summary, for_people)
    }

    /// Returns how many organizations and rows there were.
    async fn copy(
        &self,
        everyone: &mut Everyone,
        file: &NewFile,
        bar: &ProgressBar,
    ) -> Result<(u64, u64), Failure> {
        let mut out = self.format.rows(file.handle()?).map_err(|error| file.failure(&error))?;
        let month = self.month.to_string();
        let (mut organizations, mut rows) = (0, 0);
        while let Some(usage) = everyone.next().await.context("read usage of everyone")? {
            for value in usage.values() {
                out.write(Row {
                    organization: &usage.organization,
                    region: value.region,
                    meter: value.meter,
                    month: &month,
                    value: u64::try_from(value.value).unwrap_or(u64::MAX),
                })
                .map_err(|error| file.failure(&error))?;
                rows += 1;
            }
            organizations += u64::from(usage.values().next().is_some());
            if organizations.is_multiple_of(PROGRESS_STEP) {
                bar.set_position(organizations);
            }
        }
        out.finish().map_err(|error| file.failure(&error))?;
        Ok((organizations, rows))
    }
}

/// The local deployment and those of all configured regions: a file without one of them would be
/// short without saying so.
async fn reached_deployments(context: &Context) -> Result<Vec<Arc<Deployment>>, Failure> {
    let config = &context.config;
    let local = reached_store(context).await?;
    let accounts = accounts::open_to_read(config).await?;
    let clock = accounts.as_ref().map_or(Clock::System, |accounts| accounts.clock().clone());
    let mut deployments = vec![Arc::new(Deployment::new(config.deployment_settings(), local, clock.clone()))];
    for (settings, store_settings) in config.other_deployments()? {
        let store = Store::new(&store_settings).map_err(anyhow::Error::from)?;
        let what = format!("ClickHouse of region {} at {}", settings.region, store_settings.url);
        reach(&what, START_PATIENCE, &CancellationToken::new(), || store.ping()).await?;
        deployments.push(Arc::new(Deployment::new(settings, store, clock.clone())));
    }
    Ok(deployments)
}

fn for_people(summary: &Summary) -> String {
    let Summary { month, out, organizations, rows, bytes, .. } = summary;
    let mut text = format!(
        "{}: {} rows of {} organizations in {month} (UTC), {} bytes\n",
        out.display(),
        grouped((*rows).into()),
        grouped((*organizations).into()),
        grouped((*bytes).into())
    );
    text += &match summary.complete_through {
        Some(through) => format!("complete through {through}"),
        None => "not known to be complete: some lane was never seen read to its end".to_owned(),
    };
    if !summary.complete {
        text += "; INCOMPLETE: `odometer doctor` tells why";
    }
    text
}
