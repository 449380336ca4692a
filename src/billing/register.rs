//! The invoices in the accounts database.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::json;

use crate::accounts::database::{Database, DatabaseResult, Row, Value, values};
use crate::accounts::{Accounts, Caller, Change, List, Page};
use crate::clock::Time;
use crate::month::Month;

use super::closing::Closing;
use super::error::{BillingResult, unreadable};
use super::invoice::{Invoice, InvoiceState};
use super::lifecycle::{Draft, Issue};
use super::rows::{insert, invoice_row, issued_row};
use super::unbilled::Unbilled;

/// Organizations from the first to the last, both included, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub first: String,
    pub last: String,
}

impl Stretch {
    pub fn of_one(organization: &str) -> Self {
        Self { first: organization.to_owned(), last: organization.to_owned() }
    }

    fn values(&self) -> [Value; 2] {
        [self.first.as_str().into(), self.last.as_str().into()]
    }

    /// Around organizations that come by id; `None`: there are none.
    pub fn of_all<'a>(organizations: impl Iterator<Item = &'a str>) -> Option<Self> {
        organizations.fold(None, |stretch, organization| match stretch {
            None => Some(Self::of_one(organization)),
            Some(Self { first, .. }) => Some(Self { first, last: organization.to_owned() }),
        })
    }
}

/// An invoice as lists of many show it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct InvoiceSummary {
    pub organization: String,
    pub number: Option<String>,
    pub month: Month,
    pub state: InvoiceState,
    pub currency: crate::rating::Currency,
    /// Before tax.
    pub subtotal: Decimal,
    pub total: Decimal,
    pub amount_due: Decimal,
    /// Of a void invoice alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void_reason: Option<String>,
}

impl InvoiceSummary {
    pub fn tax(&self) -> Decimal {
        self.total.saturating_sub(self.subtotal)
    }
}

impl From<&Invoice> for InvoiceSummary {
    fn from(invoice: &Invoice) -> Self {
        Self {
            organization: invoice.organization.clone(),
            number: invoice.number.clone(),
            month: invoice.month,
            state: invoice.state,
            currency: invoice.currency,
            subtotal: invoice.subtotal,
            total: invoice.total,
            amount_due: invoice.amount_due,
            void_reason: invoice.void_reason.clone(),
        }
    }
}

const OF_ORGANIZATION: &str = "SELECT invoices.month, invoices.content, invoices.state, invoices.charge,
        invoices.paid_ms, closings.ledger, invoices.void_ms, invoices.void_reason
    FROM invoices LEFT JOIN closings ON closings.sequence = invoices.closing
    WHERE invoices.organization = $1 AND invoices.month < $2 ORDER BY invoices.month DESC LIMIT $3";
const BY_NUMBER: &str = "SELECT invoices.month, invoices.content, invoices.state, invoices.charge,
        invoices.paid_ms, closings.ledger, invoices.void_ms, invoices.void_reason
    FROM invoices LEFT JOIN closings ON closings.sequence = invoices.closing
    WHERE invoices.number = $1";

/// The organization's invoices, the latest month first, drafts too.
pub async fn list(database: &Database, organization: &str, page: &Page) -> DatabaseResult<List<Invoice>> {
    let before = page.cursor.as_deref().unwrap_or("9999-99");
    let rows = database.fetch_all(OF_ORGANIZATION, values![organization, before, page.fetch()]).await?;
    let invoices = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
    Ok(page.list(invoices, |invoice| invoice.month.to_string()))
}

pub async fn by_number(database: &Database, number: &str) -> DatabaseResult<Option<Invoice>> {
    database.fetch_optional(BY_NUMBER, values![number]).await?.as_ref().map(read).transpose()
}

/// [`by_number`], in a change.
pub async fn read_in(change: &mut Change<'_>, number: &str) -> DatabaseResult<Option<Invoice>> {
    change.fetch_optional(BY_NUMBER, values![number]).await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> DatabaseResult<Invoice> {
    let what = || format!("invoice of {}", row.text(0).unwrap_or_default());
    let mut invoice: Invoice =
        serde_json::from_str(row.text(1)?).map_err(|error| unreadable(what(), error))?;
    invoice.state = read_state(row.text(2)?)?;
    invoice.amount_due = match invoice.state {
        InvoiceState::Draft | InvoiceState::Open => read_decimal(row.text(3)?)?,
        InvoiceState::Paid | InvoiceState::Void => invoice.nothing(),
    };
    invoice.paid_at = row.optional_integer(4)?.map(Time);
    invoice.voided_at = row.optional_integer(6)?.map(Time);
    invoice.void_reason = row.optional_text(7)?.map(str::to_owned);
    if let Some(ledger) = row.optional_text(5)? {
        invoice.ledger = serde_json::from_str(ledger).map_err(|error| unreadable(what(), error))?;
    }
    Ok(invoice)
}

fn read_state(name: &str) -> DatabaseResult<InvoiceState> {
    InvoiceState::from_name(name).ok_or_else(|| unreadable("state of an invoice", name))
}

fn read_decimal(text: &str) -> DatabaseResult<Decimal> {
    Decimal::from_str(text).map_err(|error| unreadable(format!("amount {text}"), error))
}

/// An invoice of an earlier closing, as a later one sees it.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub invoice: Invoice,
    /// What stands on it counts as not invoiced.
    pub is_void: bool,
}

/// What was invoiced earlier to the organizations of stretches: final invoices of closings before
/// this one, by organization, without their ledgers. What was voided after this closing still stood.
/// Whose invoices can't be read is not among them.
pub async fn invoiced_before(
    database: &Database,
    stretches: &[Stretch],
    sequence: i64,
    concerns: impl Fn(&str) -> bool,
    unbilled: &mut Unbilled,
) -> DatabaseResult<HashMap<String, Vec<Earlier>>> {
    let sql = "SELECT organization, number, content, CASE WHEN void_after < $3 THEN 1 ELSE 0 END
        FROM invoices
        WHERE organization >= $1 AND organization <= $2 AND number IS NOT NULL AND closing < $3
        ORDER BY organization, closing";
    let mut invoices: HashMap<String, Vec<Earlier>> = HashMap::new();
    for stretch in stretches {
        // Of one alone it is known without asking.
        if stretch.first == stretch.last && !concerns(&stretch.first) {
            continue;
        }
        let values = values![stretch.first.as_str(), stretch.last.as_str(), sequence];
        database
            .for_each(sql, values, |row| {
                let organization = row.text(0)?;
                if !concerns(organization) {
                    return Ok(());
                }
                match read_earlier(&row) {
                    Ok(earlier) => invoices.entry(organization.to_owned()).or_default().push(earlier),
                    Err(error) if error.is_unreadable() => unbilled.add(organization, &error),
                    Err(error) => return Err(error),
                }
                Ok(())
            })
            .await?;
    }
    invoices.retain(|organization, _| !unbilled.contains(organization));
    Ok(invoices)
}

fn read_earlier(row: &Row) -> DatabaseResult<Earlier> {
    let invoice = serde_json::from_str(row.text(2)?)
        .map_err(|error| unreadable(format!("invoice {}", row.text(1).unwrap_or("?")), error))?;
    Ok(Earlier { is_void: row.flag(3)?, invoice })
}

/// The organizations of which an invoice was voided between a closing and the one before it.
pub async fn voided_before(database: &Database, sequence: i64) -> DatabaseResult<HashSet<String>> {
    let sql = "SELECT DISTINCT organization FROM invoices WHERE void_after = $1";
    let rows = database.fetch_all(sql, values![sequence - 1]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// The invoices of a month, by organization; `only`: of one organization. What can't be read is left
/// out.
pub async fn summaries(
    database: &Database,
    month: Month,
    only: Option<&str>,
    unbilled: &mut Unbilled,
) -> DatabaseResult<Vec<InvoiceSummary>> {
    let sql =
        "SELECT organization, number, state, currency, total, charge, subtotal, void_reason FROM invoices
        WHERE month = $1 AND ($2 = '' OR organization = $2) ORDER BY organization";
    let mut summaries = Vec::new();
    let month_name = month.to_string();
    database
        .for_each(sql, values![month_name.as_str(), only.unwrap_or_default()], |row| {
            match read_summary(&row, month) {
                Ok(summary) => summaries.push(summary),
                Err(error) if error.is_unreadable() => unbilled.add(row.text(0)?, &error),
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .await?;
    Ok(summaries)
}

fn read_summary(row: &Row, month: Month) -> DatabaseResult<InvoiceSummary> {
    let currency: crate::rating::Currency =
        row.text(3)?.parse().map_err(|error| unreadable("invoice", error))?;
    let state = read_state(row.text(2)?)?;
    let amount_due = match state {
        InvoiceState::Draft | InvoiceState::Open => read_decimal(row.text(5)?)?,
        InvoiceState::Paid | InvoiceState::Void => Decimal::new(0, currency.minor_digits()),
    };
    let total = read_decimal(row.text(4)?)?;
    Ok(InvoiceSummary {
        organization: row.text(0)?.to_owned(),
        number: row.optional_text(1)?.map(str::to_owned),
        month,
        state,
        currency,
        // What was made before taxes were known has none.
        subtotal: row.optional_text(6)?.map_or(Ok(total), read_decimal)?,
        total,
        amount_due,
        void_reason: row.optional_text(7)?.map(str::to_owned),
    })
}

/// What is left of credits, where something is.
pub async fn credits(
    database: &Database,
    stretches: &[Stretch],
    unbilled: &mut Unbilled,
) -> DatabaseResult<HashMap<String, Decimal>> {
    let mut credits = HashMap::new();
    for stretch in stretches {
        read_credits(&database.fetch_all(CREDITS, &stretch.values()).await?, &mut credits, unbilled)?;
    }
    Ok(credits)
}

const CREDITS: &str =
    "SELECT organization, amount FROM invoice_credits WHERE organization >= $1 AND organization <= $2";

fn read_credits(
    rows: &[Row],
    credits: &mut HashMap<String, Decimal>,
    unbilled: &mut Unbilled,
) -> DatabaseResult<()> {
    for row in rows {
        match row.text(1).and_then(read_decimal) {
            Ok(credit) => drop(credits.insert(row.text(0)?.to_owned(), credit)),
            Err(error) if error.is_unreadable() => unbilled.add(row.text(0)?, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Replaces the stretches' drafts of a month that is not closed.
pub async fn replace_drafts(
    accounts: &Accounts,
    caller: &Caller,
    month: Month,
    stretches: &[Stretch],
    drafts: Vec<Draft>,
) -> BillingResult<()> {
    let mut change = accounts.begin(caller).await?;
    // What another process closed meanwhile has no drafts any more.
    let name = month.to_string();
    let closed = "SELECT 1 FROM closings WHERE month = $1";
    if change.fetch_optional(closed, values![name.as_str()]).await?.is_some() {
        return Ok(());
    }
    for stretch in stretches {
        change.delete_drafts(month, stretch).await?;
    }
    let rows = drafts.iter().map(|draft| invoice_row(draft.invoice(), None, None));
    insert(&mut change, rows.collect::<DatabaseResult<_>>()?).await?;
    change.commit(200, &()).await?;
    Ok(())
}

/// Gives the stretches' drafts their numbers, in the order of the organizations, and takes their
/// place; those that have an invoice of the month already keep it. Everything in one transaction,
/// so that no number is left out or given twice. Answers how many were issued; whose credit can't be
/// read is left out.
pub async fn issue(
    accounts: &Accounts,
    caller: &Caller,
    closing: &Closing,
    stretches: &[Stretch],
    drafts: Vec<Draft>,
    unbilled: &mut Unbilled,
) -> BillingResult<usize> {
    let mut change = accounts.begin(caller).await?;
    let (mut taken, mut credits) = (HashSet::new(), HashMap::new());
    for stretch in stretches {
        taken.extend(change.organizations_with_invoice(closing.month, stretch).await?);
        change.delete_drafts(closing.month, stretch).await?;
        read_credits(&change.fetch_all(CREDITS, &stretch.values()).await?, &mut credits, unbilled)?;
    }
    let mut numbers = Numbers::begin(&mut change, closing.closed_ms).await?;
    let (mut opened, mut digests) = (Vec::new(), Vec::new());
    let is_left = |draft: &Draft| {
        let organization = &draft.invoice().organization;
        !taken.contains(organization) && !unbilled.contains(organization)
    };
    for draft in drafts.into_iter().filter(is_left) {
        let credit = credits.remove(&draft.invoice().organization).unwrap_or_default();
        let issue =
            Issue { number: numbers.next(), issued_ms: closing.closed_ms, ledger: &closing.ledger, credit };
        let open = draft.open(issue);
        change.settle_credit(open.invoice(), credit).await?;
        digests.extend(open.invoice().digest.clone());
        opened.push(open);
    }
    let issued = opened.len();
    if issued > 0 {
        numbers.store(&mut change).await?;
        let said = json!({ "month": closing.month, "last": numbers.current(), "digests": digests });
        let entry = change.record("invoices.issued", None, None, Some(said)).await?;
        let rows = opened.into_iter().map(|open| issued_row(open, closing, entry));
        insert(&mut change, rows.collect::<DatabaseResult<_>>()?).await?;
    }
    change.commit(200, &()).await?;
    metrics::counter!("odometer_invoices_issued_total").increment(issued as u64);
    Ok(issued)
}

/// The year's numbers, as long as the change lasts.
struct Numbers {
    year: i16,
    last: i64,
}

impl Numbers {
    async fn begin(change: &mut Change<'_>, issued_ms: i64) -> DatabaseResult<Self> {
        let year = Month::containing(issued_ms).year();
        let sql = "SELECT last FROM invoice_numbers WHERE year = $1";
        let row = change.fetch_optional(sql, values![i64::from(year)]).await?;
        Ok(Self { year, last: row.map_or(Ok(0), |row| row.integer(0))? })
    }

    fn next(&mut self) -> String {
        self.last += 1;
        self.current()
    }

    fn current(&self) -> String {
        format!("{:04}-{:06}", self.year, self.last)
    }

    async fn store(&self, change: &mut Change<'_>) -> DatabaseResult<()> {
        let sql = "INSERT INTO invoice_numbers (year, last) VALUES ($1, $2)
            ON CONFLICT (year) DO UPDATE SET last = excluded.last";
        change.execute(sql, values![i64::from(self.year), self.last]).await?;
        Ok(())
    }
}

impl Change<'_> {
    async fn delete_drafts(&mut self, month: Month, stretch: &Stretch) -> DatabaseResult<()> {
        let sql = "DELETE FROM invoices
            WHERE month = $1 AND organization >= $2 AND organization <= $3 AND number IS NULL";
        let month = month.to_string();
        self.execute(sql, values![month, stretch.first.as_str(), stretch.last.as_str()]).await?;
        Ok(())
    }

    async fn organizations_with_invoice(
        &mut self,
        month: Month,
        stretch: &Stretch,
    ) -> DatabaseResult<HashSet<String>> {
        let sql = "SELECT organization FROM invoices
            WHERE month = $1 AND organization >= $2 AND organization <= $3 AND number IS NOT NULL";
        let values = values![month.to_string(), stretch.first.as_str(), stretch.last.as_str()];
        let rows = self.fetch_all(sql, values).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// What the invoice leaves of a credit, its own included.
    async fn settle_credit(&mut self, invoice: &Invoice, credit: Decimal) -> DatabaseResult<()> {
        let left = invoice.amount_due.saturating_add(credit).saturating_sub(invoice.total);
        if left == credit {
            return Ok(());
        }
        self.write_credit(&invoice.organization, left).await
    }

    /// What is left of an organization's credits.
    pub(super) async fn credit_of(&mut self, organization: &str) -> DatabaseResult<Decimal> {
        let row = self.fetch_optional(CREDITS, values![organization, organization]).await?;
        row.map_or(Ok(Decimal::ZERO), |row| read_decimal(row.text(1)?))
    }

    pub(super) async fn write_credit(&mut self, organization: &str, left: Decimal) -> DatabaseResult<()> {
        let sql = "INSERT INTO invoice_credits (organization, amount) VALUES ($1, $2)
            ON CONFLICT (organization) DO UPDATE SET amount = excluded.amount";
        self.execute(sql, values![organization, left.to_string()]).await?;
        self.refresh_drafts(organization, left).await
    }

    /// Drafts say what would be due by the credit that there is now.
    async fn refresh_drafts(&mut self, organization: &str, credit: Decimal) -> DatabaseResult<()> {
        let sql = "SELECT month, content FROM invoices WHERE organization = $1 AND number IS NULL";
        for row in self.fetch_all(sql, values![organization]).await? {
            // The next look at the month replaces it, whatever it holds.
            let Ok(content) = serde_json::from_str::<Invoice>(row.text(1)?) else { continue };
            let draft = Draft::of(content).less(credit);
            let json =
                serde_json::to_string(draft.invoice()).map_err(|error| unreadable("write invoice", error))?;
            let sql = "UPDATE invoices SET content = $3, charge = $4
                WHERE organization = $1 AND month = $2 AND number IS NULL";
            let charge = draft.invoice().amount_due.to_string();
            self.execute(sql, values![organization, row.text(0)?, json, charge]).await?;
        }
        Ok(())
    }
}
