//! Which open invoices are to be collected by themselves: those that nobody tried yet, what the provider
//! is to be asked about again, and what failed, by its schedule.

use crate::accounts::Change;
use crate::accounts::database::{DatabaseResult, values};
use crate::clock::Clock;

use super::Payments;

impl Payments {
    /// Those whose numbers follow, by number.
    pub(super) async fn due(&self, only: &str, after: &str) -> DatabaseResult<Vec<String>> {
        // Most are new ones: of those no more are read than are answered.
        let sql = "SELECT number FROM (
                       SELECT number FROM invoices
                       WHERE state = 'open' AND collected = 0 AND number > $4 AND ($3 = '' OR organization = $3)
                       ORDER BY number LIMIT 1024) AS new
                   UNION
                   SELECT payment_attempts.invoice FROM payment_attempts
                   JOIN invoices ON invoices.number = payment_attempts.invoice
                   WHERE look_again_ms <= $1 AND invoices.state = 'open' AND invoices.number > $4 AND ($3 = '' OR invoices.organization = $3)
                   UNION
                   SELECT dunning.invoice FROM dunning
                   JOIN invoices ON invoices.number = dunning.invoice
                   WHERE next_ms <= $2 AND invoices.state = 'open' AND invoices.number > $4 AND ($3 = '' OR invoices.organization = $3)
                       AND NOT EXISTS (
                           SELECT 1 FROM payment_attempts
                           WHERE payment_attempts.invoice = dunning.invoice AND look_again_ms IS NOT NULL)
                   ORDER BY 1 LIMIT 1024";
        let values = values![Clock::System.now_ms(), self.accounts.clock().now_ms(), only, after];
        let rows = self.accounts.database().fetch_all(sql, values).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }
}

/// Whether an open invoice without an undecided attempt is to be collected by itself, by the rule of
/// [`Payments::due`].
pub async fn is_due(change: &mut Change<'_>, number: &str) -> DatabaseResult<bool> {
    let sql = "SELECT 1 FROM invoices WHERE number = $1 AND (
                   collected = 0
                   OR EXISTS (SELECT 1 FROM payment_attempts WHERE invoice = $1 AND look_again_ms <= $2)
                   OR EXISTS (SELECT 1 FROM dunning WHERE invoice = $1 AND next_ms <= $3)
                       AND NOT EXISTS (
                           SELECT 1 FROM payment_attempts WHERE invoice = $1 AND look_again_ms IS NOT NULL))";
    let values = values![number, Clock::System.now_ms(), change.now_ms()];
    Ok(change.fetch_optional(sql, values).await?.is_some())
}
