//! Closing a month: deciding once what all its invoices are made from.

use std::sync::Arc;

use serde_json::json;

use crate::accounts::database::{Database, DatabaseResult, Row, values};
use crate::accounts::{Accounts, Caller};
use crate::event::Lane;
use crate::month::Month;
use crate::rating::PriceBookVersion;
use crate::store::closings::ClosedLane;

use super::error::{BillingResult, unreadable};
use super::invoice::LedgerEnd;
use super::unbilled::Unbilled;

/// A month that is over and wholly counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub month: Month,
    /// Counted from 1 in the order of closing.
    pub sequence: i64,
    /// Its invoices are issued then, whenever they are made.
    pub closed_ms: i64,
    pub version: Arc<PriceBookVersion>,
    pub ledger: Arc<[LedgerEnd]>,
    /// Whether every organization was looked at: those that are still without an invoice are
    /// [`left_out`].
    pub passed: bool,
    /// Whether every organization has its invoice.
    pub finished: bool,
}

impl Closing {
    /// The lanes of a region.
    pub fn lanes(&self, region: &str) -> Vec<ClosedLane> {
        self.ledger.iter().filter(|end| end.region == region).map(ClosedLane::from).collect()
    }

    /// The regions that it knows, each once.
    pub fn regions(&self) -> Vec<&str> {
        let mut regions: Vec<&str> = self.ledger.iter().map(|end| end.region.as_str()).collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }
}

impl LedgerEnd {
    pub fn of(region: &str, closed: &ClosedLane) -> Self {
        let (token, sequence, tenure) = closed.rank;
        Self {
            region: region.to_owned(),
            topic: closed.lane.topic.to_string(),
            topic_id: closed.lane.topic_id.to_string(),
            partition: closed.lane.partition,
            next_offset: closed.next_offset,
            token,
            sequence,
            tenure: format!("{tenure:032x}"),
        }
    }
}

impl From<&LedgerEnd> for ClosedLane {
    fn from(end: &LedgerEnd) -> Self {
        Self {
            lane: Lane {
                topic: end.topic.as_str().into(),
                topic_id: end.topic_id.as_str().into(),
                partition: end.partition,
            },
            next_offset: end.next_offset,
            // What was written is hex; another text is no tenure's, and no row of it counts.
            rank: (end.token, end.sequence, u128::from_str_radix(&end.tenure, 16).unwrap_or(0)),
        }
    }
}

const COLUMNS: &str = "SELECT closings.month, closings.sequence, closings.closed_ms, price_books.version,
        closings.ledger, closings.finished, closings.passed
    FROM closings INNER JOIN price_books ON price_books.digest = closings.price_book
    ORDER BY closings.sequence";

/// Every closing, in the order of closing.
pub async fn all(database: &Database) -> DatabaseResult<Vec<Closing>> {
    database.fetch_all(COLUMNS, &[]).await?.iter().map(read).collect()
}

pub async fn of_month(database: &Database, month: Month) -> DatabaseResult<Option<Closing>> {
    Ok(all(database).await?.into_iter().find(|closing| closing.month == month))
}

fn read(row: &Row) -> DatabaseResult<Closing> {
    let month = row.text(0)?;
    let what = format!("closing of {month}");
    Ok(Closing {
        month: month.parse().map_err(|error| unreadable(&what, error))?,
        sequence: row.integer(1)?,
        closed_ms: row.integer(2)?,
        version: serde_json::from_str(row.text(3)?).map_err(|error| unreadable(&what, error))?,
        ledger: serde_json::from_str(row.text(4)?).map_err(|error| unreadable(&what, error))?,
        finished: row.flag(5)?,
        passed: row.flag(6)?,
    })
}

/// Closes the month; where another process was quicker, its closing is the answer.
pub async fn insert(
    accounts: &Accounts,
    caller: &Caller,
    month: Month,
    version: &PriceBookVersion,
    ledger: &[LedgerEnd],
) -> BillingResult<Closing> {
    let mut change = accounts.begin(caller).await?;
    let closed_ms = change.now_ms();
    let digest = version.digest();
    let json = serde_json::to_string(version).map_err(|error| unreadable("write price book", error))?;
    let sql = "INSERT INTO price_books (digest, version) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
    change.execute(sql, values![digest.as_str(), json]).await?;
    let ends = serde_json::to_string(ledger).map_err(|error| unreadable("write closing", error))?;
    let name = month.to_string();
    let closed = change
        .execute(
            "INSERT INTO closings (month, sequence, closed_ms, price_book, ledger, finished)
             SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3, $4, 0 FROM closings
             HAVING COUNT(CASE WHEN month = $1 THEN 1 END) = 0",
            values![name.as_str(), closed_ms, digest.as_str(), ends],
        )
        .await?;
    if closed > 0 {
        let said = json!({ "month": month, "price_book": version.name(), "lanes": ledger.len() });
        change.record("month.closed", None, None, Some(said)).await?;
        change.commit(200, &()).await?;
    } else {
        drop(change);
    }
    let closing = of_month(accounts.database(), month).await?;
    Ok(closing.ok_or_else(|| unreadable(format!("closing of {month}"), "it is missing"))?)
}

/// Every organization was looked at; those that could not be billed are to be billed yet.
pub async fn pass(accounts: &Accounts, closing: &Closing, unbilled: &Unbilled) -> DatabaseResult<()> {
    let mut transaction = accounts.database().begin().await?;
    for (organization, cause) in unbilled.iter() {
        let sql = "INSERT INTO unbilled (closing, organization, cause) VALUES ($1, $2, $3)
            ON CONFLICT (closing, organization) DO UPDATE SET cause = excluded.cause";
        transaction.execute(sql, values![closing.sequence, organization, cause]).await?;
    }
    let sql = "UPDATE closings SET passed = 1 WHERE sequence = $1";
    transaction.execute(sql, values![closing.sequence]).await?;
    transaction.commit().await
}

/// Those that could not be billed when every organization was looked at, by id.
pub async fn left_out(database: &Database, closing: &Closing) -> DatabaseResult<Vec<String>> {
    let sql = "SELECT organization FROM unbilled WHERE closing = $1 ORDER BY organization";
    let rows = database.fetch_all(sql, values![closing.sequence]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// One that was left out is billed now.
pub async fn caught_up(accounts: &Accounts, closing: &Closing, organization: &str) -> DatabaseResult<()> {
    let sql = "DELETE FROM unbilled WHERE closing = $1 AND organization = $2";
    accounts.database().execute(sql, values![closing.sequence, organization]).await?;
    Ok(())
}

/// Notes that nobody is left out any more, where that is so; answers whether it is.
pub async fn finish(accounts: &Accounts, closing: &Closing) -> DatabaseResult<bool> {
    let sql = "UPDATE closings SET finished = 1 WHERE sequence = $1 AND passed = 1
        AND NOT EXISTS (SELECT 1 FROM unbilled WHERE closing = $1)";
    Ok(accounts.database().execute(sql, values![closing.sequence]).await? == 1)
}

/// An organization that has no invoice of a closed month because of what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub organization: String,
    pub month: String,
    pub cause: String,
}

/// All of them, by organization and month.
pub async fn all_left_out(database: &Database) -> DatabaseResult<Vec<LeftOut>> {
    let sql = "SELECT unbilled.organization, closings.month, unbilled.cause
        FROM unbilled INNER JOIN closings ON closings.sequence = unbilled.closing
        WHERE closings.finished = 0 ORDER BY unbilled.organization, closings.month";
    let rows = database.fetch_all(sql, &[]).await?;
    let read = |row: &Row| {
        let text = |column| row.text(column).map(str::to_owned);
        Ok(LeftOut { organization: text(0)?, month: text(1)?, cause: text(2)? })
    };
    rows.iter().map(read).collect()
}
