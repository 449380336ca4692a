//! Usage from regions that an organization does not have: it is counted and billed as any other, and
//! somebody should know.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::accounts::Directory;
use crate::aggregate::LedgerRow;
use crate::audit::doctor::{Check, named};
use crate::cli::{Context, accounts};
use crate::clock::Clock;
use crate::month::Month;
use crate::store::Store;

const NAME: &str = "regions of organizations";
const HINT: &str = "give the organization the region (PUT /v1/organizations/ORG/regions), or correct what the \
                    configuration takes the region from and count again with `odometer recount`";

/// Looks through the usage of the current month. `None`: there are no accounts to compare it with, or
/// one of the databases does not answer, which other checks tell of.
pub async fn check(context: &Context, store: &Store) -> Option<Check> {
    match foreign_usage(context, store).await {
        Ok(Some(foreign)) => Some(judge(&foreign)),
        Ok(None) => None,
        Err(error) => {
            tracing::debug!("look for usage of foreign regions: {error:#}");
            None
        }
    }
}

/// By organization, the regions that it used and does not have.
type Foreign = BTreeMap<String, Vec<String>>;

async fn foreign_usage(context: &Context, store: &Store) -> anyhow::Result<Option<Foreign>> {
    let opened = accounts::open_to_read(&context.config).await?;
    let Some(accounts) = opened else { return Ok(None) };
    let directory = accounts.load_directory().await.context("read accounts")?;
    if directory.is_empty() {
        return Ok(None);
    }
    let month = current_month(accounts.clock());
    let rows = store.counting_rows().await.context("read ledger")?;
    let rows: Vec<LedgerRow> = rows.into_iter().map(|published| published.row).collect();
    let mut usage = store.usage_of(&rows, &month.hours())?;
    let mut foreign = Foreign::new();
    while let Some(used) = usage.next().await? {
        if used.value > 0 && !has_region(&directory, &used.organization, &used.region) {
            let regions = foreign.entry(used.organization).or_default();
            if regions.last() != Some(&used.region) {
                regions.push(used.region);
            }
        }
    }
    Ok(Some(foreign))
}

fn current_month(clock: &Clock) -> Month {
    Month::containing(clock.now_ms())
}

/// Without an account an organization has no regions to compare with.
fn has_region(directory: &Directory, organization: &str, region: &str) -> bool {
    directory.get(organization).is_none_or(|account| account.regions.iter().any(|own| own == region))
}

fn judge(foreign: &Foreign) -> Check {
    if foreign.is_empty() {
        return Check::good(NAME, "this month's usage comes from regions that its organizations have");
    }
    let places: Vec<String> = foreign
        .iter()
        .map(|(organization, regions)| format!("{organization} in {}", regions.join(", ")))
        .collect();
    let detail = format!(
        "{} have usage this month in regions that they do not have: {}",
        places.len(),
        named(&places)
    );
    Check::doubtful(NAME, detail, HINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::doctor::Health;

    #[test]
    fn organizations_are_named_with_their_foreign_regions() {
        assert_eq!(judge(&Foreign::new()).health, Health::Good);
        let foreign = Foreign::from([("acme".to_owned(), vec!["eu".to_owned(), "sg".to_owned()])]);
        let check = judge(&foreign);
        assert_eq!(check.health, Health::Doubtful);
        assert!(check.detail.ends_with("acme in eu, sg"), "{}", check.detail);
    }
}
