//! Computing an invoice again, from the ledger as it stood when its month was closed, and comparing
//! everything that is kept of it.

mod record;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::month::Month;

use super::biller::{Biller, Job};
use super::closing::{self, Closing};
use super::error::{BillingError, BillingResult};
use super::invoice::{BilledPeriod, Invoice, InvoiceLine};
use super::lifecycle::{Draft, Issue};
use super::price::Payer;
use super::register::{self, Stretch};
use super::unbilled::Unbilled;

#[cfg(test)]
mod tests;

/// What computing an invoice again gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub number: String,
    pub organization: String,
    pub month: Month,
    /// Nothing differs.
    pub verified: bool,
    pub total: Decimal,
    /// As stored, and as computed from what is stored and from the ledger.
    pub digest: Option<String>,
    pub computed_digest: Option<String>,
    /// In words, where something differs.
    pub differences: Vec<String>,
}

impl Biller {
    /// Computes the invoice again and compares; answers the closing that it was made from too.
    pub async fn verify(&self, number: &str) -> BillingResult<(Verification, Closing)> {
        let database = self.accounts.database();
        let unknown = || BillingError::UnknownInvoice { number: number.to_owned() };
        let stored = register::by_number(database, number).await?.ok_or_else(unknown)?;
        let mut earlier = closing::all(database).await?;
        let own = earlier.iter().position(|closing| closing.month == stored.month).ok_or_else(unknown)?;
        let closing = earlier.swap_remove(own);
        earlier.retain(|other| other.sequence < closing.sequence);
        let ledgers = self.ledgers_of(&closing).await?;
        let late = self.late(earlier, closing.sequence, &ledgers).await?;
        let account = self.accounts.stored_account(&stored.organization).await?;
        let mut payer = Payer { regions: stored.regions, ..Payer::from(&account) };
        // What was made before home regions were kept went by the order of the regions.
        payer.home = stored.tax_region.clone();
        let stretch = Stretch::of_one(&stored.organization);
        let job = Job { month: closing.month, version: &closing.version, ledgers: &ledgers, late: &late };
        let mut unbilled = Unbilled::default();
        let computed = self.price(&job, &[stretch], &[payer], &mut unbilled).await?.pop();
        unbilled.into_result()?;
        let computed = computed.map(|content| issued_as(content, &stored, &closing));
        let beside = record::differences(database, number, &closing).await?;
        Ok((compare(&stored, computed.as_ref(), beside), closing))
    }
}

/// The computed content under the number and the times of what is stored.
fn issued_as(content: Invoice, stored: &Invoice, closing: &Closing) -> Invoice {
    let issue = Issue {
        number: stored.number.clone().unwrap_or_default(),
        issued_ms: closing.closed_ms,
        ledger: &closing.ledger,
        credit: Decimal::ZERO,
    };
    Draft::of(content).open(issue).into_invoice()
}

/// `beside`: what does not agree with the content beside it.
fn compare(stored: &Invoice, computed: Option<&Invoice>, beside: Vec<String>) -> Verification {
    let mut differences = Vec::new();
    let own = stored.compute_digest();
    if stored.digest.as_ref() != Some(&own) {
        differences.push(format!("what is stored has digest {own}, not the one that stands on it"));
    }
    match computed {
        None => differences.push("by the ledger there is nothing to invoice".to_owned()),
        Some(computed) => differences.extend(differing(stored, computed)),
    }
    differences.extend(beside);
    Verification {
        number: stored.number.clone().unwrap_or_default(),
        organization: stored.organization.clone(),
        month: stored.month,
        verified: differences.is_empty(),
        total: stored.total,
        digest: stored.digest.clone(),
        computed_digest: computed.and_then(|computed| computed.digest.clone()),
        differences,
    }
}

fn differing(stored: &Invoice, computed: &Invoice) -> Vec<String> {
    let mut differences = Vec::new();
    for place in 0..stored.lines.len().max(computed.lines.len()) {
        let (one, other) = (stored.lines.get(place), computed.lines.get(place));
        if one != other {
            let (one, other) = (show_line(one), show_line(other));
            differences.push(format!("line {}: stored {one}, computed {other}", place + 1));
        }
    }
    if stored.subtotal != computed.subtotal {
        differences.push(format!("subtotal: stored {}, computed {}", stored.subtotal, computed.subtotal));
    }
    if stored.total != computed.total {
        differences.push(format!("total: stored {}, computed {}", stored.total, computed.total));
    }
    if stored.periods != computed.periods {
        let (one, other) = (show_periods(&stored.periods), show_periods(&computed.periods));
        differences.push(format!("plan periods: stored {one}, the account's are {other}"));
    }
    if differences.is_empty() && stored.digest != computed.digest {
        differences.push("digest: something beside lines, total and periods differs".to_owned());
    }
    differences
}

fn show_line(line: Option<&InvoiceLine>) -> String {
    match line {
        None => "none".to_owned(),
        Some(line) => {
            let meter = line.meter.as_deref().unwrap_or("fee");
            format!("{meter} {} at {} = {}", line.quantity, line.unit_price, line.amount)
        }
    }
}

fn show_periods(periods: &[BilledPeriod]) -> String {
    let show = |period: &BilledPeriod| {
        let trial = if period.trial { " (trial)" } else { "" };
        format!("{}{trial} {} to {}", period.plan, period.from, period.to)
    };
    periods.iter().map(show).collect::<Vec<_>>().join(", ")
}
