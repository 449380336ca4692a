//! Organizations of which something stored can't be read, or that could not be billed.

use anyhow::Context as _;

use crate::audit::doctor::{Check, named};
use crate::billing::{LeftOut, all_left_out};
use crate::cli::{Context, accounts};

const NAME: &str = "organizations";
const BILLING: &str = "billing";
const HINT: &str = "compare what the accounts database has of it with a backup; until then it is answered nothing, \
                    is not billed, and is entitled to nothing";

/// Reads all of them. Nothing where there is no database, or it does not answer, which another check
/// tells of.
pub async fn check(context: &Context) -> Vec<Check> {
    match look(context).await {
        Ok(found) => found
            .map(|(damaged, left_out)| vec![judge(&damaged), judge_billing(&left_out)])
            .unwrap_or_default(),
        Err(error) => {
            tracing::debug!("look for organizations that can't be read: {error:#}");
            Vec::new()
        }
    }
}

/// By organization, why it can't be read; and who could not be billed.
type Found = (Vec<(String, String)>, Vec<LeftOut>);

async fn look(context: &Context) -> anyhow::Result<Option<Found>> {
    let Some(accounts) = accounts::open_to_read(&context.config).await? else { return Ok(None) };
    accounts.load_directory().await.context("read accounts")?;
    let left_out = all_left_out(accounts.database()).await.context("read who is not billed")?;
    Ok(Some((accounts.damaged().list(), left_out)))
}

fn judge_billing(left_out: &[LeftOut]) -> Check {
    if left_out.is_empty() {
        return Check::good(BILLING, "nobody was left out of a closed month");
    }
    let causes: Vec<String> = left_out
        .iter()
        .map(|LeftOut { organization, month, cause }| format!("{organization} in {month}: {cause}"))
        .collect();
    let detail = format!("{} invoices could not be made: {}", causes.len(), named(&causes));
    Check::wrong(BILLING, detail, "mend what is said; `odometer bill` or a running `serve` bills them then")
}

fn judge(damaged: &[(String, String)]) -> Check {
    if damaged.is_empty() {
        return Check::good(NAME, "all that is stored of them can be read");
    }
    let causes: Vec<String> =
        damaged.iter().map(|(organization, cause)| format!("{organization}: {cause}")).collect();
    Check::wrong(NAME, format!("{} can't be read: {}", causes.len(), named(&causes)), HINT)
}
