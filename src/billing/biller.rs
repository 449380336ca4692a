//! The nightly job: closes the month once it is wholly counted, gives every organization its
//! invoice, or leaves drafts where it can't be closed yet. It may be ended at any moment and begun
//! again, by any number of processes at once.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures::future::join_all;
use futures::{Stream, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::accounts::{Account, Accounts, Caller};
use crate::clock::Time;
use crate::month::Month;
use crate::rating::{PriceBook, PriceBookVersion};
use crate::snapshot::Deployment;
use crate::store::closings::closed_lanes;

use super::closing::{self, Closing};
use super::deployments;
use super::error::{BillingError, BillingResult};
use super::finalize::Finalized;
use super::invoice::{Invoice, LedgerEnd};
use super::job::{Waits, not_counted};
use super::late::Late;
use super::ledgers::Ledgers;
use super::lifecycle::Draft;
use super::price::Payer;
use super::register::{self, InvoiceSummary, Stretch};
use super::unbilled::Unbilled;

/// Accounts that are looked at together, at most: some 10 MB with their usage.
pub const MOST_TOGETHER: u32 = 1000;
/// Groups whose usage is read while one before them is written.
const AHEAD: usize = 2;

/// Makes invoices of what the deployments counted.
#[derive(Clone, Debug)]
pub struct Biller {
    pub(super) accounts: Arc<Accounts>,
    pub(super) deployments: Vec<Arc<Deployment>>,
    book: Arc<PriceBook>,
    /// Ends the work between two groups.
    pub(super) stop: CancellationToken,
    pub(super) waits: Arc<Waits>,
    /// Accounts that are looked at together.
    pub(super) together: NonZeroU32,
}

/// What is to be billed.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub month: Month,
    /// One organization alone.
    pub only: Option<&'a str>,
    /// Nothing is written.
    pub dry_run: bool,
}

/// Why a month is not closed yet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    pub reason: String,
    /// Up to which instant every region's events are counted; `None`: that is not known.
    pub complete_through: Option<Time>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Billed {
    pub month: Month,
    /// Whether the month is closed: its invoices have numbers.
    pub finalized: bool,
    pub dry_run: bool,
    /// `None` where the month is closed or could be.
    pub waiting: Option<Waiting>,
    /// Invoices that got their number now.
    pub issued: usize,
    /// Told to stop before everything was done: done again, it goes on from there.
    pub stopped: bool,
    /// By organization.
    pub invoices: Vec<InvoiceSummary>,
    /// Organizations that could not be billed, and why.
    pub unbilled: Unbilled,
}

/// What the invoices of a month are made of.
pub(super) struct Job<'a> {
    pub month: Month,
    pub version: &'a PriceBookVersion,
    pub ledgers: &'a Ledgers,
    pub late: &'a Late,
}

/// The invoices of a group, still without numbers, and whose could not be made.
pub(super) struct Made {
    pub stretches: Vec<Stretch>,
    pub invoices: Vec<Invoice>,
    pub unbilled: Unbilled,
}

/// Accounts that are billed together, by id.
#[derive(Default)]
pub(super) struct Group {
    /// All organizations between some two, or some that are far apart.
    pub stretches: Vec<Stretch>,
    pub accounts: Vec<Account>,
    pub unbilled: Unbilled,
}

impl Biller {
    /// `deployments` are all regions'.
    pub fn new(accounts: Arc<Accounts>, deployments: Vec<Arc<Deployment>>, book: PriceBook) -> Self {
        let (stop, waits) = (CancellationToken::new(), Arc::default());
        let together = NonZeroU32::new(MOST_TOGETHER).expect("it is not 0");
        Self { accounts, deployments, book: Arc::new(book), stop, waits, together }
    }

    /// Ends early, between two groups, once it is told to stop.
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Gives so many organizations their invoices in one transaction, at most [`MOST_TOGETHER`].
    pub fn in_batches_of(self, organizations: NonZeroU32) -> Self {
        let most = self.together;
        Self { together: organizations.min(most), ..self }
    }

    /// The local one first.
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Does all that can be done for the month.
    pub async fn bill(&self, caller: &Caller, order: Order<'_>) -> BillingResult<Billed> {
        let Order { month, only, dry_run } = order;
        let known = closing::of_month(self.accounts.database(), month).await?;
        let (closing, waiting) = match known {
            Some(closing) => (Some(closing), None),
            None if dry_run => (None, self.waits_for(month).await?.1),
            None => match self.close(caller, month).await? {
                Ok(closing) => (Some(closing), None),
                Err(waiting) => (None, Some(waiting)),
            },
        };
        let finalized = match &closing {
            Some(closing) if !dry_run => self.finalize_up_to(caller, closing, only).await?,
            Some(closing) => return self.rehearse_closed(closing, order).await,
            None => return self.draft(caller, order, waiting).await,
        };
        let Finalized { issued, mut unbilled, stopped, .. } = finalized;
        let invoices = self.invoices(month, only, &mut unbilled).await?;
        let waiting = None;
        Ok(Billed { month, finalized: true, dry_run, waiting, issued, stopped, invoices, unbilled })
    }

    /// The month's invoices as they stand; `only`: of one organization.
    pub async fn invoices(
        &self,
        month: Month,
        only: Option<&str>,
        unbilled: &mut Unbilled,
    ) -> BillingResult<Vec<InvoiceSummary>> {
        Ok(register::summaries(self.accounts.database(), month, only, unbilled).await?)
    }

    /// Closes the month, where it is over and wholly counted.
    pub async fn close(&self, caller: &Caller, month: Month) -> BillingResult<Result<Closing, Waiting>> {
        if let Some(closing) = closing::of_month(self.accounts.database(), month).await? {
            return Ok(Ok(closing));
        }
        let (ledger, waiting) = self.waits_for(month).await?;
        if let Some(waiting) = waiting {
            return Ok(Err(waiting));
        }
        // In the stores first: what a closing names stays readable from the moment that it holds.
        for deployment in &self.deployments {
            let region = deployment.region();
            let lanes: Vec<_> = ledger.iter().filter(|end| *end.region == **region).map(Into::into).collect();
            let written = deployment.store().write_closing(month, &lanes).await;
            written.map_err(|source| BillingError::Store { region: region.clone(), source })?;
        }
        let version = self.book.at(month);
        closing::insert(&self.accounts, caller, month, version, &ledger).await.map(Ok)
    }

    /// Where the ledgers end, and why the month can't be closed by that, if it can't.
    async fn waits_for(&self, month: Month) -> BillingResult<(Vec<LedgerEnd>, Option<Waiting>)> {
        let now = self.accounts.clock().now();
        let looks = join_all(self.deployments.iter().map(|deployment| deployment.look())).await;
        let mut ledger = Vec::new();
        let mut through = Some(now);
        let mut reason = None;
        for (deployment, look) in self.deployments.iter().zip(looks) {
            let region = deployment.region();
            let look = look.map_err(|source| BillingError::Store { region: region.clone(), source })?;
            ledger.extend(closed_lanes(&look.rows).iter().map(|closed| LedgerEnd::of(region, closed)));
            through = through.min(look.complete_through);
            if look.complete_through.is_none_or(|through| through.0 < month.end_ms()) {
                reason = Some(not_counted(region, month));
            } else if look.losses.iter().any(|loss| loss.touches(month)) {
                tracing::warn!(%region, %month, "bill: events that may belong to the month were lost; \
                    `odometer audit` tells which");
            }
        }
        if now.0 < month.end_ms() {
            reason = Some(format!("{month} is not over"));
        }
        let own: Vec<&str> = self.deployments.iter().map(|deployment| &**deployment.region()).collect();
        if let Some(region) = deployments::missing(self.accounts.database(), &own).await? {
            reason = Some(format!("region {region} shares the accounts and is not in `regions` here"));
        }
        // Without its ledger, all that it ever counted would look as if it had gone.
        let latest = closing::all(self.accounts.database()).await?.pop();
        let billed = latest.as_ref().map(Closing::regions).unwrap_or_default();
        if let Some(region) = billed.into_iter().find(|region| !own.contains(region)) {
            reason = Some(format!("region {region} was billed before and is not in `regions` here"));
        }
        Ok((ledger, reason.map(|reason| Waiting { reason, complete_through: through })))
    }

    pub(super) async fn late(
        &self,
        earlier: Vec<Closing>,
        sequence: i64,
        ledgers: &Ledgers,
    ) -> BillingResult<Late> {
        Late::find(self.accounts.database(), &self.deployments, earlier, sequence, ledgers).await
    }

    pub(super) async fn ledgers_of(&self, closing: &Closing) -> BillingResult<Ledgers> {
        let mut ledgers = Ledgers::as_of(&self.deployments, &[closing]).await?;
        Ok(ledgers.pop().unwrap_or_else(|| Ledgers::of(Vec::new())))
    }

    /// What the invoices would be if the month were closed now.
    async fn draft(
        &self,
        caller: &Caller,
        order: Order<'_>,
        waiting: Option<Waiting>,
    ) -> BillingResult<Billed> {
        let Order { month, only, dry_run } = order;
        let ledgers = Ledgers::now(&self.deployments).await?;
        let earlier = closing::all(self.accounts.database()).await?;
        let sequence = earlier.last().map_or(1, |latest| latest.sequence + 1);
        let late = self.late(earlier, sequence, &ledgers).await?;
        let job = Job { month, version: self.book.at(month), ledgers: &ledgers, late: &late };
        let (mut invoices, mut unbilled, mut stopped) = (Vec::new(), Unbilled::default(), false);
        let mut made = std::pin::pin!(self.made(&job, self.groups(only)));
        while let Some(made) = made.try_next().await? {
            let stretches = made.stretches.clone();
            let drafts = self.drafts(made, &mut unbilled).await?;
            invoices.extend(drafts.iter().map(|draft| InvoiceSummary::from(draft.invoice())));
            if !dry_run {
                register::replace_drafts(&self.accounts, caller, month, &stretches, drafts).await?;
            }
            stopped = self.stop.is_cancelled();
            if stopped {
                break;
            }
        }
        Ok(Billed { month, finalized: false, dry_run, waiting, issued: 0, stopped, invoices, unbilled })
    }

    /// What was made, as drafts that say what would be due by the credit of now.
    async fn drafts(&self, made: Made, unbilled: &mut Unbilled) -> BillingResult<Vec<Draft>> {
        unbilled.extend(made.unbilled);
        let credits = register::credits(self.accounts.database(), &made.stretches, unbilled).await?;
        let credit_of = |invoice: &Invoice| credits.get(&invoice.organization).copied().unwrap_or_default();
        let drafts = made.invoices.into_iter().map(|invoice| {
            let credit = credit_of(&invoice);
            Draft::of(invoice).less(credit)
        });
        Ok(drafts.filter(|draft| !unbilled.contains(&draft.invoice().organization)).collect())
    }

    /// A dry run over a month that is closed: its invoices, and those that are still missing as
    /// drafts.
    async fn rehearse_closed(&self, closing: &Closing, order: Order<'_>) -> BillingResult<Billed> {
        let Order { month, only, dry_run } = order;
        let mut unbilled = Unbilled::default();
        let mut invoices = self.invoices(month, only, &mut unbilled).await?;
        if !closing.finished {
            let ledgers = self.ledgers_of(closing).await?;
            let mut earlier = closing::all(self.accounts.database()).await?;
            earlier.retain(|other| other.sequence < closing.sequence);
            let late = self.late(earlier, closing.sequence, &ledgers).await?;
            let job = Job { month, version: &closing.version, ledgers: &ledgers, late: &late };
            let known: HashSet<String> = invoices.iter().map(|known| known.organization.clone()).collect();
            let mut made = std::pin::pin!(self.made(&job, self.groups(only)));
            while let Some(made) = made.try_next().await? {
                let drafts = self.drafts(made, &mut unbilled).await?;
                let new = drafts.iter().map(Draft::invoice);
                let new = new.filter(|invoice| !known.contains(&invoice.organization));
                invoices.extend(new.map(InvoiceSummary::from));
            }
        }
        let (waiting, stopped) = (None, false);
        Ok(Billed { month, finalized: true, dry_run, waiting, issued: 0, stopped, invoices, unbilled })
    }

    /// All organizations by id, group by group.
    pub(super) fn groups<'a>(
        &'a self,
        only: Option<&'a str>,
    ) -> impl Stream<Item = BillingResult<Group>> + 'a {
        stream::try_unfold(Some(String::new()), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            let (group, next) = match only {
                Some(organization) => (self.group(vec![organization.to_owned()]).await?, None),
                None => {
                    let group = self.group_after(&after).await?;
                    let last = group.stretches.last().map(|stretch| stretch.last.clone());
                    (group, last)
                }
            };
            let is_empty = group.accounts.is_empty() && group.unbilled.is_empty();
            Ok((!is_empty).then_some((group, next)))
        })
    }

    /// The invoices of the groups, their usage read ahead.
    pub(super) fn made<'a>(
        &'a self,
        job: &'a Job<'a>,
        groups: impl Stream<Item = BillingResult<Group>> + 'a,
    ) -> impl Stream<Item = BillingResult<Made>> + 'a {
        groups.map_ok(move |group| self.make(job, group)).try_buffered(AHEAD)
    }

    async fn group_after(&self, after: &str) -> BillingResult<Group> {
        match self.accounts.accounts_after(after, self.together.get()).await {
            Ok(accounts) => {
                let stretch = Stretch::of_all(accounts.iter().map(|account| account.id.as_str()));
                let stretches = stretch.into_iter().collect();
                Ok(Group { stretches, accounts, unbilled: Unbilled::default() })
            }
            // One of them can't be read: which?
            Err(error) if error.is_unreadable() => {
                let ids = self.accounts.ids_after(after, self.together.get()).await?;
                self.group(ids).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Accounts one by one; those that can't be read are left out.
    async fn group(&self, ids: Vec<String>) -> BillingResult<Group> {
        let (mut accounts, mut unbilled) = (Vec::with_capacity(ids.len()), Unbilled::default());
        for id in &ids {
            let account = self.accounts.stored_account(id).await.map_err(BillingError::from);
            accounts.extend(unbilled.take(id, account)?);
        }
        let stretches = Stretch::of_all(ids.iter().map(String::as_str)).into_iter().collect();
        Ok(Group { stretches, accounts, unbilled })
    }

    async fn make(&self, job: &Job<'_>, group: Group) -> BillingResult<Made> {
        let Group { stretches, accounts, mut unbilled } = group;
        let payers: Vec<Payer> = accounts.iter().map(Payer::from).collect();
        let invoices = self.price(job, &stretches, &payers, &mut unbilled).await?;
        Ok(Made { stretches, invoices, unbilled })
    }

    /// The payers' invoices of the month, those who get one.
    pub(super) async fn price(
        &self,
        job: &Job<'_>,
        stretches: &[Stretch],
        payers: &[Payer],
        unbilled: &mut Unbilled,
    ) -> BillingResult<Vec<Invoice>> {
        let Job { month, version, ledgers, late } = *job;
        let mut charged = Vec::new();
        for payer in payers {
            charged.extend(unbilled.take(&payer.organization, payer.wanted(month, version))?.flatten());
        }
        let (mut counted, (mut adjustments, left_out)) = tokio::try_join!(
            ledgers.counted(month, &charged),
            late.adjustments(self.accounts.database(), stretches, ledgers),
        )?;
        unbilled.extend(left_out);
        let mut invoices = Vec::new();
        for payer in payers {
            let organization = payer.organization.as_str();
            if unbilled.contains(organization) {
                continue;
            }
            let mut used = counted.remove(organization).unwrap_or_default();
            used.regions = payer.regions;
            let adjusted = adjustments.remove(organization).unwrap_or_default();
            let invoice = payer.invoice(month, version, &used, adjusted);
            invoices.extend(unbilled.take(organization, invoice)?.flatten());
        }
        Ok(invoices)
    }
}
