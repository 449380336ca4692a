//! Which regions share these accounts: a month is closed only by who reads all of them.

use crate::accounts::database::{Database, DatabaseResult, values};
use crate::clock::Clock;

/// A region that was not heard of for so long is gone: 40 days, in milliseconds.
const GONE_AFTER_MS: i64 = 40 * 86_400_000;

/// Notes that a region's server runs on these accounts. Kept by the system's clock: a test's stands
/// still.
pub async fn seen(database: &Database, region: &str) -> DatabaseResult<()> {
    let sql = "INSERT INTO deployments (region, seen_ms) VALUES ($1, $2)
        ON CONFLICT (region) DO UPDATE SET seen_ms = excluded.seen_ms";
    database.execute(sql, values![region, Clock::System.now_ms()]).await?;
    Ok(())
}

/// A region that runs on these accounts and is not among those that are read.
pub async fn missing(database: &Database, read: &[&str]) -> DatabaseResult<Option<String>> {
    let sql = "SELECT region FROM deployments WHERE seen_ms > $1 ORDER BY region";
    let rows = database.fetch_all(sql, values![Clock::System.now_ms() - GONE_AFTER_MS]).await?;
    for row in &rows {
        if !read.contains(&row.text(0)?) {
            return Ok(Some(row.text(0)?.to_owned()));
        }
    }
    Ok(None)
}
