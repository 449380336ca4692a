//! The usage of one organization in one month, as every reader of it sees it: HTTP, the command
//! line, the snapshots topic and the event stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::ToSchema;
use xxhash_rust::xxh3::xxh3_64;

use super::table::{Amount, RegionTotals, Totals};
use crate::clock::Time;
use crate::event::{API_CALLS, Plan};
use crate::month::Month;
use crate::rating::Estimate;

#[cfg(test)]
pub mod tests;

pub const SERVICES: &str = "services";
pub const PUBLISHED_SERVICES: &str = "published_services";
pub const REGIONS: &str = "regions";

/// What an organization used in a month.
#[derive(Clone, Debug, PartialEq, serde::Serialize, ToSchema)]
pub struct Usage {
    #[schema(value_type = String, example = "acme")]
    pub organization: Arc<str>,
    /// A UTC calendar month.
    #[schema(value_type = String, pattern = "^[0-9]{4}-[0-9]{2}$", example = "2026-11")]
    pub month: Month,
    /// Null for an organization that has usage but no account.
    #[schema(required = true)]
    pub plan: Option<Plan>,
    /// Null outside a trial.
    #[schema(required = true)]
    pub trial: Option<Trial>,
    /// Over all regions, by meter: `api_calls`, `services` and `published_services` (now, or at the
    /// end of a past month), `regions`, and the configured meters.
    pub usage: Meters,
    /// By region; one that did not answer has an `error` in place of its meters.
    #[schema(value_type = BTreeMap<String, RegionUsage>)]
    pub by_region: BTreeMap<Arc<str>, RegionUsage>,
    /// Null in a trial and without an account.
    #[schema(required = true)]
    pub estimated_cost: Option<Estimate>,
    /// The instant whose figures these are.
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T18:00:01Z")]
    pub as_of: Time,
    /// Every event that had reached Kafka by then is in the figures; null where that is not known.
    #[schema(required = true, value_type = Option<String>, format = DateTime, example = "2026-11-23T18:00:00Z")]
    pub complete_through: Option<Time>,
    /// Whether nothing is known to be missing: every region answered, nothing that could belong to
    /// the month was lost, and what had reached Kafka by the month's end (where it has not ended: a
    /// minute before `as_of`) is in the figures.
    pub complete: bool,
}

impl Usage {
    /// Names what a reader would see change: everything but the instants, which always do.
    pub fn content_hash(&self) -> u64 {
        let content = Self { as_of: Time(0), complete_through: None, ..self.clone() };
        xxh3_64(&serde_json::to_vec(&content).expect("usage is plain data"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
pub struct Trial {
    #[schema(value_type = String, format = DateTime, example = "2026-12-01T09:00:00Z")]
    pub ends_at: Time,
}

/// A region's figures, or why they are missing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, ToSchema)]
#[serde(untagged)]
pub enum RegionUsage {
    Known(Meters),
    Unknown { error: String },
}

/// Values by meter, in the order that they are shown in.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = BTreeMap<String, u64>, example = json!({ "api_calls": 1200345, "services": 3 }))]
pub struct Meters(Vec<(Arc<str>, u128)>);

impl Meters {
    pub fn get(&self, meter: &str) -> Option<u128> {
        self.0.iter().find(|(name, _)| &**name == meter).map(|(_, value)| *value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u128)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// Sets the value of a meter that is there.
    pub(super) fn set(&mut self, meter: &str, value: u128) {
        self.0.iter_mut().filter(|(name, _)| &**name == meter).for_each(|(_, held)| *held = value);
    }

    fn push(&mut self, meter: &str, value: u128) {
        self.0.push((meter.into(), value));
    }
}

impl Serialize for Meters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (meter, value) in &self.0 {
            // Integers that JSON readers know stay such; a sum beyond 2^64 is still a number.
            match u64::try_from(*value) {
                Ok(value) => map.serialize_entry(meter, &value)?,
                Err(_) => map.serialize_entry(meter, value)?,
            }
        }
        map.end()
    }
}

/// What one deployment can say of an organization's month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub totals: Totals,
    pub as_of: Time,
    pub complete_through: Option<Time>,
    pub complete: bool,
}

impl Figures {
    /// Where nothing is known.
    pub fn nothing(as_of: Time) -> Self {
        Self { totals: Totals::default(), as_of, complete_through: None, complete: false }
    }

    /// Takes in another deployment's; what is known of both is what the one that is behind knows.
    pub fn join(mut self, other: &Self) -> Self {
        self.totals.join(&other.totals);
        self.as_of = self.as_of.min(other.as_of);
        self.complete_through = self.complete_through.min(other.complete_through);
        self.complete &= other.complete;
        self
    }
}

/// Lays out figures for readers. `configured` are the extra meters in the order of the
/// configuration, `silent` the regions that did not answer, each with the reason.
pub fn lay_out(
    organization: Arc<str>,
    month: Month,
    figures: &Figures,
    configured: &[Arc<str>],
    silent: BTreeMap<Arc<str>, String>,
) -> Usage {
    let shown = shown_meters(&figures.totals, configured);
    let mut by_region: BTreeMap<Arc<str>, RegionUsage> = BTreeMap::new();
    let mut sum = RegionTotals::default();
    let mut regions = 0;
    for (region, totals) in &figures.totals.regions {
        sum.join(totals);
        regions += u128::from(!totals.is_zero());
        by_region.insert(region.clone(), RegionUsage::Known(meters(totals, &shown, None)));
    }
    let complete = figures.complete && silent.is_empty();
    by_region.extend(silent.into_iter().map(|(region, error)| (region, RegionUsage::Unknown { error })));
    Usage {
        organization,
        month,
        plan: None,
        trial: None,
        usage: meters(&sum, &shown, Some(regions)),
        by_region,
        estimated_cost: None,
        as_of: figures.as_of,
        complete_through: figures.complete_through,
        complete,
    }
}

/// The configured meters in their order, then what else was ever counted: a meter that was taken
/// out of the configuration keeps its usage.
fn shown_meters(totals: &Totals, configured: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut shown = configured.to_vec();
    let counted = totals.regions.values().flat_map(|region| region.meters.keys());
    for meter in counted {
        if &**meter != API_CALLS && !shown.contains(meter) {
            shown.push(meter.clone());
        }
    }
    shown
}

fn meters(totals: &RegionTotals, shown: &[Arc<str>], regions: Option<u128>) -> Meters {
    let used = |meter: &str| totals.meters.get(meter).copied().map_or(0, Amount::value);
    let mut meters = Meters::default();
    meters.push(API_CALLS, used(API_CALLS));
    meters.push(SERVICES, totals.services.services.into());
    meters.push(PUBLISHED_SERVICES, totals.services.published.into());
    if let Some(regions) = regions {
        meters.push(REGIONS, regions);
    }
    for meter in shown {
        meters.push(meter, used(meter));
    }
    meters
}
