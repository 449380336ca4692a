//! What stands beside an invoice's content and must agree with it: the columns of its row, the account
//! log, its payment, and the organization's credit.

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::accounts::database::{Database, DatabaseResult, Row, values};
use crate::billing::closing::Closing;
use crate::billing::error::unreadable;
use crate::billing::invoice::{Invoice, InvoiceState, LedgerEnd};
use crate::billing::lifecycle::{Draft, Issue, Settlement};

/// The row, as it is stored.
struct Stored {
    content: Invoice,
    row: Row,
}

/// An entry of the account log about one invoice.
struct Entry {
    sequence: i64,
    at_ms: i64,
    said: Said,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    invoice: String,
    /// Of a void invoice.
    #[serde(default)]
    reason: String,
    /// The attempt that paid it.
    #[serde(default)]
    payment: String,
}

/// In words, what does not agree. Empty where everything does.
pub async fn differences(
    database: &Database,
    number: &str,
    closing: &Closing,
) -> DatabaseResult<Vec<String>> {
    let sql = "SELECT content, organization, month, number, currency, total, subtotal, charge, issued_ms,
            due_ms, closing, state, paid_ms, settlement, void_ms, void_reason, void_after, collected
        FROM invoices WHERE number = $1";
    let Some(row) = database.fetch_optional(sql, values![number]).await? else { return Ok(Vec::new()) };
    let content: Invoice =
        serde_json::from_str(row.text(0)?).map_err(|error| unreadable(format!("invoice {number}"), error))?;
    let stored = Stored { content, row };
    let mut found = Differences::default();
    stored.compare_columns(closing, &mut found)?;
    let credit = Credit::replay(database, &stored.content, &mut found).await?;
    if let Some(before) = credit {
        stored.compare_issue(closing, before, &mut found);
    }
    stored.compare_state(database, &mut found).await?;
    Ok(found.0)
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, kept: T, said: T) {
        if kept != said {
            self.0.push(format!("{what}: {kept:?} is kept, it should be {said:?}"));
        }
    }

    fn add(&mut self, words: impl Into<String>) {
        self.0.push(words.into());
    }
}

impl Stored {
    /// What the row says again of the content.
    fn compare_columns(&self, closing: &Closing, found: &mut Differences) -> DatabaseResult<()> {
        let Self { content, row } = self;
        found.same("organization", row.text(1)?, content.organization.as_str());
        found.same("month", row.text(2)?, &content.month.to_string());
        found.same("month of the closing", closing.month, content.month);
        found.same("number", Some(row.text(3)?), content.number.as_deref());
        found.same("currency", row.text(4)?, content.currency.as_str());
        found.same("total", row.text(5)?, &content.total.to_string());
        // What was made before taxes were known has none.
        if let Some(subtotal) = row.optional_text(6)? {
            found.same("subtotal", subtotal, &content.subtotal.to_string());
        }
        found.same("amount due", row.text(7)?, &content.amount_due.to_string());
        found.same("issued", row.optional_integer(8)?, content.issued_at.map(|time| time.0));
        found.same("due", row.optional_integer(9)?, content.due_at.map(|time| time.0));
        found.same("closing", row.optional_integer(10)?, Some(closing.sequence));
        Ok(())
    }

    /// The content as it was issued: whatever of it is under no digest too.
    fn compare_issue(&self, closing: &Closing, credit: Decimal, found: &mut Differences) {
        let content = &self.content;
        let issue = Issue {
            number: content.number.clone().unwrap_or_default(),
            issued_ms: closing.closed_ms,
            ledger: &closing.ledger,
            credit,
        };
        let open = Draft::of(content.clone()).open(issue);
        let issued = match open.is_settled() {
            true => open.pay(&Settlement { reference: None, at_ms: closing.closed_ms }).into_invoice(),
            false => open.into_invoice(),
        };
        found.same("amount due when it was issued", content.amount_due, issued.amount_due);
        if *content != (Invoice { ledger: Vec::<LedgerEnd>::new(), ..issued }) {
            found.add("content: it is not as it was issued");
        }
    }

    /// Its state, and what says how it came to it.
    async fn compare_state(&self, database: &Database, found: &mut Differences) -> DatabaseResult<()> {
        let Self { content, row } = self;
        let voided = self.entries(database, "invoice.voided").await?;
        let payments = self.entries(database, "payment.succeeded").await?;
        let is_settled = content.amount_due.is_zero();
        let state = match (&voided[..], is_settled || !payments.is_empty()) {
            ([_, ..], _) => InvoiceState::Void,
            ([], true) => InvoiceState::Paid,
            ([], false) => InvoiceState::Open,
        };
        found.same("state", row.text(11)?, state.as_str());
        let paid = (row.optional_integer(12)?, row.optional_text(13)?.map(str::to_owned));
        match state {
            InvoiceState::Paid if is_settled => {
                found.same("payment", paid, (content.issued_at.map(|time| time.0), None));
            }
            InvoiceState::Paid => {
                let mut made = Vec::new();
                for entry in &payments {
                    made.push((Some(entry.at_ms), reference_of(database, &entry.said.payment).await?));
                }
                // Money that came twice settles it once.
                if !made.contains(&paid) {
                    found.same("payment", Some(paid), made.pop());
                }
            }
            _ => found.same("payment", paid, (None, None)),
        }
        let void =
            (row.optional_integer(14)?, row.optional_text(15)?.map(str::to_owned), row.optional_integer(16)?);
        match voided.first() {
            Some(entry) => {
                let closings = closings_before(database, entry.sequence).await?;
                found.same(
                    "voiding",
                    void,
                    (Some(entry.at_ms), Some(entry.said.reason.clone()), Some(closings)),
                );
            }
            None => found.same("voiding", void, (None, None, None)),
        }
        if state == InvoiceState::Open && row.flag(17)? && !self.was_collected(database).await? {
            found.add("collected: nobody tried to have it paid, and nobody would");
        }
        Ok(())
    }

    /// What the account log has of this invoice.
    async fn entries(&self, database: &Database, action: &'static str) -> DatabaseResult<Vec<Entry>> {
        let sql = "SELECT sequence, at_ms, after FROM audit_log
            WHERE action = $1 AND action IN ('invoice.voided', 'invoices.issued', 'month.closed', 'payment.succeeded')
                AND organization = $2 ORDER BY sequence";
        let organization = self.content.organization.as_str();
        let rows = database.fetch_all(sql, values![action, organization]).await?;
        let mut entries = Vec::new();
        for row in &rows {
            let said: Said = serde_json::from_str(row.optional_text(2)?.unwrap_or("{}"))
                .map_err(|error| unreadable("entry of the account log", error))?;
            if Some(&said.invoice) == self.content.number.as_ref() {
                entries.push(Entry { sequence: row.integer(0)?, at_ms: row.integer(1)?, said });
            }
        }
        Ok(entries)
    }

    async fn was_collected(&self, database: &Database) -> DatabaseResult<bool> {
        let sql = "SELECT 1 FROM payment_attempts WHERE invoice = $1
            UNION ALL SELECT 1 FROM dunning WHERE invoice = $1";
        Ok(database.fetch_optional(sql, values![self.content.number.clone()]).await?.is_some())
    }
}

/// What the payment provider called a payment.
async fn reference_of(database: &Database, attempt: &str) -> DatabaseResult<Option<String>> {
    let sql = "SELECT reference FROM payment_attempts WHERE id = $1 AND state = 'succeeded'";
    let row = database.fetch_optional(sql, values![attempt]).await?;
    Ok(row.map(|row| row.optional_text(0).map(|text| text.map(str::to_owned))).transpose()?.flatten())
}

/// How many months were closed before an entry of the account log.
async fn closings_before(database: &Database, sequence: i64) -> DatabaseResult<i64> {
    let sql = "SELECT COUNT(*) FROM audit_log WHERE action = 'month.closed' AND sequence < $1";
    database.fetch_optional(sql, values![sequence]).await?.map_or(Ok(0), |row| row.integer(0))
}

/// Where the log says that a digest was issued: in the entry that its invoice names, or, of what was
/// issued before invoices named one, in any.
async fn issued_at(database: &Database, digest: &str, entry: Option<i64>) -> DatabaseResult<Option<i64>> {
    let holds = format!("%\"{digest}\"%");
    let row = match entry {
        Some(entry) => {
            let sql = "SELECT sequence FROM audit_log WHERE sequence = $1
                AND action = 'invoices.issued' AND organization IS NULL AND after LIKE $2";
            database.fetch_optional(sql, values![entry, holds]).await?
        }
        None => {
            let sql = "SELECT sequence FROM audit_log
                WHERE action = 'invoices.issued' AND organization IS NULL AND after LIKE $1
                ORDER BY sequence LIMIT 1";
            database.fetch_optional(sql, values![holds]).await?
        }
    };
    row.map(|row| row.integer(0)).transpose()
}

/// An event that changed an organization's credit, by its place in the account log.
enum Credit {
    Issued(Box<Invoice>),
    Voided { number: String },
}

impl Credit {
    /// Goes through all that the organization was invoiced, in the order of the account log, and
    /// compares the credit that is left. Answers the credit from before the invoice; `None` where the
    /// log does not have it.
    async fn replay(
        database: &Database,
        invoice: &Invoice,
        found: &mut Differences,
    ) -> DatabaseResult<Option<Decimal>> {
        let organization = invoice.organization.as_str();
        let mut events = Vec::new();
        let sql = "SELECT content, issued_entry FROM invoices WHERE organization = $1 AND number IS NOT NULL ORDER BY closing";
        let mut all: Vec<(Invoice, Option<i64>)> = Vec::new();
        for row in database.fetch_all(sql, values![organization]).await? {
            let other = serde_json::from_str(row.text(0)?)
                .map_err(|error| unreadable(format!("invoice of {organization}"), error))?;
            all.push((other, row.optional_integer(1)?));
        }
        // Where its row is another organization's, too.
        if all.iter().all(|(other, _)| other.number != invoice.number) {
            all.push((invoice.clone(), None));
        }
        for (other, entry) in all {
            let digest = other.digest.clone().unwrap_or_default();
            match issued_at(database, &digest, entry).await? {
                Some(sequence) => events.push((sequence, Self::Issued(Box::new(other)))),
                None => {
                    let number = other.number.unwrap_or_default();
                    found.add(format!(
                        "digest: no `invoices.issued` of the account log has that of invoice {number}, where it should be"
                    ));
                }
            }
        }
        let sql =
            "SELECT sequence, after FROM audit_log WHERE action = 'invoice.voided' AND organization = $1";
        for row in database.fetch_all(sql, values![organization]).await? {
            let said: Said = serde_json::from_str(row.optional_text(1)?.unwrap_or("{}"))
                .map_err(|error| unreadable("entry of the account log", error))?;
            events.push((row.integer(0)?, Self::Voided { number: said.invoice }));
        }
        events.sort_by_key(|(sequence, _)| *sequence);
        let (mut credit, mut before) = (Decimal::ZERO, None);
        let mut used: Vec<(String, Decimal)> = Vec::new();
        for (_, event) in events {
            match event {
                Self::Issued(other) => {
                    if other.number == invoice.number {
                        before = Some(credit);
                    }
                    let due = other.total.saturating_sub(credit).max(Decimal::ZERO);
                    let taken = other.total.saturating_sub(due);
                    credit = credit.saturating_sub(taken);
                    used.push((other.number.unwrap_or_default(), taken));
                }
                Self::Voided { number } => {
                    let taken = used.iter().find(|(other, _)| *other == number).map(|(_, taken)| *taken);
                    credit = credit.saturating_add(taken.unwrap_or_default());
                }
            }
        }
        let sql = "SELECT amount FROM invoice_credits WHERE organization = $1";
        let row = database.fetch_optional(sql, values![organization]).await?;
        let kept = row.map(|row| row.text(0).map(str::to_owned)).transpose()?;
        let kept = kept.unwrap_or_else(|| "0".to_owned());
        let kept: Decimal =
            kept.parse().map_err(|error| unreadable(format!("credit of {organization}"), error))?;
        found.same("credit of the organization", kept, credit);
        Ok(before)
    }
}
