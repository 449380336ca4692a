//! How many open invoices failed to be paid, for whoever watches.

use super::Payments;
use crate::accounts::database::DatabaseResult;

impl Payments {
    pub(super) async fn tell_of_unpaid(&self) -> DatabaseResult<()> {
        let sql = "SELECT COUNT(CASE WHEN dunning.next_ms IS NOT NULL THEN 1 END),
                       COUNT(CASE WHEN dunning.next_ms IS NULL THEN 1 END)
                   FROM dunning JOIN invoices ON invoices.number = dunning.invoice
                   WHERE invoices.state = 'open'";
        let Some(row) = self.accounts.database().fetch_optional(sql, &[]).await? else { return Ok(()) };
        for (column, state) in [(0, "retried"), (1, "given-up")] {
            let number = u32::try_from(row.integer(column)?).unwrap_or(u32::MAX);
            metrics::gauge!("odometer_invoices_unpaid", "state" => state).set(number);
        }
        Ok(())
    }
}
