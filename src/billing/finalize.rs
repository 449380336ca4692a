//! Giving a closed month's invoices their numbers: everybody's once, and later those of whoever could
//! not be billed then.

use futures::{Stream, TryStreamExt, stream};

use crate::accounts::{AccountError, Caller};
use crate::month::Month;

use super::biller::{Biller, Group, Job, Made};
use super::closing::{self, Closing};
use super::error::{BillingError, BillingResult};
use super::lifecycle::Draft;
use super::register::{self, Stretch};
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

    /// Everybody; once everybody was looked at, those who could not be billed then: what the others have
    /// is not computed again.
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
            true => {
                let groups = self.left_out(closing, only, finalized).await?;
                // While nobody of them can be read, no ledger is.
                if !groups.is_empty() {
                    let groups = stream::iter(groups.into_iter().map(Ok));
                    self.finalize_groups(caller, closing, earlier, groups, finalized).await?;
                }
            }
            false => {
                self.finalize_groups(caller, closing, earlier, self.groups(only), finalized).await?;
                if only.is_none() && !finalized.stopped {
                    closing::pass(&self.accounts, closing, &finalized.unbilled).await?;
                }
            }
        }
        if !finalized.stopped && closing::finish(&self.accounts, closing).await? {
            finalized.finished.push((closing.month, finalized.issued - issued_before));
        }
        Ok(())
    }

    async fn finalize_groups(
        &self,
        caller: &Caller,
        closing: &Closing,
        earlier: Vec<Closing>,
        groups: impl Stream<Item = BillingResult<Group>>,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let ledgers = self.ledgers_of(closing).await?;
        let late = self.late(earlier, closing.sequence, &ledgers).await?;
        let job = Job { month: closing.month, version: &closing.version, ledgers: &ledgers, late: &late };
        let mut made = std::pin::pin!(self.made(&job, groups));
        while let Some(made) = made.try_next().await? {
            self.issue(caller, closing, made, finalized).await?;
            if finalized.stopped {
                break;
            }
        }
        Ok(())
    }

    /// Those that could not be billed when everybody was looked at and can be read now; the others are
    /// noted.
    async fn left_out(
        &self,
        closing: &Closing,
        only: Option<&str>,
        finalized: &mut Finalized,
    ) -> BillingResult<Vec<Group>> {
        let mut left_out = closing::left_out(self.accounts.database(), closing).await?;
        left_out.retain(|organization| {
            only.is_none_or(|only| only == organization) && !finalized.unbilled.contains(organization)
        });
        let mut groups = Vec::new();
        for organizations in left_out.chunks(self.together.get() as usize) {
            let mut group = Group::default();
            for organization in organizations {
                match self.accounts.stored_account(organization).await {
                    // Taken out of the database since, by hand: there is nobody to bill.
                    Err(AccountError::OrganizationNotFound { .. }) => {
                        tracing::warn!(organization, month = %closing.month, "left out of a bill, and gone since");
                        closing::caught_up(&self.accounts, closing, organization).await?;
                    }
                    account => {
                        let account = account.map_err(BillingError::from);
                        let account = finalized.unbilled.take(organization, account)?;
                        group.stretches.extend(account.iter().map(|account| Stretch::of_one(&account.id)));
                        group.accounts.extend(account);
                    }
                }
            }
            groups.extend(Some(group).filter(|group| !group.accounts.is_empty()));
        }
        Ok(groups)
    }

    /// Gives what was made its numbers, and notes whether it is time to stop.
    async fn issue(
        &self,
        caller: &Caller,
        closing: &Closing,
        made: Made,
        finalized: &mut Finalized,
    ) -> BillingResult<()> {
        let Made { stretches, mut invoices, unbilled } = made;
        finalized.unbilled.extend(unbilled);
        invoices.retain(|invoice| !finalized.unbilled.contains(&invoice.organization));
        let drafts = invoices.into_iter().map(Draft::of).collect();
        let unbilled = &mut finalized.unbilled;
        finalized.issued +=
            register::issue(&self.accounts, caller, closing, &stretches, drafts, unbilled).await?;
        if closing.passed {
            for Stretch { first: organization, .. } in &stretches {
                if !finalized.unbilled.contains(organization) {
                    closing::caught_up(&self.accounts, closing, organization).await?;
                }
            }
        }
        finalized.stopped = self.stop.is_cancelled();
        Ok(())
    }
}
