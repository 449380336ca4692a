//! What came after months were closed, what was voided since, and the adjustments that follow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::accounts::database::Database;
use crate::snapshot::Deployment;

use super::adjustment::{Corrected, adjustments};
use super::closing::Closing;
use super::counted::Counted;
use super::error::{BillingError, BillingResult};
use super::invoice::{InvoiceLine, InvoiceLineKind};
use super::ledgers::Ledgers;
use super::price::Payer;
use super::register::{Earlier, Stretch, invoiced_before, voided_before};
use super::tax;
use super::unbilled::Unbilled;

/// What differs between two closings, or between a closing and now.
#[derive(Debug, Default)]
pub struct Late {
    /// The sequence of the closing that is being made: what earlier ones invoiced is invoiced.
    sequence: i64,
    /// The earlier closings, by month.
    earlier: Vec<Closing>,
    /// Something came for the months that end after this instant, in epoch milliseconds.
    from_ms: Option<i64>,
    /// Whom something came for.
    organizations: HashSet<String>,
    /// Of whom an invoice was voided.
    voided: HashSet<String>,
}

impl Late {
    /// What came, and what was voided, between the latest of the `earlier` closings and `ledgers`,
    /// for months that were closed by then.
    pub async fn find(
        database: &Database,
        deployments: &[Arc<Deployment>],
        earlier: Vec<Closing>,
        sequence: i64,
        ledgers: &Ledgers,
    ) -> BillingResult<Self> {
        let mut late = Self { sequence, ..Self::default() };
        let Some(latest) = earlier.last() else { return Ok(late) };
        let end_ms = earlier.iter().map(|closing| closing.month.end_ms()).max().unwrap_or(i64::MIN);
        let before = Ledgers::as_of(deployments, &[latest]).await?;
        for ledger in &before {
            for (deployment, changed) in ledgers.changed_since(ledger) {
                late.organizations.extend(changed.organizations_before(&deployment, end_ms).await?);
                late.from_ms = [late.from_ms, changed.earliest_ms()].into_iter().flatten().min();
            }
        }
        late.voided = voided_before(database, sequence).await?;
        late.earlier = earlier;
        late.earlier.sort_by_key(|closing| closing.month);
        Ok(late)
    }

    fn concerns(&self, organization: &str) -> bool {
        self.organizations.contains(organization) || self.voided.contains(organization)
    }

    /// Whether the organization's month may have to be adjusted. What was voided can have billed any
    /// month.
    fn touches(&self, organization: &str, closing: &Closing) -> bool {
        let is_late = self.from_ms.is_some_and(|from_ms| from_ms < closing.month.end_ms());
        self.voided.contains(organization) || (is_late && self.organizations.contains(organization))
    }

    /// The adjustments of the stretches' organizations, by organization: what each month costs by the
    /// ledgers, less what was invoiced for it. Whose earlier invoices can't be read is left out.
    pub async fn adjustments(
        &self,
        database: &Database,
        stretches: &[Stretch],
        ledgers: &Ledgers,
    ) -> BillingResult<(HashMap<String, Vec<InvoiceLine>>, Unbilled)> {
        let mut unbilled = Unbilled::default();
        if self.organizations.is_empty() && self.voided.is_empty() {
            return Ok((HashMap::new(), unbilled));
        }
        let concerns = |organization: &str| self.concerns(organization);
        let invoiced = invoiced_before(database, stretches, self.sequence, concerns, &mut unbilled).await?;
        let mut adjusted: HashMap<String, Vec<InvoiceLine>> = HashMap::new();
        for closing in &self.earlier {
            let month = closing.month;
            let touched = invoiced.iter().filter(|(organization, _)| self.touches(organization, closing));
            let of_month = |all: &Vec<Earlier>| all.iter().find(|one| one.invoice.month == month).cloned();
            let billed: Vec<(Payer, Earlier)> = touched
                .filter_map(|(_, all)| of_month(all))
                .map(|earlier| (Payer::from(&earlier.invoice), earlier))
                .collect();
            let mut wanted = Vec::new();
            for (payer, _) in &billed {
                let of_payer = payer.wanted(month, &closing.version);
                wanted.extend(unbilled.take(&payer.organization, of_payer)?.flatten());
            }
            let mut counted = ledgers.counted(month, &wanted).await?;
            for (payer, earlier) in &billed {
                let mut counted: Counted = counted.remove(&payer.organization).unwrap_or_default();
                counted.regions = payer.regions;
                let lines = payer.rate(month, &closing.version, &counted).and_then(|now| {
                    let organization = payer.organization.clone();
                    let lines = corrections(earlier, &invoiced[&organization], &now);
                    lines.ok_or(BillingError::TotalTooGreat { organization, month })
                });
                if let Some(lines) = unbilled.take(&payer.organization, lines)? {
                    adjusted.entry(payer.organization.clone()).or_default().extend(lines);
                }
            }
        }
        Ok((adjusted, unbilled))
    }
}

/// The lines that bring what was invoiced for an invoice's month, by itself and by every correction
/// since, to what the month costs now. `None`: a sum is beyond what can be stated.
fn corrections(earlier: &Earlier, all: &[Earlier], now: &[InvoiceLine]) -> Option<Vec<InvoiceLine>> {
    let Earlier { invoice, is_void } = earlier;
    let Some(number) = invoice.number.as_deref() else { return Some(Vec::new()) };
    let is_own = |line: &&InvoiceLine| !is_void && line.corrects.is_none();
    let corrects = |line: &&InvoiceLine| line.corrects.as_deref() == Some(number);
    let standing = all.iter().filter(|other| !other.is_void);
    let since = standing.flat_map(|other| &other.invoice.lines).filter(corrects);
    let is_tax = |line: &&InvoiceLine| line.kind == InvoiceLineKind::Tax;
    let (taxes, charges): (Vec<_>, Vec<_>) =
        invoice.lines.iter().filter(is_own).chain(since).partition(is_tax);
    let before = tax::sum(invoice.currency, charges.iter().copied())?;
    let after = tax::sum(invoice.currency, now.iter())?;
    let corrected = Corrected { number, month: invoice.month, is_void: *is_void };
    let mut lines = adjustments(corrected, &charges, now);
    lines.extend(tax::corrections(invoice, corrected, &taxes, before, after)?);
    Some(lines)
}
