//! What one organization used in a month, as it is priced.

use crate::aggregate::{CountRow, Fold, ServiceRow};
use crate::rating::{MonthUsage, Span};
use crate::snapshot::register::{ServiceCounts, peak};
use crate::snapshot::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};

#[cfg(test)]
mod tests;

/// Counts of one month by hour (or, of who was on one plan all month, in its first hour), of all
/// deployments; service changes of all times before the month's end; the number of regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub counts: Vec<CountRow>,
    pub services: Vec<ServiceRow>,
    pub regions: u64,
}

impl Counted {
    fn peak(&self, spans: &[Span]) -> ServiceCounts {
        let peaks = spans.iter().map(|span| peak(&self.services, span.from_ms..span.to_ms));
        peaks.fold(ServiceCounts::default(), ServiceCounts::max)
    }

    /// What was summed up, and the greatest of what was not.
    fn used(&self, meter: &str, spans: &[Span]) -> u128 {
        let billed =
            |row: &&CountRow| row.meter == meter && spans.iter().any(|span| span.hours().contains(&row.hour));
        let (mut sum, mut greatest) = (0, 0);
        for row in self.counts.iter().filter(billed) {
            match row.fold {
                Fold::Sum => sum += row.value,
                Fold::Max => greatest = row.value.max(greatest),
            }
        }
        sum + greatest
    }
}

impl MonthUsage for Counted {
    fn quantity(&self, meter: &str, spans: &[Span]) -> u64 {
        match meter {
            SERVICES => self.peak(spans).services,
            PUBLISHED_SERVICES => self.peak(spans).published,
            REGIONS => self.regions,
            _ => u64::try_from(self.used(meter, spans)).unwrap_or(u64::MAX),
        }
    }

    /// Asked for forecasts alone, and an invoice makes none.
    fn adds_up(&self, _: &str) -> bool {
        false
    }
}
