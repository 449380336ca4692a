//! `odometer usage`: what one organization used in a month.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::audit::reached_store;
use super::screen::{Tone, cell, number, table};
use super::{Context, Failure, accounts};
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::month::Month;
use crate::rating::Estimate;
use crate::snapshot::changes::Changes;
use crate::snapshot::usage::{Meters, RegionUsage};
use crate::snapshot::{Deployment, Plans, Snapshots, Usage as Answer};
use crate::store::Store;

#[cfg(test)]
mod tests;

const EXAMPLES: &str = "\
Examples:
  odometer usage acme                    this month so far
  odometer usage acme --month 2026-11    a past month
  odometer usage acme --output json      as GET /v1/organizations/acme/usage answers";

/// Show what an organization used in a month, over all regions and by region
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Usage {
    /// The organization's id
    #[arg(value_name = "ORG")]
    organization: String,
    /// A UTC month such as 2026-11; without it the current one
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<Month>,
}

impl Usage {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let store = reached_store(context).await?;
        let accounts = accounts::open_to_read(&context.config).await?;
        let clock = accounts.as_ref().map_or(Clock::System, |accounts| accounts.clock().clone());
        let changes = Arc::new(Changes::new(false));
        let snapshots = Reading::new(&context.config, store, accounts, &changes, &clock)?.snapshots;
        let month = self.month.unwrap_or_else(|| snapshots.current_month());
        let organization = &self.organization;
        let Some(usage) = snapshots.usage(organization, month).await.context("read usage")? else {
            let message =
                format!("organization {organization:?} is not known: nothing of it was ever counted");
            let hint = "ids are exact; `odometer dead-letters list` and `odometer count` tell why events don't count";
            return Err(Failure::failed(message).hint(hint));
        };
        context.screen.print(&usage, for_people)
    }
}

/// The deployments that usage is read from, the local one first, and what answers from all of them.
pub struct Reading {
    pub deployments: Vec<Arc<Deployment>>,
    pub snapshots: Snapshots,
}

impl Reading {
    pub fn new(
        config: &Config,
        local: Store,
        accounts: Option<Arc<Accounts>>,
        changes: &Arc<Changes>,
        clock: &Clock,
    ) -> Result<Self, Failure> {
        let local = Arc::new(Deployment::new(config.deployment_settings(), local, clock.clone()));
        let mut others = Vec::new();
        for (settings, store) in config.other_deployments()? {
            let store = Store::new(&store).map_err(anyhow::Error::from)?;
            others.push(Arc::new(Deployment::new(settings, store, clock.clone())));
        }
        let deployments = std::iter::once(local.clone()).chain(others.iter().cloned()).collect();
        let meters = config.meters.iter().map(|meter| meter.name.as_str().into()).collect();
        let mut snapshots = Snapshots::new(local, others, meters, changes.clone(), clock.clone());
        if let Some(accounts) = accounts {
            snapshots =
                snapshots.with_plans(Plans::new(accounts, config.price_book()?, config.fail_policy()));
        }
        Ok(Self { deployments, snapshots })
    }
}

fn for_people(usage: &Answer) -> String {
    let mut meters = table(["METER", "REGION", "USED"]);
    for (meter, value) in usage.usage.iter() {
        meters.add_row([cell(meter, Tone::Plain), cell("all", Tone::Plain), number(value)]);
        for (region, used) in known_regions(usage) {
            if let Some(value) = used.get(meter) {
                meters.add_row([cell("", Tone::Plain), cell(region, Tone::Plain), number(value)]);
            }
        }
    }
    let mut text = format!("{}, {} (UTC)", usage.organization, usage.month);
    if let Some(plan) = usage.plan {
        text += &format!(", plan {plan}");
    }
    if let Some(trial) = &usage.trial {
        text += &format!(", trial until {}", trial.ends_at);
    }
    text += &format!("\n\n{}\n\n", meters.trim_fmt());
    if let Some(cost) = &usage.estimated_cost {
        let Estimate { currency, amount, forecast, .. } = cost;
        text += &format!("estimated cost {currency} {amount}, at the month's end {currency} {forecast}\n");
    }
    for (region, used) in &usage.by_region {
        if let RegionUsage::Unknown { error } = used {
            text += &format!("region {region} is missing: {error}\n");
        }
    }
    text + &standing(usage)
}

/// By region, where there is more than one: the sum says the same of a single one.
fn known_regions(usage: &Answer) -> impl Iterator<Item = (&str, &Meters)> {
    let several = usage.by_region.len() > 1;
    usage.by_region.iter().filter(move |_| several).filter_map(|(region, used)| match used {
        RegionUsage::Known(meters) => Some((&**region, meters)),
        RegionUsage::Unknown { .. } => None,
    })
}

fn standing(usage: &Answer) -> String {
    let through = match usage.complete_through {
        Some(through) => format!("complete through {through}"),
        None => "not known to be complete: some lane was never seen read to its end".to_owned(),
    };
    let whole = if usage.complete { "" } else { "; INCOMPLETE: `odometer doctor` tells why" };
    format!("as of {}, {through}{whole}", usage.as_of)
}
