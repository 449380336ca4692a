//! Fills an accounts database and ClickHouse with organizations on all plans and a month of their
//! usage in published blocks, for measuring what odometer reaches. No log is read and no group
//! commits: what it says was counted never happened, so it is for databases that are thrown away.
//!
//! `cargo run --release --example seed-organizations -- --config FILE accounts --organizations 100000`
//! makes organizations as a sign-up leaves them, but for licenses and notices; `… usage` publishes
//! their API calls, `… services` their services, `… roll` rolls up what was published. scripts/reach
//! runs all of them.

mod accounts;
mod usage;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use odometer::config::Config;
use odometer::month::Month;
use odometer::store::Store;

#[derive(Parser)]
struct Arguments {
    /// The configuration that names both databases.
    #[arg(long)]
    config: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Sign organizations up: half on Plus, a quarter on Free, the others in all other states.
    Accounts {
        #[arg(long)]
        organizations: usize,
        /// The month that they exist from; where it is over, a tenth changed their plan in it.
        #[arg(long)]
        since: Month,
    },
    /// Publish API calls: two rows for each hour in which an organization is active.
    Usage {
        #[arg(long)]
        organizations: usize,
        #[arg(long)]
        month: Month,
        /// Of each organization.
        #[arg(long, default_value_t = 10)]
        active_hours: usize,
    },
    /// Publish services: one to three of each organization, made before the month.
    Services {
        #[arg(long)]
        organizations: usize,
        #[arg(long)]
        month: Month,
    },
    /// Roll up the month's API calls: one block for each lane.
    Roll {
        #[arg(long)]
        month: Month,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::load(Some(&arguments.config))?;
    let store = || Store::new(&config.store_settings()?).context("reach ClickHouse");
    match arguments.what {
        What::Accounts { organizations, since } => accounts::seed(&config, organizations, since).await,
        What::Usage { organizations, month, active_hours } => {
            usage::seed_calls(&config, &store()?, organizations, month, active_hours).await
        }
        What::Services { organizations, month } => {
            usage::seed_services(&config, &store()?, organizations, month).await
        }
        What::Roll { month } => usage::roll(&store()?, month).await,
    }
}

/// In the order of their numbers.
fn organization(number: usize) -> String {
    format!("org-{number:07}")
}

/// A well-mixed number for each n, the same in every run.
fn mixed(n: usize) -> u64 {
    let mut x = (n as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
