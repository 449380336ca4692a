//! Billing by itself: each month is closed and invoiced as soon as it is wholly counted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::accounts::Caller;
use crate::accounts::database::values;
use crate::clock;
use crate::month::Month;
use crate::snapshot::Deployment;

use super::biller::Biller;
use super::error::{BillingResult, unreadable};
use super::finalize::Finalized;
use super::{closing, deployments};

/// How often it is looked whether a month can be closed.
const INTERVAL: Duration = Duration::from_secs(1);
/// After an error the wait doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often the region says that it is there.
const SEEN_INTERVAL: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;

impl Biller {
    /// Bills what becomes due until it is told to stop. Several processes may do it at once.
    pub async fn run(&self, stop: CancellationToken) {
        let mut wait = INTERVAL;
        // What is told once, until it is another.
        let mut failure: Option<String> = None;
        let mut seen: Option<Instant> = None;
        loop {
            match self.step(&mut seen).await {
                Ok(()) => {
                    if failure.take().is_some() {
                        tracing::info!("bill what is due: works again");
                    }
                    wait = INTERVAL;
                }
                Err(error) => {
                    let text = error.to_string();
                    if failure.as_ref() != Some(&text) {
                        tracing::warn!(%error, "bill what is due; trying again");
                        failure = Some(text);
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn step(&self, seen: &mut Option<Instant>) -> BillingResult<()> {
        if seen.is_none_or(|seen| seen.elapsed() > SEEN_INTERVAL) {
            if let Some(own) = self.deployments.first() {
                deployments::seen(self.accounts.database(), own.region()).await?;
            }
            *seen = Some(clock::instant());
        }
        self.bill_due().await?;
        Ok(())
    }

    /// Bills every month that is wholly counted and not invoiced to its end. Answers how many
    /// invoices got their number; fails at the end where an organization could not be billed.
    pub async fn bill_due(&self) -> BillingResult<usize> {
        let months = self.due_months().await?;
        let known = closing::all(self.accounts.database()).await?;
        let (mut latest, mut waiting, mut failed): (Option<closing::Closing>, _, _) = (None, None, None);
        for month in &months {
            let closing = match known.iter().find(|closing| closing.month == *month) {
                Some(closing) => Ok(Ok(closing.clone())),
                None => self.closed(*month).await,
            };
            match closing {
                // In the order of closing, which need not be that of the months.
                Ok(Ok(closing)) => {
                    latest = latest.into_iter().chain([closing]).max_by_key(|one| one.sequence)
                }
                Ok(Err(reason)) => waiting = Some((*month, reason)),
                // What is closed is billed all the same.
                Err(error) => failed = Some(error),
            }
            if waiting.is_some() || failed.is_some() {
                break;
            }
        }
        let finalized = match &latest {
            Some(latest) => self.finalize_up_to(&Caller::schedule(), latest, None).await?,
            None => Finalized::default(),
        };
        for (month, invoices) in &finalized.finished {
            tracing::info!(%month, invoices, "billed");
        }
        let still_waiting = months.len().saturating_sub(finalized.finished.len());
        metrics::gauge!("odometer_billing_months_waiting").set(exact(still_waiting));
        metrics::gauge!("odometer_billing_organizations_failed").set(exact(finalized.unbilled.len()));
        self.waits.tell(waiting);
        if let Some(error) = failed {
            return Err(error);
        }
        finalized.unbilled.into_result()?;
        Ok(finalized.issued)
    }

    /// The month's closing, or why there is none yet.
    async fn closed(&self, month: Month) -> BillingResult<Result<closing::Closing, String>> {
        // By what is known in memory first: asking the stores every second would be much.
        let is_behind = |deployment: &&Arc<Deployment>| {
            deployment.complete_through().is_none_or(|through| through.0 < month.end_ms())
        };
        if let Some(behind) = self.deployments.iter().find(is_behind) {
            return Ok(Err(not_counted(behind.region(), month)));
        }
        let closed = self.close(&Caller::schedule(), month).await?;
        Ok(closed.map_err(|waiting| waiting.reason))
    }

    /// The months from the first sign-up on that are over and not wholly invoiced, by month.
    async fn due_months(&self) -> BillingResult<Vec<Month>> {
        let database = self.accounts.database();
        let first = database.fetch_optional("SELECT MIN(created_ms) FROM organizations", &[]).await?;
        let Some(first_ms) = first.map(|row| row.optional_integer(0)).transpose()?.flatten() else {
            return Ok(Vec::new());
        };
        let rows =
            database.fetch_all("SELECT month FROM closings WHERE finished = $1", values![1i64]).await?;
        let finished = rows
            .iter()
            .map(|row| row.text(0)?.parse().map_err(|error| unreadable("closing", error)))
            .collect::<Result<BTreeSet<Month>, _>>()?;
        let current = Month::containing(self.accounts.clock().now_ms());
        let months = std::iter::successors(Some(Month::containing(first_ms)), |month| Some(month.next()));
        Ok(months.take_while(|month| *month < current).filter(|month| !finished.contains(month)).collect())
    }

    /// The closing of a month, where it is closed.
    pub async fn closing(&self, month: Month) -> BillingResult<Option<closing::Closing>> {
        Ok(closing::of_month(self.accounts.database(), month).await?)
    }
}

/// A gauge's value: months and organizations are far fewer than 2^32.
fn exact(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn not_counted(region: &str, month: Month) -> String {
    format!("region {region} has not counted every event of {month} yet")
}

/// For which month billing waits, and why: told once, and again when that changes.
#[derive(Debug, Default)]
pub struct Waits(Mutex<Option<(Month, String)>>);

impl Waits {
    /// Answers whether that was news.
    fn tell(&self, now: Option<(Month, String)>) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == now {
            return false;
        }
        match &now {
            Some((month, reason)) => tracing::info!(%month, reason, "the month is not closed yet"),
            None => tracing::info!("no month waits to be closed"),
        }
        *told = now;
        true
    }
}
