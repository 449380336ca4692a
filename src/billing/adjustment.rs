//! What came late: the difference between what a month costs now and what was invoiced for it.

use rust_decimal::Decimal;

use crate::month::Month;
use crate::rating::grouped;

use super::invoice::{InvoiceLine, InvoiceLineKind};

#[cfg(test)]
mod tests;

/// What makes lines comparable: a debit and a credit of one key add up.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    meter: Option<String>,
    unit: u64,
    unit_price: Decimal,
}

struct Difference {
    key: Key,
    name: String,
    quantity: i128,
    amount: Decimal,
}

/// The invoice of an earlier month that is adjusted.
#[derive(Clone, Copy, Debug)]
pub struct Corrected<'a> {
    pub number: &'a str,
    pub month: Month,
    pub is_void: bool,
}

impl Corrected<'_> {
    /// `in 2026-11, correcting invoice 2026-000001`
    pub fn words(&self) -> String {
        let Self { number, month, is_void } = self;
        let relation = if *is_void { "in place of void invoice" } else { "correcting invoice" };
        format!("in {month}, {relation} {number}")
    }
}

/// The adjustments that bring what was invoiced for a month (its invoice's own lines and every
/// adjustment of it since) to what it costs now. Where nothing is different there is none;
/// quantities that differ by less than a cent are told with an amount of 0.
pub fn adjustments(
    corrected: Corrected<'_>,
    invoiced: &[&InvoiceLine],
    now: &[InvoiceLine],
) -> Vec<InvoiceLine> {
    let mut differences: Vec<Difference> = Vec::new();
    for line in now {
        add(&mut differences, line, 1);
    }
    for line in invoiced {
        add(&mut differences, line, -1);
    }
    differences.retain(|difference| difference.quantity != 0 || !difference.amount.is_zero());
    let is_anew = corrected.is_void && invoiced.is_empty();
    differences.into_iter().map(|difference| difference.into_line(corrected, is_anew)).collect()
}

fn add(differences: &mut Vec<Difference>, line: &InvoiceLine, sign: i128) {
    let key = Key { meter: line.meter.clone(), unit: line.unit, unit_price: line.unit_price };
    let amount = if sign < 0 { -line.amount } else { line.amount };
    match differences.iter_mut().find(|difference| difference.key == key) {
        Some(difference) => {
            difference.quantity += sign * line.quantity;
            difference.amount = difference.amount.saturating_add(amount);
        }
        None => {
            let name = name_of(line).to_owned();
            differences.push(Difference { key, name, quantity: sign * line.quantity, amount });
        }
    }
}

/// What a line's description says before its figures: `API calls: 1,200 at …` → `API calls`. That of
/// an adjustment begins with what it adjusts.
fn name_of(line: &InvoiceLine) -> &str {
    let name = line.description.split([':', ',']).next().unwrap_or_default();
    if name.is_empty() { line.meter.as_deref().unwrap_or("Fee") } else { name }
}

impl Difference {
    /// `is_anew`: nothing of the month counts as invoiced.
    fn into_line(self, corrected: Corrected<'_>, is_anew: bool) -> InvoiceLine {
        let Key { meter, unit, unit_price } = self.key;
        let change = match self.quantity {
            0 => "another amount".to_owned(),
            all if is_anew => grouped(all.unsigned_abs()),
            more if more > 0 => format!("{} more", grouped(more.unsigned_abs())),
            less => format!("{} fewer", grouped(less.unsigned_abs())),
        };
        InvoiceLine {
            kind: InvoiceLineKind::Adjustment,
            meter,
            quantity: self.quantity,
            unit,
            unit_price,
            amount: self.amount,
            description: format!("{}: {change} {}", self.name, corrected.words()),
            corrects: Some(corrected.number.to_owned()),
            taxes_correction_of: None,
        }
    }
}
