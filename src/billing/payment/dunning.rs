//! What follows a failed payment: it is tried again by a schedule, then left to people.

use std::sync::LazyLock;

use crate::accounts::Change;
use crate::accounts::database::{DatabaseResult, Many, rows_of, values};

use super::collect::Occasion;

#[cfg(test)]
mod tests;

/// Days after the first failure at which an invoice is charged again by itself.
pub const RETRY_DAYS: [i64; 4] = [1, 3, 5, 7];

const DAY_MS: i64 = 86_400_000;

static END: LazyLock<Many<1>> = LazyLock::new(|| Many::new("DELETE FROM dunning WHERE invoice IN ({rows})"));

/// Where an unpaid invoice stands after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dunning {
    pub failures: i64,
    /// When it is tried again; `None`: no more by itself.
    pub next_ms: Option<i64>,
    /// Whether this failure was the schedule's last.
    pub has_just_ended: bool,
}

/// The first instant of the schedule that is still to come. What fell due while nothing ran is done
/// once.
pub fn next_try(first_failed_ms: i64, now_ms: i64) -> Option<i64> {
    RETRY_DAYS.into_iter().map(|days| first_failed_ms + days * DAY_MS).find(|at| *at > now_ms)
}

/// Takes a failure into account. One of a payment that somebody asked for leaves the schedule as it
/// is.
pub async fn fail(
    change: &mut Change<'_>,
    invoice: &str,
    organization: &str,
    occasion: Occasion,
) -> DatabaseResult<Dunning> {
    let now_ms = change.now_ms();
    let sql = "SELECT failures, first_failed_ms, next_ms FROM dunning WHERE invoice = $1";
    let Some(row) = change.fetch_optional(sql, values![invoice]).await? else {
        let next_ms = next_try(now_ms, now_ms);
        let sql = "INSERT INTO dunning (invoice, organization, failures, first_failed_ms, next_ms)
                   VALUES ($1, $2, 1, $3, $4)";
        change.execute(sql, values![invoice, organization, now_ms, next_ms]).await?;
        return Ok(Dunning { failures: 1, next_ms, has_just_ended: false });
    };
    let (failures, first_failed_ms, planned_ms) =
        (row.integer(0)? + 1, row.integer(1)?, row.optional_integer(2)?);
    let next_ms = match occasion {
        Occasion::Scheduled => next_try(first_failed_ms, now_ms),
        Occasion::Asked => planned_ms,
    };
    let sql = "UPDATE dunning SET failures = $2, next_ms = $3 WHERE invoice = $1";
    change.execute(sql, values![invoice, failures, next_ms]).await?;
    Ok(Dunning { failures, next_ms, has_just_ended: planned_ms.is_some() && next_ms.is_none() })
}

/// These invoices are paid, or void.
pub async fn end(change: &mut Change<'_>, invoices: &[&str]) -> DatabaseResult<()> {
    change.execute_many(&END, rows_of(invoices)).await
}

/// Whether a payment of the organization failed and its invoice is still open.
pub async fn is_left(change: &mut Change<'_>, organization: &str) -> DatabaseResult<bool> {
    let sql = "SELECT 1 FROM dunning JOIN invoices ON invoices.number = dunning.invoice
               WHERE dunning.organization = $1 AND invoices.state = 'open' LIMIT 1";
    Ok(change.fetch_optional(sql, values![organization]).await?.is_some())
}
