//! The nightly job: closes the month once it is wholly counted, gives every organization its
//! invoice, or leaves drafts where it can't be closed yet. It may be ended at any moment and begun
//! again, by any number of processes at once.

use std::sync::Arc;

use futures::future::join_all;
use futures::{TryStreamExt, stream};

use crate::accounts::{Account, Accounts, Caller};
use crate::clock::Time;
use crate::month::Month;
use crate::rating::{PriceBook, PriceBookVersion};
use crate::snapshot::Deployment;
use crate::store::closings::closed_lanes;

use super::closing::{self, Closing};
use super::deployments;
use super::error::{BillingError, BillingResult};
use super::invoice::{Invoice, LedgerEnd};
use super::late::Late;
use super::ledgers::Ledgers;
use super::lifecycle::Draft;
use super::price::Payer;
use super::register::{self, InvoiceSummary, Stretch};

/// Accounts that are looked at together: some 10 MB with their usage.
const TOGETHER: u32 = 1000;
/// Stretches whose usage is read while one before them is written.
const AHEAD: usize = 2;

/// Makes invoices of what the deployments counted.
#[derive(Clone, Debug)]
pub struct Biller {
    pub(super) accounts: Arc<Accounts>,
    pub(super) deployments: Vec<Arc<Deployment>>,
    book: Arc<PriceBook>,
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
    /// By organization.
    pub invoices: Vec<InvoiceSummary>,
}

/// What the invoices of a month are made of.
struct Job<'a> {
    month: Month,
    version: &'a PriceBookVersion,
    ledgers: &'a Ledgers,
    late: &'a Late,
}

/// The invoices of a stretch, still without numbers.
struct Made {
    stretch: Stretch,
    invoices: Vec<Invoice>,
}

impl Biller {
    /// `deployments` are all regions'.
    pub fn new(accounts: Arc<Accounts>, deployments: Vec<Arc<Deployment>>, book: PriceBook) -> Self {
        Self { accounts, deployments, book: Arc::new(book) }
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
        let issued = match &closing {
            Some(closing) if !dry_run => self.finalize_up_to(caller, closing, only).await?,
            Some(closing) => return self.rehearse_closed(closing, order).await,
            None => return self.draft(caller, order, waiting).await,
        };
        let invoices = register::summaries(self.accounts.database(), month, only).await?;
        Ok(Billed { month, finalized: true, dry_run, waiting: None, issued, invoices })
    }

    /// The month's invoices as they stand; `only`: of one organization.
    pub async fn invoices(&self, month: Month, only: Option<&str>) -> BillingResult<Vec<InvoiceSummary>> {
        Ok(register::summaries(self.accounts.database(), month, only).await?)
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
                reason = Some(format!("region {region} has not counted every event of {month} yet"));
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

    /// Makes the invoices of the closing, and first those that are still missing of earlier ones:
    /// what they invoice, this one does not adjust. Answers how many got their number now.
    pub async fn finalize_up_to(
        &self,
        caller: &Caller,
        closing: &Closing,
        only: Option<&str>,
    ) -> BillingResult<usize> {
        let closings = closing::all(self.accounts.database()).await?;
        let mut issued = 0;
        for due in closings.iter().filter(|due| due.sequence <= closing.sequence && !due.finished) {
            let earlier: Vec<Closing> =
                closings.iter().filter(|other| other.sequence < due.sequence).cloned().collect();
            issued += self.finalize(caller, due, earlier, only).await?;
        }
        Ok(issued)
    }

    async fn finalize(
        &self,
        caller: &Caller,
        closing: &Closing,
        earlier: Vec<Closing>,
        only: Option<&str>,
    ) -> BillingResult<usize> {
        let ledgers = self.ledgers_of(closing).await?;
        let late =
            Late::find(self.accounts.database(), &self.deployments, earlier, closing.sequence, &ledgers)
                .await?;
        let job = Job { month: closing.month, version: &closing.version, ledgers: &ledgers, late: &late };
        let mut issued = 0;
        let mut stretches = std::pin::pin!(self.stretches(&job, only));
        while let Some(Made { stretch, invoices }) = stretches.try_next().await? {
            let drafts = invoices.into_iter().map(Draft::of).collect();
            issued += register::issue(&self.accounts, caller, closing, &stretch, drafts).await?;
        }
        if only.is_none() {
            closing::finish(&self.accounts, closing).await?;
        }
        Ok(issued)
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
        let late =
            Late::find(self.accounts.database(), &self.deployments, earlier, sequence, &ledgers).await?;
        let job = Job { month, version: self.book.at(month), ledgers: &ledgers, late: &late };
        let mut invoices = Vec::new();
        let mut stretches = std::pin::pin!(self.stretches(&job, only));
        while let Some(Made { stretch, invoices: made }) = stretches.try_next().await? {
            let drafts: Vec<Draft> = made.into_iter().map(Draft::of).collect();
            invoices.extend(drafts.iter().map(|draft| InvoiceSummary::from(draft.invoice())));
            if !dry_run {
                register::replace_drafts(&self.accounts, caller, month, &stretch, drafts).await?;
            }
        }
        Ok(Billed { month, finalized: false, dry_run, waiting, issued: 0, invoices })
    }

    /// A dry run over a month that is closed: its invoices, and those that are still missing as
    /// drafts.
    async fn rehearse_closed(&self, closing: &Closing, order: Order<'_>) -> BillingResult<Billed> {
        let Order { month, only, dry_run } = order;
        let mut invoices = register::summaries(self.accounts.database(), month, only).await?;
        if !closing.finished {
            let ledgers = self.ledgers_of(closing).await?;
            let mut earlier = closing::all(self.accounts.database()).await?;
            earlier.retain(|other| other.sequence < closing.sequence);
            let late =
                Late::find(self.accounts.database(), &self.deployments, earlier, closing.sequence, &ledgers)
                    .await?;
            let job = Job { month, version: &closing.version, ledgers: &ledgers, late: &late };
            let mut stretches = std::pin::pin!(self.stretches(&job, only));
            while let Some(Made { invoices: made, .. }) = stretches.try_next().await? {
                let is_new = |invoice: &Invoice| {
                    invoices.iter().all(|known| known.organization != invoice.organization)
                };
                let new: Vec<InvoiceSummary> =
                    made.iter().filter(|invoice| is_new(invoice)).map(InvoiceSummary::from).collect();
                invoices.extend(new);
            }
        }
        Ok(Billed { month, finalized: true, dry_run, waiting: None, issued: 0, invoices })
    }

    /// The invoices of all organizations by id, stretch by stretch, their usage read ahead.
    fn stretches<'a>(
        &'a self,
        job: &'a Job<'a>,
        only: Option<&'a str>,
    ) -> impl futures::Stream<Item = BillingResult<Made>> + 'a {
        let pages = stream::try_unfold(Some(String::new()), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            let (accounts, next) = match only {
                Some(organization) => (vec![self.accounts.stored_account(organization).await?], None),
                None => {
                    let page = self.accounts.accounts_after(&after, TOGETHER).await?;
                    let next = page.last().map(|last| last.id.clone());
                    (page, next)
                }
            };
            let page = (!accounts.is_empty()).then_some((accounts, next));
            Ok::<_, BillingError>(page)
        });
        pages.map_ok(move |accounts| self.make(job, accounts)).try_buffered(AHEAD)
    }

    async fn make(&self, job: &Job<'_>, accounts: Vec<Account>) -> BillingResult<Made> {
        let id = |account: Option<&Account>| account.map(|account| account.id.clone()).unwrap_or_default();
        let stretch = Stretch { first: id(accounts.first()), last: id(accounts.last()) };
        let payers: Vec<Payer> = accounts.iter().map(Payer::from).collect();
        let invoices = self.price(job.month, job.version, job.ledgers, job.late, &stretch, &payers).await?;
        Ok(Made { stretch, invoices })
    }

    /// The payers' invoices of the month, those who get one.
    pub(super) async fn price(
        &self,
        month: Month,
        version: &PriceBookVersion,
        ledgers: &Ledgers,
        late: &Late,
        stretch: &Stretch,
        payers: &[Payer],
    ) -> BillingResult<Vec<Invoice>> {
        let mut charged = Vec::new();
        for payer in payers {
            if let Some(grain) = payer.grain(month, version)? {
                charged.push((payer.organization.as_str(), grain));
            }
        }
        let (counted, adjustments) = tokio::try_join!(
            ledgers.counted(month, &charged),
            late.adjustments(self.accounts.database(), stretch, ledgers),
        )?;
        let (mut counted, mut adjustments) = (counted, adjustments);
        let mut invoices = Vec::new();
        for payer in payers {
            let mut used = counted.remove(&payer.organization).unwrap_or_default();
            used.regions = payer.regions;
            let adjusted = adjustments.remove(&payer.organization).unwrap_or_default();
            invoices.extend(payer.invoice(month, version, &used, adjusted)?);
        }
        Ok(invoices)
    }
}
