//! The service catalog as a last-writer-wins register: replays and reordering change nothing.
//!
//! Whether a service exists and whether it is published are two registers of their own, each the
//! greatest by (version, time, source, id). What a past instant's catalog was is what the events
//! timed before it say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::aggregate::ServiceRow;

#[cfg(test)]
mod tests;

/// How many services an organization has, and how many of them are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    pub services: u64,
    pub published: u64,
}

impl ServiceCounts {
    /// The greater of each.
    pub fn max(self, other: Self) -> Self {
        Self { services: self.services.max(other.services), published: self.published.max(other.published) }
    }

    pub fn plus(self, other: Self) -> Self {
        Self { services: self.services + other.services, published: self.published + other.published }
    }
}

/// Orders the events of one service; the greatest decides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    version: i64,
    time_ms: i64,
    source: Box<str>,
    id: Box<str>,
}

#[derive(Debug, Default)]
struct Register(Option<(Arc<Stamp>, bool)>);

impl Register {
    fn write(&mut self, stamp: &Arc<Stamp>, value: bool) {
        // The value breaks ties, so that two events of one stamp give the same in any order.
        let newer = self.0.as_ref().is_none_or(|(latest, held)| (latest, held) < (stamp, &value));
        if newer {
            self.0 = Some((stamp.clone(), value));
        }
    }

    fn holds(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, value)| *value)
    }
}

#[derive(Debug, Default)]
struct Service {
    exists: Register,
    published: Register,
}

impl Service {
    fn counts(&self) -> ServiceCounts {
        let exists = self.exists.holds();
        ServiceCounts { services: u64::from(exists), published: u64::from(exists && self.published.holds()) }
    }
}

/// The services of one organization, with their counts by region kept up to date.
#[derive(Debug, Default)]
pub struct Catalog {
    services: BTreeMap<(Arc<str>, Box<str>), Service>,
    counts: BTreeMap<Arc<str>, ServiceCounts>,
    /// The time of the latest event, stale or not.
    latest_ms: Option<i64>,
}

impl Catalog {
    /// The catalog that the events say, in whatever order.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a ServiceRow>) -> Self {
        let mut catalog = Self::default();
        for row in rows {
            catalog.apply(&Arc::from(row.region.as_str()), row);
        }
        catalog
    }

    /// The catalog at an instant: what the events timed before it say.
    pub fn before(rows: &[ServiceRow], epoch_ms: i64) -> Self {
        Self::of(rows.iter().filter(|row| row.time_ms < epoch_ms))
    }

    /// Takes one event in; returns whether a count changed. `region` is the row's, shared.
    pub fn apply(&mut self, region: &Arc<str>, row: &ServiceRow) -> bool {
        self.latest_ms = self.latest_ms.max(Some(row.time_ms));
        let stamp = Arc::new(Stamp {
            version: row.version,
            time_ms: row.time_ms,
            source: row.source.as_str().into(),
            id: row.id.as_str().into(),
        });
        let service = self.services.entry((region.clone(), row.service.as_str().into())).or_default();
        let before = service.counts();
        if let Some(exists) = row.exists {
            service.exists.write(&stamp, exists);
        }
        if let Some(published) = row.published {
            service.published.write(&stamp, published);
        }
        let after = service.counts();
        if before == after {
            return false;
        }
        let counts = self.counts.entry(region.clone()).or_default();
        counts.services = counts.services - before.services + after.services;
        counts.published = counts.published - before.published + after.published;
        true
    }

    /// By region; a region whose services are all gone is still listed.
    pub fn by_region(&self) -> impl Iterator<Item = (&Arc<str>, ServiceCounts)> {
        self.counts.iter().map(|(region, counts)| (region, *counts))
    }

    /// Epoch milliseconds of the latest event: from then on the catalog is as it is now.
    pub fn latest_ms(&self) -> Option<i64> {
        self.latest_ms
    }

    pub fn total(&self) -> ServiceCounts {
        self.counts.values().fold(ServiceCounts::default(), |total, counts| total.plus(*counts))
    }
}

/// The most services, and the most published ones, that an organization had at any instant of each of
/// some periods (epoch milliseconds, half-open), over all its regions. At an instant, the events timed
/// then and before say what there is. Holds the catalog, however many events make it.
#[derive(Debug)]
pub struct Peaks {
    catalog: Catalog,
    periods: Vec<(Range<i64>, ServiceCounts)>,
    /// The time of the events that were taken last: what they say holds from then on.
    since_ms: i64,
}

impl Peaks {
    pub fn over(periods: impl IntoIterator<Item = Range<i64>>) -> Self {
        let periods = periods.into_iter().map(|period| (period, ServiceCounts::default())).collect();
        Self { catalog: Catalog::default(), periods, since_ms: i64::MIN }
    }

    /// Takes an event that is not earlier than those before.
    pub fn take(&mut self, row: &ServiceRow) {
        // Out of their order they would bill another peak: nothing is better than that.
        assert!(self.since_ms <= row.time_ms, "service events come in the order of their times");
        if self.since_ms < row.time_ms {
            self.stand_until(row.time_ms);
            self.since_ms = row.time_ms;
        }
        self.catalog.apply(&Arc::from(row.region.as_str()), row);
    }

    /// What the catalog says held until then.
    fn stand_until(&mut self, until_ms: i64) {
        let total = self.catalog.total();
        for (period, greatest) in &mut self.periods {
            if self.since_ms.max(period.start) < until_ms.min(period.end) {
                *greatest = greatest.max(total);
            }
        }
    }

    /// The periods, each with what was the greatest in it.
    pub fn finish(mut self) -> Vec<(Range<i64>, ServiceCounts)> {
        self.stand_until(i64::MAX);
        self.periods
    }
}

/// [`Peaks`] over one period, of events in any order.
pub fn peak(rows: &[ServiceRow], period: Range<i64>) -> ServiceCounts {
    let mut by_time: Vec<&ServiceRow> = rows.iter().filter(|row| row.time_ms < period.end).collect();
    by_time.sort_by_key(|row| row.time_ms);
    let mut peaks = Peaks::over([period]);
    for row in by_time {
        peaks.take(row);
    }
    peaks
        .finish()
        .into_iter()
        .map(|(_, greatest)| greatest)
        .fold(ServiceCounts::default(), ServiceCounts::max)
}
