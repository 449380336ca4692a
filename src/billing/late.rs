//! What came after months were closed, and the adjustments that follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::accounts::database::Database;
use crate::snapshot::Deployment;

use super::adjustment::adjustments;
use super::closing::Closing;
use super::counted::Counted;
use super::error::{BillingError, BillingResult};
use super::invoice::{Invoice, InvoiceLine, InvoiceLineKind};
use super::ledgers::Ledgers;
use super::price::Payer;
use super::register::{Stretch, invoiced_before};
use super::tax;

/// What differs between two closings, or between a closing and now.
#[derive(Debug, Default)]
pub struct Late {
    /// The sequence of the closing that is being made: what earlier ones invoiced is invoiced.
    sequence: i64,
    /// Closed months that something came for, by month.
    months: Vec<Closing>,
    /// Whom something came for.
    organizations: HashSet<String>,
}

impl Late {
    /// What came between the latest of the `earlier` closings and `ledgers`, for months that were
    /// closed by then.
    pub async fn find(
        deployments: &[Arc<Deployment>],
        earlier: Vec<Closing>,
        sequence: i64,
        ledgers: &Ledgers,
    ) -> BillingResult<Self> {
        let nothing = Self { sequence, ..Self::default() };
        let Some(latest) = earlier.last() else { return Ok(nothing) };
        let Some(end_ms) = earlier.iter().map(|closing| closing.month.end_ms()).max() else {
            return Ok(nothing);
        };
        let before = Ledgers::as_of(deployments, &[latest]).await?;
        let mut late = nothing;
        let mut from_ms = i64::MAX;
        for ledger in &before {
            for (deployment, changed) in ledgers.changed_since(ledger) {
                late.organizations.extend(changed.organizations_before(&deployment, end_ms).await?);
                from_ms = from_ms.min(changed.earliest_ms().unwrap_or(i64::MAX));
            }
        }
        late.months = earlier.into_iter().filter(|closing| from_ms < closing.month.end_ms()).collect();
        late.months.sort_by_key(|closing| closing.month);
        Ok(late)
    }

    pub fn concerns(&self, organization: &str) -> bool {
        self.organizations.contains(organization)
    }

    /// The adjustments of the stretch's organizations, by organization: what each month costs by the
    /// ledgers, less what was invoiced for it.
    pub async fn adjustments(
        &self,
        database: &Database,
        stretch: &Stretch,
        ledgers: &Ledgers,
    ) -> BillingResult<HashMap<String, Vec<InvoiceLine>>> {
        if self.organizations.is_empty() {
            return Ok(HashMap::new());
        }
        let mut invoiced = invoiced_before(database, stretch, self.sequence).await?;
        invoiced.retain(|organization, _| self.concerns(organization));
        let mut adjusted: HashMap<String, Vec<InvoiceLine>> = HashMap::new();
        for closing in &self.months {
            let month = closing.month;
            let of_month =
                |invoices: &Vec<Invoice>| invoices.iter().find(|invoice| invoice.month == month).cloned();
            let billed: Vec<(Payer, Invoice)> = invoiced
                .values()
                .filter_map(of_month)
                .map(|invoice| (Payer::from(&invoice), invoice))
                .collect();
            let mut wanted = Vec::new();
            for (payer, invoice) in &billed {
                if let Some(grain) = payer.grain(month, &closing.version)? {
                    wanted.push((invoice.organization.as_str(), grain));
                }
            }
            let mut counted = ledgers.counted(month, &wanted).await?;
            for (payer, invoice) in &billed {
                let Some(number) = &invoice.number else { continue };
                let mut counted: Counted = counted.remove(&payer.organization).unwrap_or_default();
                counted.regions = payer.regions;
                let now = payer.rate(month, &closing.version, &counted)?;
                let before = Invoiced::of(number, invoice, &invoiced[&payer.organization]);
                let lines = before.corrected(number, invoice, &now);
                let organization = payer.organization.clone();
                let lines = lines.ok_or(BillingError::TotalTooGreat { organization, month })?;
                adjusted.entry(payer.organization.clone()).or_default().extend(lines);
            }
        }
        Ok(adjusted)
    }
}

/// What was invoiced for a month so far: its invoice's own lines, and every correction of it since.
struct Invoiced<'a> {
    charges: Vec<&'a InvoiceLine>,
    taxes: Vec<&'a InvoiceLine>,
}

impl<'a> Invoiced<'a> {
    fn of(number: &str, invoice: &'a Invoice, all: &'a [Invoice]) -> Self {
        let is_own = |line: &&InvoiceLine| line.corrects.is_none();
        let corrects = |line: &&InvoiceLine| line.corrects.as_deref() == Some(number);
        let own = invoice.lines.iter().filter(is_own);
        let lines = own.chain(all.iter().flat_map(|other| &other.lines).filter(corrects));
        let (taxes, charges) = lines.partition(|line| line.kind == InvoiceLineKind::Tax);
        Self { charges, taxes }
    }

    /// The lines that bring it to what the month costs now; `None`: that is beyond what can be stated.
    fn corrected(&self, number: &str, invoice: &Invoice, now: &[InvoiceLine]) -> Option<Vec<InvoiceLine>> {
        let (month, currency) = (invoice.month, invoice.currency);
        let before = tax::sum(currency, self.charges.iter().copied())?;
        let after = tax::sum(currency, now.iter())?;
        let mut lines = adjustments(number, month, &self.charges, now);
        lines.extend(tax::corrections(invoice, number, &self.taxes, before, after)?);
        Some(lines)
    }
}
