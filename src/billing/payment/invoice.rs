//! An invoice, as payments see it: what is to be paid, and that it was.

use rust_decimal::Decimal;

use super::Amount;
use crate::accounts::Change;
use crate::accounts::database::{DatabaseError, DatabaseResult, Row, values};
use crate::billing::InvoiceState;
use crate::rating::Currency;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payable {
    pub number: String,
    pub organization: String,
    pub state: InvoiceState,
    /// `None`: there is nothing to pay.
    pub amount: Option<Amount>,
}

const READ: &str = "SELECT number, organization, state, charge, currency FROM invoices WHERE number = $1";

impl Payable {
    /// `None`: there is no such invoice.
    pub async fn read(change: &mut Change<'_>, number: &str) -> DatabaseResult<Option<Self>> {
        change.fetch_optional(READ, values![number]).await?.map(|row| Self::of(&row)).transpose()
    }

    fn of(row: &Row) -> DatabaseResult<Self> {
        let number = row.text(0)?.to_owned();
        let damaged = |what: &str| DatabaseError::Content { what: format!("{what} of invoice {number}") };
        let state = InvoiceState::from_name(row.text(2)?).ok_or_else(|| damaged("state"))?;
        let charge: Decimal = row.text(3)?.parse().map_err(|_| damaged("charge"))?;
        let currency: Currency = row.text(4)?.parse().map_err(|_| damaged("currency"))?;
        let amount = match charge.is_zero() {
            true => None,
            false => Some(Amount::new(charge, currency).ok_or_else(|| damaged("charge"))?),
        };
        Ok(Self { organization: row.text(1)?.to_owned(), number, state, amount })
    }
}

/// Marks an open invoice as paid; answers false where it is open no more. `reference` is the
/// provider's name for the payment, `None` where there was nothing to pay.
pub async fn settle(change: &mut Change<'_>, number: &str, reference: Option<&str>) -> DatabaseResult<bool> {
    let sql = "UPDATE invoices SET state = 'paid', paid_ms = $2, settlement = $3
               WHERE number = $1 AND state = 'open'";
    let now_ms = change.now_ms();
    let reference = reference.map(str::to_owned);
    Ok(change.execute(sql, values![number, now_ms, reference]).await? == 1)
}

/// Somebody tried to collect it: from now on attempts and dunning say when to try again.
pub async fn note_collected(change: &mut Change<'_>, number: &str) -> DatabaseResult<()> {
    let sql = "UPDATE invoices SET collected = 1 WHERE number = $1 AND collected = 0";
    change.execute(sql, values![number]).await?;
    Ok(())
}
