//! One deployment's ClickHouse, as readers see it: what is followed in memory, else read on demand.

use std::sync::{Arc, PoisonError, RwLock};

use super::completeness::{Acceptance, Expected, Loss, complete_through, is_complete, losses};
use super::ledger::LedgerView;
use super::register::Catalog;
use super::service::REGION_DEADLINE;
use super::table::{Table, Totals};
use super::usage::Figures;
use super::watermarks::Watermarks;
use crate::aggregate::{CountRow, LedgerRow, ServiceRow};
use crate::clock::{Clock, Time};
use crate::event::{EARLIEST_TIME_MS, LATEST_TIME_MS};
use crate::month::Month;
use crate::store::{SeriesPoint, SeriesQuery, Store, StoreError};

/// What decides whether a deployment's figures are complete.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The deployment's region, by which it is named where it does not answer.
    pub region: Arc<str>,
    /// The configured topics; empty where they are not known.
    pub topics: Vec<String>,
    pub acceptance: Acceptance,
}

/// One deployment.
#[derive(Debug)]
pub struct Deployment {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// `None` until it was read for the first time, and where it is not followed.
    view: RwLock<Option<Arc<View>>>,
    /// Partitions by topic, where the broker was asked.
    expected: RwLock<Expected>,
}

/// A ledger at an instant.
#[derive(Clone, Debug)]
pub struct Look {
    /// The rows that count.
    pub rows: Vec<LedgerRow>,
    /// Every event that had reached Kafka by then is in the rows; `None` where that is not known.
    pub complete_through: Option<Time>,
    pub losses: Arc<[Loss]>,
}

/// What was followed up to an instant. The table may already hold somewhat more.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub table: Arc<Table>,
    pub as_of: Time,
    pub standing: Standing,
}

/// How complete a deployment's figures are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub complete_through: Option<Time>,
    pub losses: Arc<[Loss]>,
}

impl Standing {
    pub(super) fn of(
        ledger: &LedgerView,
        marks: &Watermarks,
        expected: &Expected,
        acceptance: Acceptance,
    ) -> Self {
        let counting: Vec<_> =
            ledger.counting().iter().map(|published| (&published.row, published.published_at_ms)).collect();
        Self {
            complete_through: complete_through(&marks.standings(), expected),
            losses: losses(&counting, acceptance).into(),
        }
    }
}

impl Deployment {
    pub fn new(settings: Settings, store: Store, clock: Clock) -> Self {
        let topics = settings.topics.iter().cloned().collect();
        let expected = RwLock::new(Expected { topics, ..Expected::default() });
        Self { settings, store, clock, view: RwLock::new(None), expected }
    }

    pub fn region(&self) -> &Arc<str> {
        &self.settings.region
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Up to which instant the figures in memory hold every event; `None` where that is not known.
    pub fn complete_through(&self) -> Option<Time> {
        self.view()?.standing.complete_through
    }

    /// The ledger now, and how complete it is.
    pub async fn look(&self) -> Result<Look, StoreError> {
        let ledger = LedgerView::of(self.store.counting_rows().await?);
        let mut marks = Watermarks::default();
        self.read_watermarks(&ledger, &mut marks).await?;
        let standing = Standing::of(&ledger, &marks, &self.expected(), self.settings.acceptance);
        let Standing { complete_through, losses } = standing;
        Ok(Look { rows: ledger.rows(), complete_through, losses })
    }

    pub(super) fn view(&self) -> Option<Arc<View>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(view));
    }

    pub(super) fn expected(&self) -> Expected {
        self.expected.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many partitions the broker said at `asked_at` (epoch ms) that a topic has.
    pub fn expect_partitions(&self, topic: &str, partitions: usize, asked_at: i64) {
        let mut expected = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        expected.partitions.entry(topic.to_owned()).or_default().told(partitions, asked_at);
    }

    /// The broker said at `asked_at` (epoch ms) that nothing had ever reached the partition.
    pub fn expect_empty(&self, topic: &str, partition: usize, asked_at: i64) {
        let mut expected = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        expected.partitions.entry(topic.to_owned()).or_default().empty(partition, asked_at);
    }

    /// Whether the figures in memory are of `now_ms` or later, and hold every event until then.
    pub(super) fn has_reached(&self, now_ms: i64) -> bool {
        self.view().is_some_and(|view| {
            let through = view.standing.complete_through;
            view.as_of.0 >= now_ms && through.is_some_and(|through| through.0 >= now_ms)
        })
    }

    /// The figures of a month that has not ended, where they are in memory: no I/O. One that `is_known`
    /// has figures also where it used nothing. The outer `None`: they are not in memory; the inner: no
    /// usage of the organization is.
    pub(super) fn figures_in_memory(
        &self,
        organization: &str,
        month: Month,
        is_known: bool,
    ) -> Option<Option<Figures>> {
        // Before the totals: they hold at least what it calls complete.
        let view = self.view()?;
        if month.end_ms() <= self.clock.now_ms() || !view.table.holds(month) {
            return None;
        }
        let totals = match view.table.totals(organization, month) {
            None if !is_known => return Some(None),
            totals => totals.unwrap_or_default(),
        };
        Some(Some(figures(totals, month, view.as_of, &view.standing)))
    }

    /// The figures of any month; `None` where the organization never used anything and is not known
    /// otherwise.
    pub(super) async fn figures(
        &self,
        organization: &str,
        month: Month,
        is_known: bool,
    ) -> Result<Option<Figures>, StoreError> {
        let is_known = match self.figures_in_memory(organization, month, is_known) {
            Some(Some(figures)) => return Ok(Some(figures)),
            Some(None) if !self.has_usage(organization).await? => return Ok(None),
            // What it used may be new: the totals are looked at again.
            Some(None) => true,
            None => is_known,
        };
        match self.figures_in_memory(organization, month, is_known) {
            Some(figures) => Ok(figures),
            None => self.read_figures(organization, month, is_known).await,
        }
    }

    /// An organization's counts of the month by hour, and its service events of all times.
    pub(super) async fn history(
        &self,
        organization: &str,
        month: Month,
    ) -> Result<(Vec<CountRow>, Vec<ServiceRow>), StoreError> {
        tokio::try_join!(
            self.read_counts(organization, month),
            self.store.services_of_organization(organization)
        )
    }

    /// Whether an organization that the table has no figures of ever used anything. While the store is
    /// followed it is asked once: else whoever is new, or not known, would cost a query with each
    /// request. Where it is away, what was published since is not known.
    async fn has_usage(&self, organization: &str) -> Result<bool, StoreError> {
        let Some(view) = self.view() else { return self.store.has_usage(organization).await };
        if view.table.is_absent(organization) && self.is_recent(view.as_of) {
            return Ok(false);
        }
        let has_usage = self.store.has_usage(organization).await?;
        if has_usage {
            view.table.know(organization);
        } else {
            view.table.know_absent(organization);
        }
        Ok(has_usage)
    }

    async fn read_figures(
        &self,
        organization: &str,
        month: Month,
        is_known: bool,
    ) -> Result<Option<Figures>, StoreError> {
        let as_of = self.clock.now();
        // The standing first: what it calls complete is in the figures that are read after it.
        let standing = match self.view() {
            Some(view) => view.standing.clone(),
            None => self.read_standing().await?,
        };
        let (counts, services) = tokio::try_join!(
            self.read_counts(organization, month),
            self.store.services_of_organization(organization),
        )?;
        let is_known = is_known || !counts.is_empty() || !services.is_empty();
        if !is_known && !self.store.has_usage(organization).await? {
            return Ok(None);
        }
        let ended = month.end_ms() <= as_of.0;
        let catalog = if ended { Catalog::before(&services, month.end_ms()) } else { Catalog::of(&services) };
        Ok(Some(figures(Totals::of(&counts, &catalog, month), month, as_of, &standing)))
    }

    /// Nothing is counted before 2000 or from 2100 on, and the store's hours don't reach further.
    async fn read_counts(&self, organization: &str, month: Month) -> Result<Vec<CountRow>, StoreError> {
        if month.end_ms() <= EARLIEST_TIME_MS || LATEST_TIME_MS <= month.start_ms() {
            return Ok(Vec::new());
        }
        self.store.counts_of_organization(organization, month.hours()).await
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.settings.topics
    }

    /// Whether what was read then can be taken for what there is now.
    pub(super) fn is_recent(&self, as_of: Time) -> bool {
        let deadline = i64::try_from(REGION_DEADLINE.as_millis()).unwrap_or(i64::MAX);
        self.now_ms() - as_of.0 <= deadline
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) async fn series(&self, query: &SeriesQuery<'_>) -> Result<Vec<SeriesPoint>, StoreError> {
        self.store.series(query).await
    }

    pub(super) async fn services(&self, organization: &str) -> Result<Vec<ServiceRow>, StoreError> {
        self.store.services_of_organization(organization).await
    }

    async fn read_standing(&self) -> Result<Standing, StoreError> {
        Ok(self.read_ledger().await?.1)
    }

    /// The rows that count now, and how complete the figures are that they give.
    pub(super) async fn read_ledger(&self) -> Result<(LedgerView, Standing), StoreError> {
        let ledger = LedgerView::of(self.store.counting_rows().await?);
        let mut marks = Watermarks::default();
        self.read_watermarks(&ledger, &mut marks).await?;
        let standing = Standing::of(&ledger, &marks, &self.expected(), self.settings.acceptance);
        Ok((ledger, standing))
    }

    /// Brings `marks` up to the ledger's ends and all that was ever seen of the lanes.
    pub(super) async fn read_watermarks(
        &self,
        ledger: &LedgerView,
        marks: &mut Watermarks,
    ) -> Result<(), StoreError> {
        let ends = ledger.ends();
        let lanes: Vec<_> = ends.iter().map(|(lane, (end, _))| ((*lane).clone(), *end)).collect();
        marks.take(&self.store.progress(&lanes).await?);
        for (lane, (end, published_at)) in ends {
            marks.reach(lane, end, published_at);
        }
        Ok(())
    }
}

pub(super) fn figures(totals: Totals, month: Month, as_of: Time, standing: &Standing) -> Figures {
    let through = standing.complete_through;
    let complete = is_complete(month, through, as_of, &standing.losses);
    Figures { totals, as_of, complete_through: through, complete }
}
