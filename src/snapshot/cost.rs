//! What a month costs so far.
//!
//! A plan that covers the whole month bills what stands in memory. Where a plan changed in the
//! month, or services did, what was used when is read from the store: the basis. It is kept for a
//! while, because what it says lies in the past and changes by late events alone.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::{DashMap, DashSet};
use futures::future::join_all;
use tokio::sync::Semaphore;

use crate::accounts::Account;
use crate::aggregate::{CountRow, Fold, ServiceRow};
use crate::clock;
use crate::event::PlanPeriod;
use crate::month::Month;
use crate::rating::{Estimate, MonthUsage, PriceBookVersion, Span, estimate};

use super::plans::instant_of;
use super::register::{ServiceCounts, peak};
use super::service::{REGION_DEADLINE, SnapshotError, Snapshots};
use super::table::{RegionTotals, Totals};
use super::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};

/// An answer is not made from an older basis.
const BASIS_KEPT: Duration = Duration::from_secs(5);
/// For the snapshots topic, which tells of every change of everyone.
const BASIS_KEPT_FOR_TOPIC: Duration = Duration::from_secs(60);
/// Bases of about 1 KiB each; beyond that many, the old ones are forgotten.
const MOST_BASES: usize = 200_000;
/// Bases that are read at once for the topic.
const PARALLEL_READS: usize = 4;

type Key = (String, Month);

/// The bases that are known.
#[derive(Debug)]
pub(super) struct Bases {
    known: DashMap<Key, Arc<Basis>>,
    /// Those that are being read for the topic.
    reading: DashSet<Key>,
    reads: Arc<Semaphore>,
}

impl Default for Bases {
    fn default() -> Self {
        let reads = Arc::new(Semaphore::new(PARALLEL_READS));
        Self { known: DashMap::new(), reading: DashSet::new(), reads }
    }
}

impl Bases {
    fn put(&self, key: Key, basis: Arc<Basis>) {
        if self.known.len() >= MOST_BASES {
            self.known.retain(|_, basis| clock::instant() - basis.read_at < BASIS_KEPT_FOR_TOPIC);
        }
        self.known.insert(key, basis);
    }
}

/// When within a month an organization used what.
#[derive(Debug)]
pub(super) struct Basis {
    /// What it was made for.
    periods: Vec<PlanPeriod>,
    services_changed_ms: Option<i64>,
    services: ServiceCounts,
    parts: Vec<BasisPart>,
    read_at: Instant,
}

/// The part of one plan.
#[derive(Debug, PartialEq, Eq)]
struct BasisPart {
    spans: Vec<Span>,
    /// By meter that adds up: what was used outside the hours that the plan bills.
    outside: HashMap<String, u128>,
    /// By meter that keeps its greatest value: that within them.
    greatest: HashMap<String, u128>,
    peak: ServiceCounts,
}

impl BasisPart {
    fn of(spans: Vec<Span>, counts: &[CountRow], services: &[ServiceRow]) -> Self {
        let mut part = Self {
            outside: HashMap::new(),
            greatest: HashMap::new(),
            peak: spans
                .iter()
                .map(|span| peak(services, span.from_ms..span.to_ms))
                .fold(ServiceCounts::default(), ServiceCounts::max),
            spans,
        };
        for row in counts {
            let billed = part.spans.iter().any(|span| span.hours().contains(&row.hour));
            match (row.fold, billed) {
                (Fold::Sum, false) => *part.outside.entry(row.meter.clone()).or_default() += row.value,
                (Fold::Max, true) => {
                    let greatest = part.greatest.entry(row.meter.clone()).or_default();
                    *greatest = row.value.max(*greatest);
                }
                (Fold::Sum, true) | (Fold::Max, false) => {}
            }
        }
        part
    }
}

impl Basis {
    fn is_for(&self, account: &Account) -> bool {
        self.periods == account.periods
    }

    fn is_fresh(&self, totals: &Totals, kept: Duration) -> bool {
        clock::instant() - self.read_at < kept
            && self.services_changed_ms == totals.services_changed_ms
            && self.services == totals.sum().services
    }
}

/// What rating sees of a month.
struct Billed<'a> {
    month: Month,
    now_ms: i64,
    totals: RegionTotals,
    regions: u64,
    basis: Option<&'a Basis>,
}

impl Billed<'_> {
    fn part(&self, spans: &[Span]) -> Option<&BasisPart> {
        self.basis?.parts.iter().find(|part| part.spans == spans)
    }

    fn services(&self, spans: &[Span]) -> ServiceCounts {
        let peak = self.part(spans).map(|part| part.peak);
        let lasts = spans.last().is_some_and(|span| instant_of(self.month, self.now_ms) < span.to_ms);
        match peak {
            None => self.totals.services,
            Some(peak) if lasts => peak.max(self.totals.services),
            Some(peak) => peak,
        }
    }

    fn used(&self, meter: &str, spans: &[Span]) -> u128 {
        let Some(amount) = self.totals.meters.get(meter) else { return 0 };
        let Some(part) = self.part(spans) else { return amount.value() };
        let outside = part.outside.get(meter).copied().unwrap_or(0);
        // A basis may be somewhat newer than the totals.
        amount.sum().saturating_sub(outside) + part.greatest.get(meter).copied().unwrap_or(0)
    }
}

impl MonthUsage for Billed<'_> {
    fn quantity(&self, meter: &str, spans: &[Span]) -> u64 {
        match meter {
            SERVICES => self.services(spans).services,
            PUBLISHED_SERVICES => self.services(spans).published,
            REGIONS => self.regions,
            _ => u64::try_from(self.used(meter, spans)).unwrap_or(u64::MAX),
        }
    }

    fn adds_up(&self, meter: &str) -> bool {
        ![SERVICES, PUBLISHED_SERVICES, REGIONS].contains(&meter)
            && self.totals.meters.get(meter).is_none_or(|amount| amount.greatest() == 0)
    }
}

/// What is to be rated.
pub(super) struct Bill<'a> {
    pub account: &'a Account,
    pub version: &'a PriceBookVersion,
    pub month: Month,
    pub now_ms: i64,
    pub totals: &'a Totals,
}

impl Bill<'_> {
    /// A trial shows no cost.
    pub fn is_in_trial(&self) -> bool {
        self.account.trial_ends_ms(instant_of(self.month, self.now_ms)).is_some()
    }

    /// The spans of each plan that charges something.
    fn charged_spans(&self) -> Result<Vec<Vec<Span>>, SnapshotError> {
        let plans = self.version.charged_spans(self.month, &self.account.periods)?;
        Ok(plans.into_iter().map(|(_, spans)| spans).collect())
    }

    /// Whether what was used over the whole month is all that is asked for.
    pub fn needs_basis(&self) -> Result<bool, SnapshotError> {
        let whole = [Span::whole(self.month)];
        let steady = self.totals.services_changed_ms.is_none_or(|ms| ms <= self.month.start_ms());
        Ok(self.charged_spans()?.iter().any(|spans| spans[..] != whole || !steady))
    }

    pub fn rate(&self, basis: Option<&Basis>) -> Result<Estimate, SnapshotError> {
        let billed = Billed {
            month: self.month,
            now_ms: self.now_ms,
            totals: self.totals.sum(),
            regions: self.account.regions.len() as u64,
            basis,
        };
        Ok(estimate(self.version, self.month, &self.account.periods, self.now_ms, &billed)?)
    }

    fn key(&self) -> Key {
        (self.account.id.clone(), self.month)
    }
}

impl Snapshots {
    fn bill<'a>(&'a self, account: &'a Account, month: Month, totals: &'a Totals) -> Option<Bill<'a>> {
        let version = self.plans()?.book.at(month);
        let bill = Bill { account, version, month, now_ms: self.clock().now_ms(), totals };
        (!bill.is_in_trial()).then_some(bill)
    }

    /// `None` in a trial.
    pub(super) async fn cost(
        &self,
        account: &Account,
        month: Month,
        totals: &Totals,
    ) -> Result<Option<Estimate>, SnapshotError> {
        let (Some(plans), Some(bill)) = (self.plans(), self.bill(account, month, totals)) else {
            return Ok(None);
        };
        if !bill.needs_basis()? {
            return bill.rate(None).map(Some);
        }
        let known = plans.bases.known.get(&bill.key()).map(|basis| basis.clone());
        let basis = match known.filter(|basis| basis.is_for(account) && basis.is_fresh(totals, BASIS_KEPT)) {
            Some(basis) => basis,
            None => self.read_basis(&bill).await?,
        };
        bill.rate(Some(&basis)).map(Some)
    }

    /// The cost from memory: the outer `None` where it can't be told yet. It is then read, and
    /// whoever waits for the organization's figures is told.
    pub(super) fn cost_in_memory(
        &self,
        account: &Arc<Account>,
        month: Month,
        totals: &Totals,
    ) -> Option<Option<Estimate>> {
        let (Some(plans), Some(bill)) = (self.plans(), self.bill(account, month, totals)) else {
            return Some(None);
        };
        let told = |cost: Result<Estimate, SnapshotError>| {
            cost.inspect_err(|error| tracing::error!(organization = %account.id, %error, "estimate a cost"))
                .ok()
        };
        match bill.needs_basis() {
            Ok(false) => return told(bill.rate(None)).map(Some),
            Ok(true) => {}
            Err(error) => return told(Err(error)).map(Some),
        }
        let known = plans.bases.known.get(&bill.key()).map(|basis| basis.clone());
        let basis = known.filter(|basis| basis.is_for(account));
        if !basis.as_ref().is_some_and(|basis| basis.is_fresh(totals, BASIS_KEPT_FOR_TOPIC)) {
            self.read_basis_later(account.clone(), month, totals.clone());
        }
        told(bill.rate(Some(&*basis?))).map(Some)
    }

    fn read_basis_later(&self, account: Arc<Account>, month: Month, totals: Totals) {
        let Some(plans) = self.plans().cloned() else { return };
        let key = (account.id.clone(), month);
        if !plans.bases.reading.insert(key.clone()) {
            return;
        }
        let snapshots = self.clone();
        tokio::spawn(async move {
            let permit = plans.bases.reads.clone().acquire_owned().await;
            if let Some(bill) = snapshots.bill(&account, month, &totals)
                && let Err(error) = snapshots.read_basis(&bill).await
            {
                tracing::debug!(organization = %account.id, %error, "read what a cost is made of");
            }
            plans.bases.reading.remove(&key);
            snapshots.changes().mark(&Arc::from(account.id.as_str()));
            drop(permit);
        });
    }

    async fn read_basis(&self, bill: &Bill<'_>) -> Result<Arc<Basis>, SnapshotError> {
        let basis = Arc::new(self.load_basis(bill).await?);
        if let Some(plans) = self.plans() {
            plans.bases.put(bill.key(), basis.clone());
        }
        Ok(basis)
    }

    /// A region that does not answer is missing here as it is in the figures, which say so.
    pub(super) async fn load_basis(&self, bill: &Bill<'_>) -> Result<Basis, SnapshotError> {
        let read_at = clock::instant();
        let reads = self.deployments().map(|deployment| {
            let history = deployment.history(&bill.account.id, bill.month);
            tokio::time::timeout(REGION_DEADLINE, history)
        });
        let mut counts = Vec::new();
        let mut services = Vec::new();
        for (place, history) in join_all(reads).await.into_iter().enumerate() {
            match history {
                Ok(Ok((more_counts, more_services))) => {
                    counts.extend(more_counts);
                    services.extend(more_services);
                }
                // The first is our own, and without it there is no answer.
                Ok(Err(error)) if place == 0 => return Err(error.into()),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let spans = bill.charged_spans()?;
        Ok(Basis {
            periods: bill.account.periods.clone(),
            services_changed_ms: bill.totals.services_changed_ms,
            services: bill.totals.sum().services,
            parts: spans.into_iter().map(|spans| BasisPart::of(spans, &counts, &services)).collect(),
            read_at,
        })
    }
}
