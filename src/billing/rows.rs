//! Invoices as rows, written many at a time.

use std::sync::LazyLock;

use crate::accounts::Change;
use crate::accounts::database::{DatabaseResult, Many, Value, values};

use super::closing::Closing;
use super::error::unreadable;
use super::invoice::{Invoice, LedgerEnd};
use super::lifecycle::{Open, Settlement};

/// Values of one row.
const COLUMNS: usize = 15;

static INSERT: LazyLock<Many<COLUMNS>> = LazyLock::new(|| {
    Many::new(
        "INSERT INTO invoices (organization, month, number, state, closing, content, currency, total,
             charge, issued_ms, due_ms, paid_ms, settlement, subtotal, issued_entry)
         VALUES {rows}",
    )
});

/// A row of [`insert`].
pub type InvoiceRow = [Value; COLUMNS];

/// Writes invoices that have no row yet.
pub async fn insert(change: &mut Change<'_>, rows: Vec<InvoiceRow>) -> DatabaseResult<()> {
    change.execute_many(&INSERT, rows).await
}

/// Of what an invoice was made, and the entry of the account log that says so.
pub struct Origin {
    pub closing: i64,
    pub entry: i64,
}

/// What was just issued: paid at once where there is nothing to pay.
pub fn issued_row(open: Open, closing: &Closing, entry: i64) -> DatabaseResult<InvoiceRow> {
    let origin = Origin { closing: closing.sequence, entry };
    if open.is_settled() {
        let settlement = Settlement { reference: None, at_ms: closing.closed_ms };
        let paid = open.pay(&settlement);
        return invoice_row(paid.invoice(), Some(&origin), Some(&settlement));
    }
    invoice_row(open.invoice(), Some(&origin), None)
}

/// `origin`: `None` of a draft.
pub fn invoice_row(
    invoice: &Invoice,
    origin: Option<&Origin>,
    settlement: Option<&Settlement>,
) -> DatabaseResult<InvoiceRow> {
    // The ledger stands in the closing.
    let content = Invoice { ledger: Vec::<LedgerEnd>::new(), ..invoice.clone() };
    let json = serde_json::to_string(&content).map_err(|error| unreadable("write invoice", error))?;
    let values: &[Value; COLUMNS] = values![
        invoice.organization.as_str(),
        invoice.month.to_string(),
        invoice.number.clone(),
        invoice.state.as_str(),
        origin.map(|origin| origin.closing),
        json,
        invoice.currency.as_str(),
        invoice.total.to_string(),
        invoice.amount_due.to_string(),
        invoice.issued_at.map(|time| time.0),
        invoice.due_at.map(|time| time.0),
        settlement.map(|settlement| settlement.at_ms),
        settlement.and_then(|settlement| settlement.reference.clone()),
        invoice.subtotal.to_string(),
        origin.map(|origin| origin.entry)
    ];
    Ok(values.clone())
}

#[cfg(test)]
mod tests;
