//! Billing by itself: each month is closed and invoiced as soon as it is wholly counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::accounts::Caller;
use crate::accounts::database::values;
use crate::clock;
use crate::month::Month;

use super::biller::Biller;
use super::error::{BillingResult, unreadable};
use super::{closing, deployments};

/// How often it is looked whether a month can be closed.
const INTERVAL: Duration = Duration::from_secs(1);
/// After an error the wait doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often the region says that it is there.
const SEEN_INTERVAL: Duration = Duration::from_secs(3600);

impl Biller {
    /// Bills what becomes due until it is told to stop. Several processes may do it at once.
    pub async fn run(&self, stop: CancellationToken) {
        let mut wait = INTERVAL;
        let mut failing = false;
        let mut seen: Option<Instant> = None;
        loop {
            match self.step(&mut seen).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("bill what is due: works again");
                    }
                    wait = INTERVAL;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "bill what is due; trying again");
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
    /// invoices got their number.
    pub async fn bill_due(&self) -> BillingResult<usize> {
        let mut issued = 0;
        for month in self.due_months().await? {
            let is_counted = self.deployments.iter().all(|deployment| {
                deployment.complete_through().is_some_and(|through| through.0 >= month.end_ms())
            });
            if !is_counted {
                break;
            }
            let caller = Caller::schedule();
            match self.close(&caller, month).await? {
                Ok(closing) => {
                    let made = self.finalize_up_to(&caller, &closing, None).await?;
                    tracing::info!(%month, invoices = made, "billed");
                    issued += made;
                }
                Err(waiting) => {
                    tracing::debug!(%month, waiting.reason, "the month is not closed yet");
                    break;
                }
            }
        }
        Ok(issued)
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
