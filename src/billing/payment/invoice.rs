//! An invoice, as payments see it: what is to be paid, and that it was.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use rust_decimal::Decimal;

use super::Amount;
use crate::accounts::Change;
use crate::accounts::database::{DatabaseError, DatabaseResult, Many, Row, rows_of, values};
use crate::billing::InvoiceState;
use crate::rating::Currency;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payable {
    pub number: String,
    pub organization: String,
    pub state: InvoiceState,
    /// `None`: there is nothing to pay.
    pub amount: Option<Amount>,
    /// Nobody tried to collect it yet: it has no attempt and no dunning.
    pub is_new: bool,
}

static READ: LazyLock<Many<1>> = LazyLock::new(|| {
    Many::new(
        "SELECT number, organization, state, charge, currency, collected FROM invoices
         WHERE number IN ({rows})",
    )
});
static SETTLE: LazyLock<Many<3>> = LazyLock::new(|| {
    Many::new(
        "WITH settled (number, paid_ms, settlement) AS (VALUES {rows})
         UPDATE invoices SET state = 'paid', paid_ms = settled.paid_ms, settlement = settled.settlement
         FROM settled WHERE invoices.number = settled.number AND invoices.state = 'open'
         RETURNING invoices.number",
    )
});
static NOTE_COLLECTED: LazyLock<Many<1>> = LazyLock::new(|| {
    Many::new("UPDATE invoices SET collected = 1 WHERE number IN ({rows}) AND collected = 0")
});

impl Payable {
    /// `None`: there is no such invoice.
    pub async fn read(change: &mut Change<'_>, number: &str) -> DatabaseResult<Option<Self>> {
        Ok(Self::read_all(change, &[number]).await?.remove(number))
    }

    /// Those that there are, by number.
    pub async fn read_all(
        change: &mut Change<'_>,
        numbers: &[&str],
    ) -> DatabaseResult<HashMap<String, Self>> {
        let rows = change.fetch_many(&READ, rows_of(numbers)).await?;
        let read = |row| Self::of(row).map(|invoice| (invoice.number.clone(), invoice));
        rows.iter().map(read).collect()
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
        let (organization, is_new) = (row.text(1)?.to_owned(), !row.flag(5)?);
        Ok(Self { organization, number, state, amount, is_new })
    }
}

/// Marks open invoices as paid; answers the numbers of those that were open. The second of each is the
/// provider's name for the payment, `None` where there was nothing to pay.
pub async fn settle(
    change: &mut Change<'_>,
    invoices: &[(&str, Option<&str>)],
) -> DatabaseResult<HashSet<String>> {
    let now_ms = change.now_ms();
    let row = |(number, reference): &(&str, Option<&str>)| {
        values![*number, now_ms, reference.map(str::to_owned)].clone()
    };
    let rows = change.fetch_many(&SETTLE, invoices.iter().map(row).collect()).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Somebody tried to collect them: from now on attempts and dunning say when to try again.
pub async fn note_collected(change: &mut Change<'_>, numbers: &[&str]) -> DatabaseResult<()> {
    change.execute_many(&NOTE_COLLECTED, rows_of(numbers)).await
}
