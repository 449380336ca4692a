//! What an invoice says, as it is stored and as the API answers it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::accounts::Caller;
use crate::clock::Time;
use crate::event::{Plan, PlanPeriod};
use crate::month::Month;
use crate::rating::{Currency, TaxRate};

#[cfg(test)]
pub(super) mod tests;

/// Where an invoice stands. A draft has no number and may still change; of the others the state
/// alone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceState {
    Draft,
    Open,
    Paid,
    Void,
}

impl InvoiceState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Void => "void",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Draft, Self::Open, Self::Paid, Self::Void].into_iter().find(|state| state.as_str() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceLineKind {
    /// For what happened: calls.
    Usage,
    /// For the time that it lasted: services.
    Recurring,
    /// What an earlier invoice would have been more (a debit) or less (a credit) by what came late.
    Adjustment,
    Tax,
}

/// One line. Debits are positive, credits negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoiceLine {
    pub kind: InvoiceLineKind,
    /// Null for a fee of the plan itself, and for tax.
    #[schema(required = true)]
    pub meter: Option<String>,
    /// Of an adjustment, by how much the quantity differs.
    #[schema(value_type = i64, example = 1200345)]
    pub quantity: i128,
    /// The number of units that `unit_price` is for.
    #[schema(example = 1000000)]
    pub unit: u64,
    #[schema(value_type = String, example = "34.25")]
    pub unit_price: Decimal,
    /// Rounded to the currency's minor unit.
    #[schema(value_type = String, example = "41.11")]
    pub amount: Decimal,
    pub description: String,
    /// The number of the invoice that an adjustment corrects, else null.
    #[schema(required = true, example = json!(null))]
    pub corrects: Option<String>,
    /// Of a tax on adjustments alone: the number of the invoice that they correct. What is stored has
    /// it as `corrects`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, example = json!(null))]
    pub taxes_correction_of: Option<String>,
}

/// What the organization was on, within the invoice's month: [from, to).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BilledPeriod {
    pub plan: Plan,
    pub trial: bool,
    #[schema(value_type = String, format = DateTime)]
    pub from: Time,
    #[schema(value_type = String, format = DateTime)]
    pub to: Time,
}

impl BilledPeriod {
    /// The part of a period that lies in the month.
    pub fn within(month: Month, period: &PlanPeriod) -> Option<Self> {
        let from = period.from_ms.max(month.start_ms());
        let to = period.to_ms.unwrap_or(i64::MAX).min(month.end_ms());
        let PlanPeriod { plan, trial, .. } = *period;
        (from < to).then_some(Self { plan, trial, from: Time(from), to: Time(to) })
    }

    pub fn plan_period(self) -> PlanPeriod {
        PlanPeriod { plan: self.plan, trial: self.trial, from_ms: self.from.0, to_ms: Some(self.to.0) }
    }
}

/// Up to where one lane's ledger went into the invoice: what its rows of at most this rank say of
/// the offsets before the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct LedgerEnd {
    pub region: String,
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    /// The first offset that did not go in.
    pub next_offset: i64,
    /// The greatest rank of the lane's rows: (token, sequence, tenure).
    pub token: u64,
    pub sequence: u64,
    /// 32 hex digits.
    pub tenure: String,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invoice {
    /// Null in a draft.
    #[schema(required = true, example = "2026-000042")]
    pub number: Option<String>,
    #[schema(example = "acme")]
    pub organization: String,
    /// The UTC calendar month that it bills.
    #[schema(value_type = String, pattern = "^[0-9]{4}-[0-9]{2}$", example = "2026-11")]
    pub month: Month,
    pub state: InvoiceState,
    #[schema(value_type = String, example = "USD")]
    pub currency: Currency,
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines without tax.
    #[schema(value_type = String, example = "356.11")]
    pub subtotal: Decimal,
    /// The sum of all lines. Negative where credits are greater than charges.
    #[schema(value_type = String, example = "356.11")]
    pub total: Decimal,
    /// The total less the credit that earlier invoices left; never negative: what is left of a
    /// credit lowers the next invoices. Once paid or void, 0.
    #[schema(value_type = String, example = "356.11")]
    pub amount_due: Decimal,
    /// The first month of the price list's version.
    #[schema(example = "2023-09")]
    pub price_book: String,
    /// SHA-256 of the price list, 64 hex digits.
    pub price_book_digest: String,
    /// The taxes on what the month itself costs; what is corrected later is taxed by them too. Not
    /// there where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub taxes: Vec<TaxRate>,
    /// The organization's home region, where taxes are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub tax_region: Option<String>,
    pub periods: Vec<BilledPeriod>,
    /// The organization's number of regions when the month was closed.
    pub regions: u64,
    /// For the operator alone; else, and in a draft, empty.
    pub ledger: Vec<LedgerEnd>,
    /// SHA-256 of all that never changes (everything but state, amount_due, paid_at, voided_at, void_reason and itself), 64
    /// hex digits; null in a draft.
    #[schema(required = true)]
    pub digest: Option<String>,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub issued_at: Option<Time>,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Time>,
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Time>,
    /// Of a void invoice alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String, format = DateTime)]
    pub voided_at: Option<Time>,
    /// Of a void invoice alone: what the operator gave as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    pub void_reason: Option<String>,
}

/// What a digest covers, in this order.
#[derive(Serialize)]
struct Digested<'a> {
    number: Option<&'a str>,
    organization: &'a str,
    month: Month,
    currency: Currency,
    lines: &'a [InvoiceLine],
    subtotal: Decimal,
    total: Decimal,
    price_book: &'a str,
    price_book_digest: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    taxes: &'a [TaxRate],
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_region: Option<&'a str>,
    periods: &'a [BilledPeriod],
    regions: u64,
    ledger: &'a [LedgerEnd],
    issued_at: Option<Time>,
    due_at: Option<Time>,
}

impl Invoice {
    /// SHA-256 over the JSON of what never changes, as 64 hex digits.
    pub fn compute_digest(&self) -> String {
        let digested = Digested {
            number: self.number.as_deref(),
            organization: &self.organization,
            month: self.month,
            currency: self.currency,
            lines: &self.lines,
            subtotal: self.subtotal,
            total: self.total,
            price_book: &self.price_book,
            price_book_digest: &self.price_book_digest,
            taxes: &self.taxes,
            tax_region: self.tax_region.as_deref(),
            periods: &self.periods,
            regions: self.regions,
            ledger: &self.ledger,
            issued_at: self.issued_at,
            due_at: self.due_at,
        };
        let json = serde_json::to_vec(&digested).expect("an invoice is plain data");
        Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As whoever asks may see it: where the lanes' ledgers ended tells of the whole installation. Of
    /// its lines adjustments alone say what they correct.
    pub fn told_to(mut self, caller: &Caller) -> Self {
        if !caller.is_operator() {
            self.ledger.clear();
        }
        for line in self.lines.iter_mut().filter(|line| line.kind == InvoiceLineKind::Tax) {
            line.taxes_correction_of = line.corrects.take();
        }
        self
    }

    /// What of the total is tax.
    pub fn tax(&self) -> Decimal {
        self.total.saturating_sub(self.subtotal)
    }

    /// What of earlier credit it used up, while it is open.
    pub fn credit(&self) -> Decimal {
        self.total.saturating_sub(self.amount_due)
    }

    /// 0, with the currency's digits.
    pub fn nothing(&self) -> Decimal {
        Decimal::new(0, self.currency.minor_digits())
    }
}
