//! Keeps a deployment's view up to date with what is published.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::changes::Changes;
use super::completeness::{complete_through, is_complete};
use super::deployment::{Deployment, Standing, View};
use super::ledger::LedgerView;
use super::progress::{Progress, Step};
use super::table::{Amount, Table};
use super::watermarks::Watermarks;
use crate::aggregate::{BlockId, CountRow, LedgerRow, ServiceRow};
use crate::clock;
use crate::month::Month;
use crate::store::{Store, StoreError};
use crate::telemetry::ReadinessCheck;

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// After an error the wait doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A poll that takes longer makes the process not ready.
const SILENCE: Duration = Duration::from_secs(5);
/// The whole ledger is read so often, in case something came later than it should or was taken away.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);
/// Rows that came to light long after their time stamp are looked for so often.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(5);
/// Looks at the logs' ends are read from so long before the latest: owners' clocks differ.
const WATERMARK_SLACK_MS: i64 = 10_000;
/// A block whose rows don't sum to what its ledger row says is read again for so long: a replica
/// may be behind.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "read block {block}: its rows sum to {sum}, its ledger row says {quantity}; run `odometer audit`"
    )]
    BlockDiffers { block: BlockId, sum: u128, quantity: u128 },
}

/// Follows the deployment until `shutdown`; `check` tells whether it is up to date.
pub async fn follow(
    deployment: Arc<Deployment>,
    changes: Arc<Changes>,
    check: ReadinessCheck,
    shutdown: CancellationToken,
) {
    let mut follower = Follower::new(deployment, changes);
    let mut wait = POLL_INTERVAL;
    let mut failing = false;
    loop {
        match within(SILENCE, &check, follower.poll()).await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(region = %follower.deployment.region(), "follow the ledger: it answers again");
                }
                check.ready();
                wait = POLL_INTERVAL;
            }
            Err(error) => {
                check.not_ready(error.to_string());
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(region = %follower.deployment.region(), %error, "follow the ledger; retrying");
                }
                metrics::counter!("odometer_snapshot_poll_failures_total").increment(1);
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Waits for a poll to its end; one that is without an answer for long is not ready meanwhile.
async fn within<T>(silence: Duration, check: &ReadinessCheck, poll: impl Future<Output = T>) -> T {
    tokio::pin!(poll);
    match tokio::time::timeout(silence, &mut poll).await {
        Ok(answer) => answer,
        Err(_) => {
            check.not_ready(format!("read ledger: no answer for {} s", silence.as_secs()));
            poll.await
        }
    }
}

struct Follower {
    deployment: Arc<Deployment>,
    changes: Arc<Changes>,
    state: Option<State>,
}

/// What the table in memory was made of.
struct State {
    table: Arc<Table>,
    ledger: LedgerView,
    progress: Progress,
    marks: Watermarks,
    standing: Standing,
    reconciled: Instant,
    looked_back: Instant,
    /// Since when a new block differs from its ledger row.
    differs_since: Option<Instant>,
}

/// Whose figures a step changed.
enum Changed {
    Some(Vec<Arc<str>>),
    /// Everyone's who is in the table now or was in this one.
    All(Option<Arc<Table>>),
}

impl Follower {
    fn new(deployment: Arc<Deployment>, changes: Arc<Changes>) -> Self {
        Self { deployment, changes, state: None }
    }

    async fn poll(&mut self) -> Result<(), FollowError> {
        let now = self.deployment.clock.now();
        let month = Month::containing(now.0);
        let completed = self.is_complete(month);
        let changed = match &mut self.state {
            Some(state) if state.table.since() == month => state.catch_up(&self.deployment).await?,
            state => {
                let before = state.as_ref().map(|state| state.table.clone());
                *state = Some(State::load(&self.deployment, month).await?);
                Changed::All(before)
            }
        };
        let Some(state) = &self.state else { return Ok(()) };
        let view = View { table: state.table.clone(), as_of: now, standing: state.standing.clone() };
        self.deployment.show(view);
        let changed = if completed == self.is_complete(month) { changed } else { Changed::All(None) };
        self.tell(&changed);
        Ok(())
    }

    /// Whether the figures that are shown are complete, as far as this deployment knows.
    fn is_complete(&self, month: Month) -> bool {
        self.deployment.view().is_some_and(|view| {
            let standing = &view.standing;
            is_complete(month, standing.complete_through, view.as_of, &standing.losses)
        })
    }

    fn tell(&self, changed: &Changed) {
        match changed {
            Changed::Some(organizations) => {
                organizations.iter().for_each(|organization| self.changes.mark(organization));
            }
            Changed::All(before) => {
                let tables = before.iter().chain(self.state.as_ref().map(|state| &state.table));
                tables.flat_map(|table| table.organizations()).for_each(|organization| {
                    self.changes.mark(&organization);
                });
                self.changes.mark_watched();
            }
        }
    }
}

impl State {
    /// Reads everything: first the gate, then what it lets through.
    async fn load(deployment: &Deployment, month: Month) -> Result<Self, StoreError> {
        let started = clock::instant();
        let store = &deployment.store;
        let ledger = LedgerView::of(store.counting_rows().await?);
        let rows = ledger.rows();
        let table = Arc::new(Table::new(month));
        // Side by side: what takes long is taking rows in.
        let usage = spawn(load_usage(table.clone(), store.clone(), rows.clone()));
        let services = spawn(load_services(table.clone(), store.clone(), rows.clone()));
        tokio::try_join!(usage, services)?;
        let mut marks = Watermarks::default();
        deployment.read_watermarks(&ledger, &mut marks).await?;
        let standing = Standing::of(&ledger, &marks, &deployment.expected(), deployment.settings.acceptance);
        let seconds = (clock::instant() - started).as_secs_f64();
        metrics::histogram!("odometer_snapshot_load_seconds").record(seconds);
        tracing::info!(
            region = %deployment.region(), %month, blocks = rows.len(), organizations = table.len(), seconds,
            "read usage into memory"
        );
        Ok(Self {
            table,
            progress: Progress::of(ledger.counting()),
            ledger,
            marks,
            standing,
            reconciled: clock::instant(),
            looked_back: started,
            differs_since: None,
        })
    }

    async fn catch_up(&mut self, deployment: &Deployment) -> Result<Changed, FollowError> {
        let reconcile = clock::instant() - self.reconciled >= RECONCILE_EVERY;
        let ledger = if reconcile {
            Some(LedgerView::of(deployment.store.counting_rows().await?))
        } else {
            self.read_on(deployment).await?
        };
        let changed = match ledger {
            Some(ledger) => self.step_to(ledger, deployment).await?,
            None => Changed::Some(Vec::new()),
        };
        if reconcile {
            deployment.read_watermarks(&self.ledger, &mut self.marks).await?;
            self.reconciled = clock::instant();
        } else {
            let from_ms = self.marks.seen_until_ms() - WATERMARK_SLACK_MS;
            self.marks.observe(&deployment.store.watermarks_since(from_ms).await?);
        }
        self.standing.complete_through = complete_through(&self.marks.standings(), &deployment.expected());
        Ok(changed)
    }

    /// The ledger with what is new in it. Where something seems to be missing, it came to light late.
    async fn read_on(&mut self, deployment: &Deployment) -> Result<Option<LedgerView>, StoreError> {
        let began = clock::instant();
        if began - self.looked_back < LOOK_BACK_EVERY {
            let recent = deployment.store.published_since(self.ledger.read_from_ms(false)).await?;
            let newer = self.ledger.with(recent);
            if newer.as_ref().is_none_or(|newer| newer.goes_on_from(&self.ledger)) {
                return Ok(newer);
            }
        }
        let recent = deployment.store.published_since(self.ledger.read_from_ms(true)).await?;
        self.looked_back = began;
        Ok(self.ledger.with(recent))
    }

    async fn step_to(&mut self, ledger: LedgerView, deployment: &Deployment) -> Result<Changed, FollowError> {
        let blocks = match self.progress.step_to(ledger.counting()) {
            Step::Apply(blocks) => blocks,
            Step::Reload { lane, first_offset } => {
                tracing::info!(%lane, first_offset, "what was counted from there on was replaced: reading everything");
                metrics::counter!("odometer_snapshot_reloads_total").increment(1);
                let before = self.table.clone();
                *self = Self::load(deployment, self.table.since()).await?;
                return Ok(Changed::Some(differing(&before, &self.table)));
            }
        };
        let (counts, services) = self.read_blocks(&blocks, deployment).await?;
        let changed = self.table.apply(&counts, &services);
        self.progress.advance(ledger.counting());
        self.ledger = ledger;
        for (lane, (end, published_at)) in self.ledger.ends() {
            self.marks.reach(lane, end, published_at);
        }
        self.standing =
            Standing::of(&self.ledger, &self.marks, &deployment.expected(), deployment.settings.acceptance);
        Ok(Changed::Some(changed))
    }

    async fn read_blocks(
        &mut self,
        blocks: &[LedgerRow],
        deployment: &Deployment,
    ) -> Result<(Vec<CountRow>, Vec<ServiceRow>), FollowError> {
        if blocks.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut sums: HashMap<BlockId, u128> = HashMap::new();
        let mut counts = Vec::new();
        let mut rows = deployment.store.counts_of(blocks)?;
        while let Some((block, row)) = rows.next().await? {
            *sums.entry(block).or_default() += row.value;
            counts.push(row);
        }
        let mut services = Vec::new();
        let mut rows = deployment.store.services_of(blocks)?;
        while let Some((_, row)) = rows.next().await? {
            services.push(row);
        }
        self.check_sums(blocks, &sums)?;
        Ok((counts, services))
    }

    fn check_sums(&mut self, blocks: &[LedgerRow], sums: &HashMap<BlockId, u128>) -> Result<(), FollowError> {
        let sum_of = |row: &LedgerRow| sums.get(&row.block).copied().unwrap_or(0);
        let Some(row) = blocks.iter().find(|row| sum_of(row) != row.quantity) else {
            self.differs_since = None;
            return Ok(());
        };
        let differs =
            FollowError::BlockDiffers { block: row.block, sum: sum_of(row), quantity: row.quantity };
        let since = *self.differs_since.get_or_insert_with(clock::instant);
        if clock::instant() - since < PATIENCE {
            return Err(differs);
        }
        // It won't change by waiting: the rows are what the views show too, and `audit` tells.
        self.differs_since = None;
        tracing::error!(lane = %row.lane, first_offset = row.first_offset, error = %differs, "count a block as it is stored");
        Ok(())
    }
}

/// What every organization used of the table's months.
async fn load_usage(table: Arc<Table>, store: Store, rows: Vec<LedgerRow>) -> Result<(), StoreError> {
    for month in Table::months(table.since()) {
        let mut usage = store.usage_of(&rows, &month.hours())?;
        while let Some(used) = usage.next().await? {
            let amount = Amount::new(used.fold, used.value);
            table.put(&used.organization, month, &used.region, &used.meter, amount);
        }
    }
    Ok(())
}

async fn load_services(table: Arc<Table>, store: Store, rows: Vec<LedgerRow>) -> Result<(), StoreError> {
    let mut services = store.services_of(&rows)?;
    while let Some((_, service)) = services.next().await? {
        table.apply_service(&service);
    }
    Ok(())
}

/// A task that ends with whoever waits for it; a panic in it is one there.
async fn spawn<T: Send + 'static>(part: impl Future<Output = T> + Send + 'static) -> T {
    let mut tasks = JoinSet::new();
    tasks.spawn(part);
    match tasks.join_next().await.expect("one task was spawned") {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The organizations whose figures of the table's month are not the same in both.
fn differing(before: &Table, after: &Table) -> Vec<Arc<str>> {
    let month = after.since();
    let organizations: HashSet<Arc<str>> = before.organizations().chain(after.organizations()).collect();
    let differs =
        |organization: &Arc<str>| before.totals(organization, month) != after.totals(organization, month);
    organizations.into_iter().filter(differs).collect()
}
