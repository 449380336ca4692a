//! Organizations of which something stored can't be read.

use anyhow::Context as _;

use crate::audit::doctor::{Check, named};
use crate::cli::{Context, accounts};

const NAME: &str = "organizations";
const HINT: &str = "compare what the accounts database has of it with a backup; until then it is answered nothing, \
                    is not billed, and is entitled to nothing";

/// Reads all of them. `None`: there is no database, or it does not answer, which another check tells of.
pub async fn check(context: &Context) -> Option<Check> {
    match damaged(context).await {
        Ok(damaged) => damaged.map(|damaged| judge(&damaged)),
        Err(error) => {
            tracing::debug!("look for organizations that can't be read: {error:#}");
            None
        }
    }
}

/// By organization, why it can't be read.
async fn damaged(context: &Context) -> anyhow::Result<Option<Vec<(String, String)>>> {
    let Some(accounts) = accounts::open_to_read(&context.config).await? else { return Ok(None) };
    accounts.load_directory().await.context("read accounts")?;
    Ok(Some(accounts.damaged().list()))
}

fn judge(damaged: &[(String, String)]) -> Check {
    if damaged.is_empty() {
        return Check::good(NAME, "all that is stored of them can be read");
    }
    let causes: Vec<String> =
        damaged.iter().map(|(organization, cause)| format!("{organization}: {cause}")).collect();
    Check::wrong(NAME, format!("{} can't be read: {}", causes.len(), named(&causes)), HINT)
}
