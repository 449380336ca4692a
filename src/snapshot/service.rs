use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

use super::changes::Changes;
use super::completeness::FRESH_WITHIN_MS;
use super::deployment::Deployment;
use super::plans::{self, Plans};
use super::series::{Point, Series, catalog_points};
use super::usage::{Figures, PUBLISHED_SERVICES, SERVICES, Usage, lay_out};
use crate::accounts::{Account, AccountError};
use crate::clock::{Clock, Time};
use crate::event::API_CALLS;
use crate::month::Month;
use crate::rating::{Estimate, RatingError};
use crate::store::{SeriesQuery, StoreError};

/// Another region that takes longer than this to answer, or whose figures are older, is silent.
pub(super) const REGION_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is looked whether the figures have come up to a time.
const REACH_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("read usage of region {region}: no answer within {} s", REGION_DEADLINE.as_secs())]
    Silent { region: Arc<str> },
    #[error(transparent)]
    Accounts(#[from] AccountError),
    #[error(transparent)]
    Rating(#[from] RatingError),
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
    /// `None`: usage alone is shown.
    plans: Option<Arc<Plans>>,
}

/// The deployments' figures of one organization's month, joined.
pub(super) struct Joined {
    pub figures: Figures,
    /// Regions that did not answer, with the reason.
    pub silent: BTreeMap<Arc<str>, String>,
}

type Answer = Result<Option<Figures>, SnapshotError>;

impl Snapshots {
    pub fn new(
        local: Arc<Deployment>,
        others: Vec<Arc<Deployment>>,
        meters: Vec<Arc<str>>,
        changes: Arc<Changes>,
        clock: Clock,
    ) -> Self {
        Self { local, others: others.into(), meters: meters.into(), changes, clock, plans: None }
    }

    /// Shows plans and costs too. Whoever's account changes is told to streams and the topic.
    pub fn with_plans(mut self, plans: Plans) -> Self {
        let changes = self.changes.clone();
        plans.accounts().on_change(Box::new(move |organization| changes.mark(&Arc::from(organization))));
        self.plans = Some(Arc::new(plans));
        self
    }

    pub(super) fn plans(&self) -> Option<&Arc<Plans>> {
        self.plans.as_ref()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        std::iter::once(&self.local).chain(self.others.iter())
    }

    pub fn current_month(&self) -> Month {
        Month::containing(self.clock.now_ms())
    }

    /// The meters that events add to: `api_calls`, then the configured ones.
    pub fn event_meters(&self) -> impl Iterator<Item = &str> {
        std::iter::once(API_CALLS).chain(self.meters.iter().map(|meter| &**meter))
    }

    /// `None`: the organization has no account and never used anything.
    pub async fn usage(&self, organization: &str, month: Month) -> Result<Option<Usage>, SnapshotError> {
        let account = self.account(organization).await?;
        let Some(joined) = self.figures(organization, month, account.is_some()).await? else {
            return Ok(None);
        };
        let cost = match &account {
            Some(account) => self.cost(account, month, &joined.figures.totals).await?,
            None => None,
        };
        Ok(Some(self.show(organization.into(), month, joined, account.as_deref(), cost)))
    }

    /// The current month's usage from memory alone; `None` where it isn't there.
    pub fn current(&self, organization: &Arc<str>) -> Option<Usage> {
        let month = self.current_month();
        let account = self.account_in_memory(organization);
        // Without its account it would look like one that nothing limits.
        if self.is_damaged(organization) {
            return None;
        }
        let joined = self.figures_in_memory(organization, month, account.is_some())?;
        let cost = match &account {
            Some(account) => self.cost_in_memory(account, month, &joined.figures.totals)?,
            None => None,
        };
        Some(self.show(organization.clone(), month, joined, account.as_deref(), cost))
    }

    /// An organization that `has_account` has figures also where it used nothing.
    pub(super) async fn figures(
        &self,
        organization: &str,
        month: Month,
        has_account: bool,
    ) -> Result<Option<Joined>, SnapshotError> {
        let others = self.others.iter().map(|other| answer_of(other, organization, month, has_account));
        let local = figures_of(&self.local, organization, month, has_account);
        let (local, others) = tokio::join!(local, join_all(others));
        let answers = self.others.iter().map(|other| other.region().clone()).zip(others);
        Ok(self.join(local?, answers))
    }

    pub(super) fn figures_in_memory(
        &self,
        organization: &str,
        month: Month,
        has_account: bool,
    ) -> Option<Joined> {
        let of = |deployment: &Deployment| deployment.figures_in_memory(organization, month, has_account);
        let local = of(&self.local)?;
        let answers = self.others.iter().map(|other| {
            let answer = of(other).ok_or_else(|| silence(other)).and_then(|known| fresh(other, known));
            (other.region().clone(), answer)
        });
        self.join(local, answers)
    }

    fn join(
        &self,
        local: Option<Figures>,
        others: impl Iterator<Item = (Arc<str>, Answer)>,
    ) -> Option<Joined> {
        let mut figures = local;
        let mut silent = BTreeMap::new();
        for (region, answer) in others {
            match (figures.take(), answer) {
                (held, Ok(None)) => figures = held,
                (None, Ok(known)) => figures = known,
                (Some(held), Ok(Some(known))) => figures = Some(held.join(&known)),
                (held, Err(error)) => {
                    figures = held;
                    tracing::debug!(%region, %error, "read usage of another region");
                    // Customers see it: how it is reached is none of their business.
                    let reason = format!("region {region} does not answer");
                    silent.insert(region, reason);
                }
            }
        }
        let figures = match figures {
            Some(figures) => figures,
            None if silent.is_empty() => return None,
            // Whether the organization has usage there is not known: better nothing than a denial.
            None => Figures::nothing(self.clock.now()),
        };
        Some(Joined { figures, silent })
    }

    fn show(
        &self,
        organization: Arc<str>,
        month: Month,
        joined: Joined,
        account: Option<&Account>,
        cost: Option<Estimate>,
    ) -> Usage {
        let Joined { mut figures, silent } = joined;
        for region in account.iter().flat_map(|account| &account.regions) {
            if !silent.contains_key(region.as_str()) {
                figures.totals.regions.entry(region.as_str().into()).or_default();
            }
        }
        let mut usage = lay_out(organization, month, &figures, &self.meters, silent);
        if let Some(account) = account {
            plans::show_account(&mut usage, account, month, self.clock.now_ms());
            usage.estimated_cost = cost;
        }
        usage
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

    /// Whether this deployment's figures hold every event until a moment ago.
    pub fn is_current(&self) -> bool {
        self.local.has_reached(self.clock.now_ms() - FRESH_WITHIN_MS)
    }

    /// Waits until this deployment's figures are of `now` and hold every event until then, for
    /// `patience` at most: for a clock that was moved.
    pub async fn reach(&self, now: Time, patience: Duration) {
        let until_reached = async {
            while !self.local.has_reached(now.0) {
                tokio::time::sleep(REACH_INTERVAL).await;
            }
        };
        // Whoever asks too early is told that the figures are not complete.
        let _ = tokio::time::timeout(patience, until_reached).await;
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
    has_account: bool,
) -> Answer {
    let answer = figures_of(deployment, organization, month, has_account);
    let answer = tokio::time::timeout(REGION_DEADLINE, answer).await;
    fresh(deployment, answer.map_err(|_| silence(deployment))??)
}

async fn figures_of(
    deployment: &Arc<Deployment>,
    organization: &str,
    month: Month,
    has_account: bool,
) -> Answer {
    Ok(deployment.figures(organization, month, has_account).await?)
}

/// What is followed in memory stands still when the region does not answer any more.
fn fresh(deployment: &Deployment, known: Option<Figures>) -> Answer {
    match &known {
        Some(figures) if !deployment.is_recent(figures.as_of) => Err(silence(deployment)),
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
