//! What one organization used in a month, as it is priced.

use std::ops::Range;

use crate::aggregate::{CountRow, Fold};
use crate::rating::{MonthUsage, Span};
use crate::snapshot::register::ServiceCounts;
use crate::snapshot::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};
use crate::store::Grain;

#[cfg(test)]
mod tests;

/// What is to be read of one organization's month.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<'a> {
    pub organization: &'a str,
    pub grain: Grain,
    /// Those that a plan bills.
    pub spans: Vec<Span>,
}

/// By span, in epoch milliseconds. A span that is not there had no service.
pub type SpanPeaks = Vec<(Range<i64>, ServiceCounts)>;

/// Counts of one month by hour (or, of who was on one plan all month, in its first hour), of all
/// deployments; the most services in each span that a plan bills; the number of regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub counts: Vec<CountRow>,
    pub peaks: SpanPeaks,
    pub regions: u64,
}

impl Counted {
    fn peak(&self, spans: &[Span]) -> ServiceCounts {
        let is_in = |period: &Range<i64>| spans.iter().any(|span| *period == (span.from_ms..span.to_ms));
        let peaks = self.peaks.iter().filter(|(period, _)| is_in(period));
        peaks.fold(ServiceCounts::default(), |greatest, (_, peak)| greatest.max(*peak))
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
