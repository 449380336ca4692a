//! Whether an organization may use more of a meter.
//!
//! Answers come from memory and are as stale as what is published: a gateway that asks before every
//! request overruns a limit by at most what is used between two flushes (`metering.flush_interval`)
//! and their reading, about two seconds with default intervals.

#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Time;
use crate::rating::{Limit, Overage};

use super::service::{Joined, SnapshotError, Snapshots};
use super::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};

/// Figures that are behind by more than this, or of which nothing says how far they reach, are not
/// known any more.
const UNKNOWN_AFTER_MS: i64 = 60_000;

/// What to answer where usage is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPolicy {
    Open,
    Closed,
    /// Closed where the limit blocks, open where it charges.
    Auto,
}

/// Whether more may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entitlement {
    #[schema(example = "api_calls")]
    pub meter: String,
    /// Whether one more may be used. What is there already beyond a limit stays.
    pub allowed: bool,
    /// Null where there is none.
    #[schema(required = true, value_type = Option<u64>, example = 10_000_000)]
    pub limit: Option<u64>,
    #[schema(value_type = u64, example = 1_200_345)]
    pub used: u64,
    /// Null where there is no limit.
    #[schema(required = true, value_type = Option<u64>)]
    pub remaining: Option<u64>,
    /// What happens beyond the limit.
    #[schema(value_type = String, example = "block")]
    pub overage: Overage,
    /// What the answer rests on.
    pub decided_by: DecidedBy,
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// Usage against the limit, or that there is no limit.
    Usage,
    /// Usage is not known, and `entitlements.fail` says to allow.
    FailOpen,
    /// Usage is not known, and `entitlements.fail` says not to.
    FailClosed,
}

/// Decides by a plan's limit. `is_known`: whether `used` is what was used.
pub fn decide(limit: Option<Limit>, used: u64, is_known: bool, fail: FailPolicy) -> (bool, DecidedBy) {
    let Some(Limit { limit, overage }) = limit else { return (true, DecidedBy::Usage) };
    let blocks = overage == Overage::Block;
    // What is known to be used already is enough to know that a limit is reached.
    if is_known || (blocks && used >= limit) {
        return (!blocks || used < limit, DecidedBy::Usage);
    }
    match fail {
        FailPolicy::Open => (true, DecidedBy::FailOpen),
        FailPolicy::Closed => (false, DecidedBy::FailClosed),
        FailPolicy::Auto if blocks => (false, DecidedBy::FailClosed),
        FailPolicy::Auto => (true, DecidedBy::FailOpen),
    }
}

/// Why there is no entitlement.
#[derive(Debug, thiserror::Error)]
pub enum EntitlementError {
    #[error("organization {organization} has neither an account nor usage")]
    UnknownOrganization { organization: String },
    #[error("meter {meter} does not exist")]
    UnknownMeter { meter: String },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Snapshots {
    /// Of the current month. From memory, once it is loaded.
    pub async fn entitlement(
        &self,
        organization: &str,
        meter: &str,
    ) -> Result<Entitlement, EntitlementError> {
        let lasting = [SERVICES, PUBLISHED_SERVICES, REGIONS].contains(&meter);
        if !lasting && !self.event_meters().any(|known| known == meter) {
            return Err(EntitlementError::UnknownMeter { meter: meter.to_owned() });
        }
        let month = self.current_month();
        let account = self.account(organization).await?;
        let joined = match self.figures_in_memory(organization, month, account.is_some()) {
            Some(joined) => joined,
            None => {
                let read = self.figures(organization, month, account.is_some()).await?;
                let organization = organization.to_owned();
                read.ok_or(EntitlementError::UnknownOrganization { organization })?
            }
        };
        let plan = account.as_ref().map(|account| account.plan(self.clock().now_ms()));
        let limit = self
            .plans()
            .zip(plan)
            .and_then(|(plans, plan)| plans.book.at(month).terms(plan).limits.get(meter).copied());
        let used = match (&account, meter) {
            (Some(account), REGIONS) => account.regions.len() as u64,
            _ => used_of(&joined, meter),
        };
        let is_known = meter == REGIONS || self.is_known(&joined);
        let fail = self.plans().map_or(FailPolicy::Auto, |plans| plans.fail);
        let (allowed, decided_by) = decide(limit, used, is_known, fail);
        Ok(Entitlement {
            meter: meter.to_owned(),
            allowed,
            limit: limit.map(|limit| limit.limit),
            used,
            remaining: limit.map(|limit| limit.limit.saturating_sub(used)),
            overage: limit.map_or(Overage::Charge, |limit| limit.overage),
            decided_by,
            as_of: joined.figures.as_of,
        })
    }

    fn is_known(&self, joined: &Joined) -> bool {
        let recent =
            |time: Option<Time>| time.is_some_and(|time| self.clock().now_ms() - time.0 <= UNKNOWN_AFTER_MS);
        let figures = &joined.figures;
        joined.silent.is_empty() && recent(Some(figures.as_of)) && recent(figures.complete_through)
    }
}

fn used_of(joined: &Joined, meter: &str) -> u64 {
    let totals = joined.figures.totals.sum();
    match meter {
        SERVICES => totals.services.services,
        PUBLISHED_SERVICES => totals.services.published,
        REGIONS => joined.figures.totals.regions.values().filter(|region| !region.is_zero()).count() as u64,
        _ => {
            let used = totals.meters.get(meter).map_or(0, |amount| amount.value());
            u64::try_from(used).unwrap_or(u64::MAX)
        }
    }
}
