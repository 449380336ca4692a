use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::counter::LogCutShort;
use super::metrics;
use super::pace::Beat;
use super::session::{Session, SessionEnd, polled_bytes};
use super::waiting::WaitingLanes;
use crate::clock::Clock;
use crate::decode::InvalidRules;
use crate::dedup::{Cache, CacheFull};
use crate::flush::{Inserts, TenureEnded};
use crate::source::{DeadLetters, KafkaError, LETTER_BYTES};
use crate::store::{Store, StoreError};
use crate::telemetry::{Readiness, ReadinessCheck, vital, vital_task};

/// Why a session ended that was not asked to. A new one begins after a pause, but for an error that
/// no waiting mends; nothing is lost or counted twice by it.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    TakeOver(String),
    /// No waiting mends this one.
    #[error("{0}")]
    OtherGroup(String),
    #[error("stopping")]
    Stopping,
    #[error(transparent)]
    TenureEnded(TenureEnded),
    #[error(transparent)]
    CacheFull(#[from] CacheFull),
    #[error(transparent)]
    LogCutShort(#[from] LogCutShort),
    #[error(transparent)]
    Rules(#[from] InvalidRules),
    #[error("read {lane}: {cause}")]
    Broken { lane: String, cause: String },
    #[error("topic {topic} was assigned, but is not one of `kafka.topics`")]
    UnknownTopic { topic: String },
    #[error("a topic was deleted and made again")]
    TopicRemade,
    #[error("a recount changed the keys of {lane}'s window")]
    WindowReplaced { lane: String },
    #[error("a lane that waits for room in the cache is tried again")]
    TryAgain,
    #[error("rebalance group: {cause}")]
    Group { cause: String },
    #[error("open cache {dir}: {cause}")]
    Cache { dir: String, cause: String },
}

/// What counting says of itself to `/readyz`.
pub(super) struct Checks {
    /// The group has told which lanes are this process's own, none included.
    assignment: ReadinessCheck,
    /// What is counted is published.
    flushing: ReadinessCheck,
}

impl Checks {
    fn new(readiness: &Readiness) -> Self {
        Self { assignment: readiness.check("assignment"), flushing: readiness.check("flushing") }
    }

    pub(super) fn assigned(&self) {
        self.assignment.ready();
    }

    pub(super) fn flushing(&self) {
        self.flushing.ready();
    }

    pub(super) fn stalled(&self, why: String) {
        self.flushing.not_ready(why);
    }

    fn waits(&self, why: &str) {
        self.assignment.not_ready(why);
        self.flushing.not_ready(why);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const RULES_PAUSE: Duration = Duration::from_secs(1);
/// Rows that the gate hides are dropped this often.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(600);

/// Counts until `shutdown`. Servers that go away are waited for without end; the error is one that no
/// waiting mends.
pub async fn ingest(
    settings: Settings,
    store: Store,
    clock: Clock,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<(), IngestError> {
    store_rules(&settings, &store, &shutdown).await;
    let letters = DeadLetters::connect(&settings.kafka)?;
    let cache = Cache::open(&settings.cache).map_err(|error| IngestError::Cache {
        dir: settings.cache.dir.display().to_string(),
        cause: error.to_string(),
    })?;
    tell_memory(&settings);
    let garbage = tokio::spawn(vital_task(collect_garbage(store.clone(), cache.clone(), shutdown.clone())));
    let session = Session {
        beat: Beat::new(settings.flush_interval, crate::clock::instant()),
        settings: Arc::new(settings),
        inserts: Arc::new(Inserts::new(store)),
        letters,
        cache,
        clock,
        runtime: Handle::current(),
        shutdown,
        checks: Checks::new(readiness),
        waiting: WaitingLanes::default(),
    };
    let member = thread::Builder::new()
        .name("member".into())
        .spawn(move || vital(|| keep_running(&session)))
        .map_err(|error| IngestError::Group { cause: error.to_string() })?;
    let ended = tokio::task::spawn_blocking(move || {
        // A panic of it has ended the process.
        member.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .await;
    garbage.abort();
    ended.unwrap_or_else(|error| Err(IngestError::Group { cause: error.to_string() }))
}

/// Keeps the rules before anything counts by them, however long that takes.
async fn store_rules(settings: &Settings, store: &Store, shutdown: &CancellationToken) {
    for rules in settings.rules.values() {
        while let Err(error) = store.store_rules(rules).await {
            tracing::warn!("{error}; trying again");
            if shutdown.run_until_cancelled(tokio::time::sleep(RULES_PAUSE)).await.is_none() {
                return;
            }
        }
    }
}

/// The code, threads, connections, and what an allocator keeps.
const PROGRAM_BYTES: u64 = 96 << 20;

/// The most that counting takes, as a sum of what it is for.
fn tell_memory(settings: &Settings) {
    let (windows, blocks) = (settings.cache.memory, settings.block_memory);
    let (fetched, polled) = (settings.kafka.fetched_bytes(), polled_bytes(settings));
    let terms = [windows, blocks, fetched, polled, LETTER_BYTES, PROGRAM_BYTES];
    let at_most = terms.into_iter().fold(0, u64::saturating_add);
    tracing::info!(
        windows,
        blocks,
        fetched,
        polled,
        dead_letters = LETTER_BYTES,
        program = PROGRAM_BYTES,
        at_most,
        "memory in bytes"
    );
}

fn keep_running(session: &Session) -> Result<(), IngestError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = crate::clock::instant();
        match session.run() {
            SessionEnd::Stopped => return Ok(()),
            SessionEnd::Doubt(error @ IngestError::OtherGroup(_)) => {
                session.shutdown.cancel();
                return Err(error);
            }
            SessionEnd::Doubt(error) => {
                metrics::session_ended();
                tracing::warn!("{error}; leaving the group and joining it anew");
                session.checks.waits(&error.to_string());
                // No trouble to wait out: a change that was asked for, or lanes that wait by themselves.
                if matches!(
                    error,
                    IngestError::WindowReplaced { .. }
                        | IngestError::TopicRemade
                        | IngestError::CacheFull(_)
                        | IngestError::TryAgain
                ) {
                    pause = FIRST_PAUSE;
                }
            }
        }
        // A session that had worked for a while starts the next one soon.
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        let until = crate::clock::instant() + pause;
        while crate::clock::instant() < until {
            if session.shutdown.is_cancelled() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn collect_garbage(store: Store, cache: Cache, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(GARBAGE_INTERVAL)).await.is_some() {
        if let Err(error) = store.collect_garbage().await {
            tracing::warn!("{error}; rows that nobody counts stay a while longer");
        }
        let cache = cache.clone();
        let _ = tokio::task::spawn_blocking(move || cache.sweep(Clock::System.now_ms())).await;
    }
}
