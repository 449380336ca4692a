//! Giving a closed month's invoices their numbers: everybody's once, and later those of whoever could
//! not be billed then.

use futures::TryStreamExt;

use crate::accounts::{AccountError, Caller};
use crate::month::Month;

use super::biller::{Biller, Job, Made};
use super::closing::{self, Closing};
use super::error::{BillingError, BillingResult};
use super::lifecycle::Draft;
use super::register;
use super::unbilled::Unbilled;

/// How far finalizing came.
#[derive(Debug, Default)]
pub struct Finalized {
    /// Invoices that got their number now.
    pub issued: usize,
    pub unbilled: Unbilled,
    pub stopped: bool,
    /// Months of which every organization has its invoice now, and how many got theirs just now.
    pub finished: Vec<(Month, usize)>,
}

impl Biller {
    /// Makes the invoices of the closing, and first those that are still missing of earlier ones:
    /// what they invoice, this one does not adjust. So who can't be billed for an earlier closing is
    /// left out of the later ones too.
    pub async fn finalize_up_to(
        &self,
        caller: &Caller,
        closing: &Closing,
        only: Option<&str>,
    ) -> BillingResult<Finalized> {
        let closings = closing::all(self.accounts.database()).await?;
        let mut finalized = Finalized::default();
        for due in closings.iter().filter(|due| due.sequence <= closing.sequence && !due.finished) {
            let earlier: Vec<Closing> =
                closings.iter().filter(|other| other.sequence < due.sequence).cloned().collect();
            self.finalize(caller, due, earlier, only, &mut finalized).await?;
            if finalized.stopped {
                break;
            }
        }
        Ok(finalized)
    }

    async fn finalize(
        &self,
        caller: &Caller,
        closing: &Closing,
        earlier: Vec<Closing>,
        only: Option<&str>,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let issued_before = finalized.issued;
        match closing.passed {
            true => self.finalize_left_out(caller, closing, earlier, only, finalized).await?,
            false => self.finalize_all(caller, closing, earlier, only, finalized).await?,
        }
        if !finalized.stopped && closing::finish(&self.accounts, closing).await? {
            finalized.finished.push((closing.month, finalized.issued - issued_before));
        }
        Ok(())
    }

    async fn finalize_all(
        &self,
        caller: &Caller,
        closing: &Closing,
        earlier: Vec<Closing>,
        only: Option<&str>,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let ledgers = self.ledgers_of(closing).await?;
        let late = self.late(earlier, closing.sequence, &ledgers).await?;
        let job = Job { month: closing.month, version: &closing.version, ledgers: &ledgers, late: &late };
        let mut stretches = std::pin::pin!(self.stretches(&job, only));
        while let Some(made) = stretches.try_next().await? {
            self.issue(caller, closing, made, finalized).await?;
            if finalized.stopped {
                return Ok(());
            }
        }
        if only.is_none() {
            closing::pass(&self.accounts, closing, &finalized.unbilled).await?;
        }
        Ok(())
    }

    /// Those that could not be billed before; what the others have is not computed again. While nobody
    /// can be read, no ledger is.
    async fn finalize_left_out(
        &self,
        caller: &Caller,
        closing: &Closing,
        earlier: Vec<Closing>,
        only: Option<&str>,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let left_out = closing::left_out(self.accounts.database(), closing).await?;
        let mut groups = Vec::new();
        for organization in left_out {
            let is_asked_for = only.is_none_or(|only| only == organization);
            if !is_asked_for || finalized.unbilled.contains(&organization) {
                continue;
            }
            let group = match self.group(vec![organization.clone()]).await {
                Ok(group) => group,
                // Taken out of the database since, by hand: there is nobody to bill.
                Err(BillingError::Account(AccountError::OrganizationNotFound { .. })) => {
                    tracing::warn!(organization, month = %closing.month, "left out of a bill, and gone since");
                    closing::caught_up(&self.accounts, closing, &organization).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match group.accounts.is_empty() {
                true => finalized.unbilled.extend(group.unbilled),
                false => groups.push(group),
            }
        }
        if groups.is_empty() {
            return Ok(());
        }
        let ledgers = self.ledgers_of(closing).await?;
        let late = self.late(earlier, closing.sequence, &ledgers).await?;
        let job = Job { month: closing.month, version: &closing.version, ledgers: &ledgers, late: &late };
        for group in groups {
            let organization = group.stretch.first.clone();
            let made = self.make(&job, group).await?;
            self.issue(caller, closing, made, finalized).await?;
            if !finalized.unbilled.contains(&organization) {
                closing::caught_up(&self.accounts, closing, &organization).await?;
            }
            if finalized.stopped {
                break;
            }
        }
        Ok(())
    }

    /// Gives what was made its numbers, and notes whether it is time to stop.
    async fn issue(
        &self,
        caller: &Caller,
        closing: &Closing,
        made: Made,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let Made { stretch, mut invoices, unbilled } = made;
        finalized.unbilled.extend(unbilled);
        invoices.retain(|invoice| !finalized.unbilled.contains(&invoice.organization));
        let drafts = invoices.into_iter().map(Draft::of).collect();
        let unbilled = &mut finalized.unbilled;
        finalized.issued +=
            register::issue(&self.accounts, caller, closing, &stretch, drafts, unbilled).await?;
        finalized.stopped = self.stop.is_cancelled();
        Ok(())
    }
}
