use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

use super::changes::Changes;
use super::deployment::Deployment;
use super::series::{Point, Series, catalog_points};
use super::usage::{Figures, PUBLISHED_SERVICES, SERVICES, Usage, lay_out};
use crate::clock::Clock;
use crate::event::API_CALLS;
use crate::month::Month;
use crate::store::{SeriesQuery, StoreError};

/// Another region that takes longer than this to answer, or whose figures are older, is silent.
const REGION_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("read usage of region {region}: no answer within {} s", REGION_DEADLINE.as_secs())]
    Silent { region: Arc<str> },
}

/// Every organization's usage, from all deployments together. Clones share everything.
#[derive(Clone, Debug)]
pub struct Snapshots {
    local: Arc<Deployment>,
    others: Arc<[Arc<Deployment>]>,
    /// Configured meters, in the order of the configuration.
    meters: Arc<[Arc<str>]>,
    changes: Arc<Changes>,
    clock: Clock,
}

impl Snapshots {
    pub fn new(
        local: Arc<Deployment>,
        others: Vec<Arc<Deployment>>,
        meters: Vec<Arc<str>>,
        changes: Arc<Changes>,
        clock: Clock,
    ) -> Self {
        Self { local, others: others.into(), meters: meters.into(), changes, clock }
    }

    pub fn current_month(&self) -> Month {
        Month::containing(self.clock.now_ms())
    }

    /// The meters that events add to: `api_calls`, then the configured ones.
    pub fn event_meters(&self) -> impl Iterator<Item = &str> {
        std::iter::once(API_CALLS).chain(self.meters.iter().map(|meter| &**meter))
    }

    /// `None`: the organization never used anything.
    pub async fn usage(&self, organization: &str, month: Month) -> Result<Option<Usage>, SnapshotError> {
        let others = join_all(self.others.iter().map(|other| answer_of(other, organization, month)));
        let (local, others) = tokio::join!(self.local.figures(organization, month), others);
        let answers = self.others.iter().map(|other| other.region().clone()).zip(others);
        Ok(self.join(organization.into(), month, local?, answers))
    }

    /// The current month's usage from memory alone; `None` where it isn't there.
    pub fn current(&self, organization: &Arc<str>) -> Option<Usage> {
        let month = self.current_month();
        let local = self.local.figures_in_memory(organization, month)?;
        let answers = self.others.iter().map(|other| {
            let figures = other.figures_in_memory(organization, month);
            let answer = figures.ok_or_else(|| silence(other)).and_then(|known| fresh(other, known));
            (other.region().clone(), answer)
        });
        self.join(organization.clone(), month, local, answers)
    }

    fn join(
        &self,
        organization: Arc<str>,
        month: Month,
        local: Option<Figures>,
        others: impl Iterator<Item = (Arc<str>, Result<Option<Figures>, SnapshotError>)>,
    ) -> Option<Usage> {
        let mut figures = local;
        let mut silent = BTreeMap::new();
        for (region, answer) in others {
            match (figures.take(), answer) {
                (held, Ok(None)) => figures = held,
                (None, Ok(known)) => figures = known,
                (Some(held), Ok(Some(known))) => figures = Some(held.join(&known)),
                (held, Err(error)) => {
                    figures = held;
                    silent.insert(region, error.to_string());
                }
            }
        }
        let figures = match figures {
            Some(figures) => figures,
            None if silent.is_empty() => return None,
            // Whether the organization has usage there is not known: better nothing than a denial.
            None => Figures::nothing(self.clock.now()),
        };
        Some(lay_out(organization, month, &figures, &self.meters, silent))
    }

    /// The points of a series in the order of (start, region, meter). Every deployment must answer.
    pub async fn series(&self, organization: &str, series: &Series) -> Result<Vec<Point>, SnapshotError> {
        let deployments = std::iter::once(&self.local).chain(self.others.iter());
        let answers = join_all(deployments.map(|deployment| async move {
            let answer = points_of(deployment, organization, series);
            let silent = || SnapshotError::Silent { region: deployment.region().clone() };
            tokio::time::timeout(REGION_DEADLINE, answer).await.map_err(|_| silent())?
        }))
        .await;
        let mut points = Vec::new();
        for answer in answers {
            points.extend(answer?);
        }
        Ok(Point::join(points))
    }

    /// Whether the organization ever used anything.
    pub async fn knows(&self, organization: &str) -> Result<bool, SnapshotError> {
        Ok(self.usage(organization, self.current_month()).await?.is_some())
    }

    /// Tells when the organization's current figures change.
    pub fn watch(&self, organization: &Arc<str>) -> watch::Receiver<()> {
        self.changes.watch(organization)
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }
}

async fn answer_of(
    deployment: &Arc<Deployment>,
    organization: &str,
    month: Month,
) -> Result<Option<Figures>, SnapshotError> {
    let answer = tokio::time::timeout(REGION_DEADLINE, deployment.figures(organization, month)).await;
    fresh(deployment, answer.map_err(|_| silence(deployment))??)
}

/// What is followed in memory stands still when the region does not answer any more.
fn fresh(deployment: &Deployment, known: Option<Figures>) -> Result<Option<Figures>, SnapshotError> {
    let deadline = i64::try_from(REGION_DEADLINE.as_millis()).unwrap_or(i64::MAX);
    match &known {
        Some(figures) if deployment.now_ms() - figures.as_of.0 > deadline => Err(silence(deployment)),
        _ => Ok(known),
    }
}

fn silence(deployment: &Deployment) -> SnapshotError {
    SnapshotError::Silent { region: deployment.region().clone() }
}

async fn points_of(
    deployment: &Deployment,
    organization: &str,
    series: &Series,
) -> Result<Vec<Point>, SnapshotError> {
    if let Some(SERVICES | PUBLISHED_SERVICES) = series.meter.as_deref() {
        let rows = deployment.services(organization).await?;
        return Ok(catalog_points(&rows, series));
    }
    let query = SeriesQuery {
        organization,
        hours: series.hours.clone(),
        window: series.window,
        meter: series.meter.as_deref(),
        region: series.region.as_deref(),
    };
    let points = deployment.series(&query).await?;
    Ok(points.into_iter().map(|point| Point::of(point, series)).collect())
}
