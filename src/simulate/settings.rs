use crate::event::{EARLIEST_TIME_MS, Format, HOUR_MS, LATEST_TIME_MS, is_region};
use crate::month::Month;

use super::mapping::Place;
use super::share::Share;

#[cfg(test)]
mod tests;

/// The longest time from an event to its record, in milliseconds.
pub(super) const GREATEST_DELAY_MS: i64 = 2_000;

/// Everything that traffic follows from, but for the number of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    /// Where the organization and the region go, as the topic is configured (`event::Rules`).
    pub organization: Option<String>,
    pub region: Option<String>,
    /// The region of events that name none: the deployment's.
    pub default_region: String,
    /// The regions that events are spread over; at least one.
    pub regions: Vec<String>,
    /// At least 1.
    pub organizations: u32,
    /// All events: duplicates, malformed and ignored ones included.
    pub events: u64,
    pub duplicates: Share,
    pub malformed: Share,
    pub seed: u64,
    /// The whole month up to now; `None`: the last hour.
    pub month: Option<Month>,
    /// Epoch milliseconds; nothing happens later.
    pub now_ms: i64,
    /// Offsets; a duplicate stays well inside.
    pub dedup_window: u64,
    /// How late an event may come, in milliseconds.
    pub accept_past_ms: i64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidSettings {
    #[error("simulate no organizations: at least 1 is needed")]
    NoOrganizations,
    #[error("simulate no regions: name at least 1, e.g. us,eu")]
    NoRegions,
    #[error("simulate region {0:?}: a region is 1 to 16 of a-z, 0-9 and '-'")]
    BadRegion(String),
    #[error("simulate duplicates of {duplicates} and malformed events of {malformed}: together over 100%")]
    MoreThanAll { duplicates: Share, malformed: Share },
    #[error("simulate month {0}: it has not begun")]
    Future(Month),
    #[error("simulate month {0}: events before 2000 and from 2100 on are rejected")]
    OutOfRange(Month),
    #[error(
        "simulate without a place for the organization: set the topic's `organization`, e.g. konnect.org_id"
    )]
    NoOrganizationPlace,
    #[error("simulate the {what} at {place:?}: {reason}")]
    BadPlace { what: &'static str, place: String, reason: &'static str },
}

impl Settings {
    /// Whether traffic can be made of them.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        if self.organizations == 0 {
            return Err(InvalidSettings::NoOrganizations);
        }
        if self.regions.is_empty() {
            return Err(InvalidSettings::NoRegions);
        }
        for region in self.regions.iter().chain([&self.default_region]) {
            if !is_region(region) {
                return Err(InvalidSettings::BadRegion(region.clone()));
            }
        }
        let (duplicates, malformed) = (self.duplicates, self.malformed);
        if duplicates.exceeds_with(malformed) {
            return Err(InvalidSettings::MoreThanAll { duplicates, malformed });
        }
        if let Some(month) = self.month {
            if month.start_ms() < EARLIEST_TIME_MS || month.end_ms() > LATEST_TIME_MS {
                return Err(InvalidSettings::OutOfRange(month));
            }
            if month.start_ms() >= self.now_ms {
                return Err(InvalidSettings::Future(month));
            }
        }
        if self.format == Format::KafkaLog && self.organization.is_none() {
            return Err(InvalidSettings::NoOrganizationPlace);
        }
        Place::organization(self)?;
        Place::region(self)?;
        Ok(())
    }

    /// The span of event times, [start, end).
    pub(super) fn span_ms(&self) -> (i64, i64) {
        match self.month {
            Some(month) => (month.start_ms(), month.end_ms().min(self.now_ms)),
            None => (self.now_ms - HOUR_MS, self.now_ms),
        }
    }
}
