//! The usage of every organization in memory: of one month, and of the next, which clocks that run
//! ahead write into.
//!
//! A reader of one organization sees each block whole or not at all: its entry is locked while the
//! block's rows for it go in.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::{DashMap, DashSet};
use hashbrown::DefaultHashBuilder;

use super::register::{Catalog, ServiceCounts};
use crate::aggregate::{CountRow, Fold, ServiceRow};
use crate::month::Month;

#[cfg(test)]
mod tests;

/// What was used of one meter. A meter either adds up or keeps its greatest value; where the
/// configuration changed from one to the other, both parts stand side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    sum: u128,
    greatest: u128,
}

impl Amount {
    pub fn new(fold: Fold, value: u128) -> Self {
        match fold {
            Fold::Sum => Self { sum: value, greatest: 0 },
            Fold::Max => Self { sum: 0, greatest: value },
        }
    }

    pub fn value(self) -> u128 {
        self.sum + self.greatest
    }

    /// The part that adds up.
    pub fn sum(self) -> u128 {
        self.sum
    }

    /// The part that keeps its greatest value.
    pub fn greatest(self) -> u128 {
        self.greatest
    }

    pub fn join(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, greatest: self.greatest.max(other.greatest) }
    }
}

impl From<&CountRow> for Amount {
    fn from(row: &CountRow) -> Self {
        Self::new(row.fold, row.value)
    }
}

/// An organization's figures of one month, by region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub regions: BTreeMap<Arc<str>, RegionTotals>,
    /// Epoch milliseconds of the catalog's latest event.
    pub services_changed_ms: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionTotals {
    /// Event meters; one that nothing was used of may be absent.
    pub meters: BTreeMap<Arc<str>, Amount>,
    pub services: ServiceCounts,
}

impl RegionTotals {
    pub fn is_zero(&self) -> bool {
        self.services == ServiceCounts::default() && self.meters.values().all(|used| used.value() == 0)
    }

    pub fn join(&mut self, other: &Self) {
        for (meter, amount) in &other.meters {
            let held = self.meters.entry(meter.clone()).or_default();
            *held = held.join(*amount);
        }
        self.services = self.services.plus(other.services);
    }
}

impl Totals {
    /// From rows of blocks that count, all of them the organization's.
    pub fn of(counts: &[CountRow], catalog: &Catalog, month: Month) -> Self {
        let mut totals = Self::default();
        let hours = month.hours();
        for row in counts.iter().filter(|row| hours.contains(&row.hour)) {
            totals.add(&Arc::from(row.region.as_str()), &Arc::from(row.meter.as_str()), row.into());
        }
        totals.add_catalog(catalog);
        totals
    }

    /// Takes in what another deployment counted.
    pub fn join(&mut self, other: &Self) {
        for (region, totals) in &other.regions {
            self.regions.entry(region.clone()).or_default().join(totals);
        }
        self.services_changed_ms = self.services_changed_ms.max(other.services_changed_ms);
    }

    /// Over all regions.
    pub fn sum(&self) -> RegionTotals {
        let mut sum = RegionTotals::default();
        self.regions.values().for_each(|totals| sum.join(totals));
        sum
    }

    pub(super) fn add(&mut self, region: &Arc<str>, meter: &Arc<str>, amount: Amount) {
        let meters = &mut self.regions.entry(region.clone()).or_default().meters;
        let held = meters.entry(meter.clone()).or_default();
        *held = held.join(amount);
    }

    pub(super) fn add_catalog(&mut self, catalog: &Catalog) {
        for (region, services) in catalog.by_region() {
            self.regions.entry(region.clone()).or_default().services = services;
        }
        self.services_changed_ms = catalog.latest_ms();
    }
}

/// What a table knows of one organization.
#[derive(Debug, Default)]
struct Organization {
    /// Sorted by key; a few entries, so that a vector is smaller and faster than a map.
    usage: Vec<(UsageKey, Amount)>,
    catalog: Catalog,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UsageKey {
    month: Month,
    region: Arc<str>,
    meter: Arc<str>,
}

impl Organization {
    fn add(&mut self, key: UsageKey, amount: Amount) -> bool {
        match self.usage.binary_search_by(|(held, _)| held.cmp(&key)) {
            Ok(place) => {
                let held = &mut self.usage[place].1;
                let before = *held;
                *held = held.join(amount);
                *held != before
            }
            Err(place) => {
                self.usage.insert(place, (key, amount));
                true
            }
        }
    }

    fn totals(&self, month: Month) -> Totals {
        let mut totals = Totals::default();
        for (key, amount) in self.usage.iter().filter(|(key, _)| key.month == month) {
            totals.add(&key.region, &key.meter, *amount);
        }
        totals.add_catalog(&self.catalog);
        totals
    }
}

/// Every organization's usage of `since` and of the month after it, and its catalog as it is now.
#[derive(Debug)]
pub struct Table {
    since: Month,
    organizations: DashMap<Arc<str>, Organization, DefaultHashBuilder>,
    /// Regions and meters are few and repeat in every entry: each is kept once.
    names: DashSet<Arc<str>, DefaultHashBuilder>,
    /// Organizations of which the store was asked and had nothing. Whatever comes later comes through
    /// [`Self::apply`], or into another table.
    absent: DashSet<Box<str>, DefaultHashBuilder>,
}

/// Names of organizations without any usage that are kept in mind, some 20 MiB at most.
const MOST_ABSENT: usize = 1 << 17;
/// Whoever asks for longer names, which are not those of accounts, asks the store.
const LONGEST_ABSENT: usize = 128;

impl Table {
    pub fn new(since: Month) -> Self {
        Self {
            since,
            organizations: DashMap::default(),
            names: DashSet::default(),
            absent: DashSet::default(),
        }
    }

    pub fn since(&self) -> Month {
        self.since
    }

    /// The months that a table since `since` holds.
    pub fn months(since: Month) -> [Month; 2] {
        [since, since.next()]
    }

    pub fn holds(&self, month: Month) -> bool {
        Self::months(self.since).contains(&month)
    }

    fn hours(&self) -> std::ops::Range<u32> {
        self.since.hours().start..self.since.next().hours().end
    }

    /// Adds what an organization used of a meter over a whole month.
    pub fn put(&self, organization: &str, month: Month, region: &str, meter: &str, amount: Amount) {
        let key = UsageKey { month, region: self.name(region), meter: self.name(meter) };
        self.organizations.entry(organization.into()).or_default().add(key, amount);
    }

    /// Adds what one event says of a service.
    pub fn apply_service(&self, row: &ServiceRow) {
        let region = self.name(&row.region);
        self.organizations.entry(row.organization.as_str().into()).or_default().catalog.apply(&region, row);
    }

    /// Adds the rows of blocks, and returns the organizations whose figures changed, each once.
    /// Rows of other months make the organization known and add nothing.
    pub fn apply(&self, counts: &[CountRow], services: &[ServiceRow]) -> Vec<Arc<str>> {
        let mut rows: BTreeMap<&str, (Vec<&CountRow>, Vec<&ServiceRow>)> = BTreeMap::new();
        for row in counts {
            rows.entry(&row.organization).or_default().0.push(row);
        }
        for row in services {
            rows.entry(&row.organization).or_default().1.push(row);
        }
        rows.into_iter()
            .filter_map(|(organization, (counts, services))| self.apply_to(organization, &counts, &services))
            .collect()
    }

    fn apply_to(
        &self,
        organization: &str,
        counts: &[&CountRow],
        services: &[&ServiceRow],
    ) -> Option<Arc<str>> {
        let hours = self.hours();
        let keyed: Vec<(UsageKey, Amount)> = counts
            .iter()
            .filter(|row| hours.contains(&row.hour))
            .map(|row| (self.usage_key(row), Amount::from(*row)))
            .collect();
        let mut held = self.organizations.entry(organization.into()).or_default();
        let mut changed = false;
        for (key, amount) in keyed {
            changed |= held.add(key, amount);
        }
        for row in services {
            changed |= held.catalog.apply(&self.name(&row.region), row);
        }
        changed.then(|| held.key().clone())
    }

    fn usage_key(&self, row: &CountRow) -> UsageKey {
        UsageKey {
            month: month_of_hour(row.hour),
            region: self.name(&row.region),
            meter: self.name(&row.meter),
        }
    }

    fn name(&self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        self.names.insert(name.clone());
        name
    }

    /// Keeps in mind that the organization has usage, if only of other months.
    pub fn know(&self, organization: &str) {
        self.organizations.entry(organization.into()).or_default();
    }

    /// Keeps in mind that no block which counted when the store was asked, or before, says anything of
    /// the organization. The table must be from before the question.
    pub fn know_absent(&self, organization: &str) {
        if organization.len() > LONGEST_ABSENT {
            return;
        }
        if self.absent.len() >= MOST_ABSENT {
            self.absent.clear();
        }
        self.absent.insert(organization.into());
    }

    /// Whether nothing was ever used by the organization.
    pub fn is_absent(&self, organization: &str) -> bool {
        self.absent.contains(organization) && !self.organizations.contains_key(organization)
    }

    /// The organization's figures of a month that the table holds, its catalog as it is now; `None`
    /// where the table never heard of it.
    pub fn totals(&self, organization: &str, month: Month) -> Option<Totals> {
        debug_assert!(self.holds(month), "the table since {} does not hold {month}", self.since);
        self.organizations.get(organization).map(|held| held.totals(month))
    }

    /// Every organization's value of a meter in a month that the table holds, in no order.
    pub fn for_each(&self, month: Month, meter: &str, mut visit: impl FnMut(&Arc<str>, u128)) {
        for entry in &self.organizations {
            let used = entry.usage.iter().filter(|(key, _)| key.month == month && &*key.meter == meter);
            let value = used.map(|(_, amount)| amount.value()).sum();
            if value > 0 {
                visit(entry.key(), value);
            }
        }
    }

    pub fn organizations(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.organizations.iter().map(|entry| entry.key().clone())
    }

    pub fn len(&self) -> usize {
        self.organizations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.organizations.is_empty()
    }
}

fn month_of_hour(hour: u32) -> Month {
    Month::containing(i64::from(hour) * crate::event::HOUR_MS)
}
