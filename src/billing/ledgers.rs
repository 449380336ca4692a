//! The deployments' ledgers, now or as a month was closed, and what they say of organizations.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;

use crate::aggregate::{BlockKind, CountRow, LedgerRow};
use crate::month::Month;
use crate::rating::Span;
use crate::snapshot::Deployment;
use crate::snapshot::register::Peaks;
use crate::store::closings::as_of;
use crate::store::{Grain, StoreError};

use super::closing::Closing;
use super::counted::{Counted, SpanPeaks, Wanted};
use super::error::{BillingError, BillingResult};
use super::service_changes::ServiceChanges;

/// The rows that count, by deployment.
#[derive(Clone, Debug)]
pub struct Ledgers(Vec<(Arc<Deployment>, Vec<LedgerRow>)>);

/// What one ledger has beyond an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Blocks that hold whatever came or went.
    rows: Vec<LedgerRow>,
    /// No event that came or went is earlier, in epoch milliseconds.
    earliest_ms: Option<i64>,
}

pub(super) fn silent(deployment: &Deployment) -> impl Fn(StoreError) -> BillingError {
    let region = deployment.region().clone();
    move |source| BillingError::Store { region: region.clone(), source }
}

impl Ledgers {
    pub fn of(ledgers: Vec<(Arc<Deployment>, Vec<LedgerRow>)>) -> Self {
        Self(ledgers)
    }

    /// As they are now.
    pub async fn now(deployments: &[Arc<Deployment>]) -> BillingResult<Self> {
        let reads = deployments.iter().map(|deployment| async move {
            let rows = deployment.store().counting_rows().await.map_err(silent(deployment))?;
            Ok((deployment.clone(), rows.into_iter().map(|published| published.row).collect()))
        });
        try_join_all(reads).await.map(Self)
    }

    /// As the closings had them. Each of their regions must be among the deployments.
    pub async fn as_of(deployments: &[Arc<Deployment>], closings: &[&Closing]) -> BillingResult<Vec<Self>> {
        for closing in closings {
            require_regions(deployments, closing)?;
        }
        let reads = deployments.iter().map(|deployment| async move {
            let rows = deployment.store().published_since(0).await.map_err(silent(deployment))?;
            Ok::<_, BillingError>(rows.into_iter().map(|published| published.row).collect::<Vec<_>>())
        });
        let rows = try_join_all(reads).await?;
        let standing = |closing: &&Closing| {
            let ledgers = deployments.iter().zip(&rows).map(|(deployment, rows)| {
                (deployment.clone(), as_of(rows.clone(), &closing.lanes(deployment.region())))
            });
            Self(ledgers.collect())
        };
        Ok(closings.iter().map(standing).collect())
    }

    /// What the organizations used in the month, each as finely as asked for.
    pub async fn counted(
        &self,
        month: Month,
        wanted: &[Wanted<'_>],
    ) -> BillingResult<HashMap<String, Counted>> {
        let named = |grain: Grain| -> Vec<&str> {
            wanted.iter().filter(|one| one.grain == grain).map(|one| one.organization).collect()
        };
        let (whole, hourly) = (named(Grain::Whole), named(Grain::Hour));
        let reads = self.0.iter().map(|(deployment, rows)| {
            let (whole, hourly) = (&whole, &hourly);
            async move {
                tokio::try_join!(
                    read_counts(deployment, rows, whole, month, Grain::Whole),
                    read_counts(deployment, rows, hourly, month, Grain::Hour),
                )
                .map_err(silent(deployment))
            }
        });
        let (counts, peaks) = tokio::try_join!(try_join_all(reads), self.peaks(month, wanted))?;
        let mut counted: HashMap<String, Counted> = HashMap::new();
        for row in counts.into_iter().flat_map(|(whole, hourly)| whole.into_iter().chain(hourly)) {
            counted.entry(row.organization.clone()).or_default().counts.push(row);
        }
        for (organization, peaks) in peaks {
            counted.entry(organization).or_default().peaks = peaks;
        }
        Ok(counted)
    }

    /// The most services that the organizations had, all deployments together.
    async fn peaks(&self, month: Month, wanted: &[Wanted<'_>]) -> BillingResult<HashMap<String, SpanPeaks>> {
        let organizations: Vec<&str> = wanted.iter().map(|one| one.organization).collect();
        let mut streams = Vec::new();
        for (deployment, rows) in self.0.iter().filter(|(_, rows)| !rows.is_empty() && !wanted.is_empty()) {
            let changes = deployment.store().billed_services(rows, &organizations, month.end_ms());
            streams.push((deployment.clone(), changes.map_err(silent(deployment))?));
        }
        let mut changes = ServiceChanges::begin(streams).await?;
        let spans: HashMap<&str, &[Span]> =
            wanted.iter().map(|one| (one.organization, one.spans.as_slice())).collect();
        let mut peaks = HashMap::new();
        while let Some(organization) = changes.organization().map(str::to_owned) {
            let spans = spans.get(organization.as_str()).copied().unwrap_or_default();
            let mut of_organization = Peaks::over(spans.iter().map(|span| span.from_ms..span.to_ms));
            while let Some(row) = changes.next_of(&organization).await? {
                of_organization.take(&row);
            }
            peaks.insert(organization, of_organization.finish());
        }
        Ok(peaks)
    }

    /// By deployment, what is in these ledgers and not in the earlier ones, or the other way round.
    pub fn changed_since(&self, earlier: &Self) -> Vec<(Arc<Deployment>, Changed)> {
        let changed = |(deployment, rows): &(Arc<Deployment>, Vec<LedgerRow>)| {
            let before = earlier.0.iter().find(|(other, _)| other.region() == deployment.region());
            let before = before.map_or(&[][..], |(_, rows)| rows.as_slice());
            (deployment.clone(), Changed::between(before, rows))
        };
        self.0.iter().map(changed).collect()
    }
}

async fn read_counts(
    deployment: &Deployment,
    rows: &[LedgerRow],
    organizations: &[&str],
    month: Month,
    grain: Grain,
) -> Result<Vec<CountRow>, StoreError> {
    if organizations.is_empty() || rows.is_empty() {
        return Ok(Vec::new());
    }
    deployment.store().billed_counts(rows, organizations, &month.hours(), grain).await
}

fn require_regions(deployments: &[Arc<Deployment>], closing: &Closing) -> BillingResult<()> {
    let is_there = |region: &str| deployments.iter().any(|deployment| &**deployment.region() == region);
    match closing.regions().into_iter().find(|region| !is_there(region)) {
        None => Ok(()),
        Some(region) => Err(BillingError::RegionMissing { month: closing.month, region: region.to_owned() }),
    }
}

impl Changed {
    /// A block that both have changed nothing, nor did a roll that stands for blocks of before.
    fn between(before: &[LedgerRow], after: &[LedgerRow]) -> Self {
        let known: HashMap<_, _> = before.iter().map(|row| (row.block, row)).collect();
        let kept: HashMap<_, _> = after.iter().map(|row| (row.block, row)).collect();
        let covered_by = |rows: &[LedgerRow], row: &LedgerRow| rows.iter().any(|other| other.covers(row));
        let ends: HashMap<_, i64> = before.iter().fold(HashMap::new(), |mut ends, row| {
            let end = ends.entry(&row.lane).or_insert(row.next_offset);
            *end = row.next_offset.max(*end);
            ends
        });
        let is_new = |row: &&LedgerRow| {
            let within = ends.get(&row.lane).is_some_and(|end| row.next_offset <= *end);
            let stands_for_others = row.kind == BlockKind::Roll && within;
            !stands_for_others && !known.contains_key(&row.block)
        };
        let came: Vec<&LedgerRow> = after.iter().filter(is_new).collect();
        let recounts: Vec<LedgerRow> =
            came.iter().filter(|row| row.kind == BlockKind::Recount).map(|row| (*row).clone()).collect();
        let went = before.iter().filter(|row| !kept.contains_key(&row.block) && covered_by(&recounts, row));
        let rows: Vec<LedgerRow> = came.into_iter().chain(went).cloned().collect();
        let earliest_ms = rows.iter().filter_map(|row| row.times).map(|(earliest, _)| earliest).min();
        Self { rows, earliest_ms }
    }

    pub fn earliest_ms(&self) -> Option<i64> {
        self.earliest_ms
    }

    /// The organizations of which something earlier than the instant came or went.
    pub async fn organizations_before(
        &self,
        deployment: &Deployment,
        epoch_ms: i64,
    ) -> BillingResult<Vec<String>> {
        if self.earliest_ms.is_none_or(|earliest| epoch_ms <= earliest) {
            return Ok(Vec::new());
        }
        let rows: Vec<LedgerRow> =
            self.rows.iter().filter(|row| starts_before(row, epoch_ms)).cloned().collect();
        deployment.store().organizations_before(&rows, epoch_ms).await.map_err(silent(deployment))
    }
}

fn starts_before(row: &LedgerRow, epoch_ms: i64) -> bool {
    row.times.is_some_and(|(earliest, _)| earliest < epoch_ms)
}
