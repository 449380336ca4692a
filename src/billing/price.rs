//! From counts to an invoice's lines: pure.

use rust_decimal::Decimal;

use crate::accounts::Account;
use crate::event::PlanPeriod;
use crate::month::Month;
use crate::rating::{Currency, Line, LineKind, PriceBookVersion, RatingError, Span, TaxRate, rate};
use crate::store::Grain;

use super::counted::{Counted, Wanted};
use super::error::{BillingError, BillingResult};
use super::invoice::{BilledPeriod, Invoice, InvoiceLine, InvoiceLineKind, InvoiceState};
use super::tax;

#[cfg(test)]
mod tests;

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    pub organization: String,
    pub periods: Vec<PlanPeriod>,
    pub regions: u64,
    /// The account's home region: whose taxes are paid. `None`: it is not known.
    pub home: Option<String>,
}

impl From<&Account> for Payer {
    fn from(account: &Account) -> Self {
        Self {
            organization: account.id.clone(),
            periods: account.periods.clone(),
            regions: account.regions.len() as u64,
            home: account.home_region.clone(),
        }
    }
}

impl From<&Invoice> for Payer {
    /// As the invoice says.
    fn from(invoice: &Invoice) -> Self {
        Self {
            organization: invoice.organization.clone(),
            periods: invoice.periods.iter().map(|period| period.plan_period()).collect(),
            regions: invoice.regions,
            home: invoice.tax_region.clone(),
        }
    }
}

impl Payer {
    /// What of the payer's month is needed; `None`: nothing of it is charged.
    pub fn wanted(&self, month: Month, version: &PriceBookVersion) -> BillingResult<Option<Wanted<'_>>> {
        let plans = version.charged_spans(month, &self.periods).map_err(|error| self.unrated(error))?;
        if plans.is_empty() {
            return Ok(None);
        }
        let spans: Vec<Span> = plans.into_iter().flat_map(|(_, spans)| spans).collect();
        let is_whole = matches!(spans[..], [span]
            if span.from_ms == month.start_ms() && span.to_ms == month.end_ms());
        let grain = if is_whole { Grain::Whole } else { Grain::Hour };
        Ok(Some(Wanted { organization: &self.organization, grain, spans }))
    }

    /// What the month costs by the counts.
    pub fn rate(
        &self,
        month: Month,
        version: &PriceBookVersion,
        counted: &Counted,
    ) -> BillingResult<Vec<InvoiceLine>> {
        let rated = rate(version, month, &self.periods, counted);
        let lines = rated.map_err(|error| self.unrated(error))?.lines;
        Ok(lines.into_iter().map(InvoiceLine::from).collect())
    }

    fn taxes(&self, version: &PriceBookVersion) -> BillingResult<Vec<TaxRate>> {
        let mut rates = Vec::new();
        for tax in &version.taxes {
            let is_paid = tax.is_paid_by(&self.organization, self.home.as_deref());
            let unknown = || BillingError::NoHomeRegion {
                organization: self.organization.clone(),
                tax: tax.rate.name.clone(),
            };
            if is_paid.ok_or_else(unknown)? {
                rates.push(tax.rate.clone());
            }
        }
        Ok(rates)
    }

    fn unrated(&self, source: RatingError) -> BillingError {
        BillingError::Rating { organization: self.organization.clone(), source }
    }

    /// The month's invoice, without a number; `None` where there is nothing to tell: no plan that
    /// charges something, and no adjustment that amounts to anything.
    pub fn invoice(
        &self,
        month: Month,
        version: &PriceBookVersion,
        counted: &Counted,
        adjustments: Vec<InvoiceLine>,
    ) -> BillingResult<Option<Invoice>> {
        let is_charged = self.wanted(month, version)?.is_some();
        if !is_charged && adjustments.iter().all(|line| line.amount.is_zero()) {
            return Ok(None);
        }
        let too_great = || BillingError::TotalTooGreat { organization: self.organization.clone(), month };
        let currency = version.currency;
        let own = if is_charged { self.rate(month, version, counted)? } else { Vec::new() };
        let taxes = if is_charged { self.taxes(version)? } else { Vec::new() };
        let Content { lines, subtotal, total } =
            Content::of(currency, &taxes, own, adjustments).ok_or_else(too_great)?;
        let nothing = Decimal::new(0, currency.minor_digits());
        let tax_region = self.home.clone().filter(|_| !version.taxes.is_empty());
        Ok(Some(Invoice {
            number: None,
            organization: self.organization.clone(),
            month,
            state: InvoiceState::Draft,
            currency,
            lines,
            subtotal,
            total,
            amount_due: total.max(nothing),
            price_book: version.name(),
            price_book_digest: version.digest(),
            taxes,
            tax_region,
            periods: self.periods.iter().filter_map(|period| BilledPeriod::within(month, period)).collect(),
            regions: self.regions,
            ledger: Vec::new(),
            digest: None,
            issued_at: None,
            due_at: None,
            paid_at: None,
            voided_at: None,
            void_reason: None,
        }))
    }
}

/// The lines in their order, and their sums.
struct Content {
    lines: Vec<InvoiceLine>,
    subtotal: Decimal,
    total: Decimal,
}

impl Content {
    /// `late` are adjustments, and the taxes on them. `None`: a sum is beyond what can be stated.
    fn of(
        currency: Currency,
        taxes: &[TaxRate],
        own: Vec<InvoiceLine>,
        late: Vec<InvoiceLine>,
    ) -> Option<Self> {
        let own_taxes = tax::own(currency, taxes, tax::sum(currency, own.iter())?)?;
        let is_tax = |line: &InvoiceLine| line.kind == InvoiceLineKind::Tax;
        let (late_taxes, adjustments): (Vec<_>, Vec<_>) = late.into_iter().partition(is_tax);
        let mut lines = own;
        lines.extend(adjustments);
        let subtotal = tax::sum(currency, lines.iter())?;
        lines.extend(own_taxes.into_iter().chain(late_taxes));
        let total = tax::sum(currency, lines.iter())?;
        Some(Self { lines, subtotal, total })
    }
}

impl From<Line> for InvoiceLine {
    fn from(line: Line) -> Self {
        let Line { kind, meter, quantity, unit, unit_price, amount, description } = line;
        Self {
            kind: match kind {
                LineKind::Usage => InvoiceLineKind::Usage,
                LineKind::Recurring => InvoiceLineKind::Recurring,
            },
            meter,
            quantity: quantity.into(),
            unit,
            unit_price,
            amount,
            description,
            corrects: None,
            taxes_correction_of: None,
        }
    }
}
