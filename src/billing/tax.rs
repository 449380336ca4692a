//! Tax lines: exclusive, on rounded subtotals, each at the rates of the invoice that it belongs to.

use rust_decimal::Decimal;

use crate::rating::{Currency, TaxRate};

use super::adjustment::Corrected;
use super::invoice::{Invoice, InvoiceLine, InvoiceLineKind};

#[cfg(test)]
mod tests;

/// The sum of the lines; `None` where it is beyond what can be stated.
pub fn sum<'a>(currency: Currency, mut lines: impl Iterator<Item = &'a InvoiceLine>) -> Option<Decimal> {
    let nothing = Decimal::new(0, currency.minor_digits());
    lines.try_fold(nothing, |sum, line| sum.checked_add(line.amount))
}

/// The taxes on what an invoice charges for its own month.
pub fn own(currency: Currency, rates: &[TaxRate], subtotal: Decimal) -> Option<Vec<InvoiceLine>> {
    let line = |rate: &TaxRate| {
        let description = format!("{}on {subtotal} {currency}", beginning(rate));
        Some(tax_line(rate.on(subtotal, currency)?, description, None))
    };
    rates.iter().map(line).collect()
}

/// The taxes that follow from the adjustments of an earlier invoice: what its month's charges are
/// taxed now, by its own rates, less what was taxed so far. So the taxes over all invoices are
/// those of the final charges, with one rounding. `taxed` are all tax lines for the month so far.
pub fn corrections(
    invoice: &Invoice,
    corrected: Corrected<'_>,
    taxed: &[&InvoiceLine],
    invoiced: Decimal,
    now: Decimal,
) -> Option<Vec<InvoiceLine>> {
    let currency = invoice.currency;
    let more = now.checked_sub(invoiced)?;
    let change = if more.is_sign_negative() { "less" } else { "more" };
    let mut lines = Vec::new();
    for rate in &invoice.taxes {
        let beginning = beginning(rate);
        let is_of_rate = |line: &&&InvoiceLine| line.description.starts_with(&beginning);
        let before = sum(currency, taxed.iter().filter(is_of_rate).copied())?;
        let amount = rate.on(now, currency)?.checked_sub(before)?;
        if !amount.is_zero() {
            let description =
                format!("{beginning}on {} {currency} {change} {}", more.abs(), corrected.words());
            lines.push(tax_line(amount, description, Some(corrected.number.to_owned())));
        }
    }
    Some(lines)
}

/// `VAT 19 %: `: what tells the lines of one tax from those of another.
fn beginning(rate: &TaxRate) -> String {
    format!("{} {} %: ", rate.name, rate.percent)
}

fn tax_line(amount: Decimal, description: String, corrects: Option<String>) -> InvoiceLine {
    InvoiceLine {
        kind: InvoiceLineKind::Tax,
        meter: None,
        quantity: 1,
        unit: 1,
        unit_price: amount,
        amount,
        description,
        corrects,
        taxes_correction_of: None,
    }
}
