use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::beginning::{Beginner, LaneState};
use super::counting::Failure;
use super::lane_task::{LanePublisher, LaneTask, Recounts};
use super::put_off::PutOff;
use super::{IngestError, LaneCounter, Settings};
use crate::clock::Clock;
use crate::dedup::Expected;
use crate::event::Lane;
use crate::flush::{Inserts, Publisher};
use crate::source::{Committed, DeadLetters, Fence, KafkaError, TopicDescription, Watermarks};
use crate::store::{RecountRequest, Store};
use crate::telemetry::vital;

/// What every lane of a session is begun with.
pub struct Grounds<'a> {
    pub settings: &'a Settings,
    pub watermarks: &'a Watermarks,
    pub fence: &'a Arc<Fence>,
    pub inserts: &'a Arc<Inserts<Store>>,
    pub letters: &'a DeadLetters,
    /// The windows of all lanes that are begun with them.
    pub expected: &'a Expected,
    pub clock: &'a Clock,
    pub runtime: &'a Handle,
    pub shutdown: &'a CancellationToken,
}

/// Lanes that are taken over at the same time, by all threads together.
const BEGUN_AT_ONCE: usize = 16;

/// `None` where it was told to stop.
type Begun = Option<Result<Vec<ReadyLane>, Failure>>;

/// A lane that is held and may be read.
pub struct ReadyLane {
    pub counter: LaneCounter,
    pub task: LaneTask,
    pub read_from: i64,
    /// Where recounts of the lane are asked for.
    pub recounts: mpsc::Sender<RecountRequest>,
}

impl Grounds<'_> {
    /// Takes lanes (topic, partition) over, several at a time, into the slots of the session from
    /// `first_slot` on, in their order: on several threads, since journals are read and windows filled
    /// meanwhile. On an error some may be taken over, and none is answered; there is none where it was told
    /// to stop.
    pub fn begin_all(
        &self,
        lanes: &[(String, i32)],
        described: &[TopicDescription],
        first_slot: usize,
        threads: usize,
    ) -> Result<Vec<ReadyLane>, Vec<Failure>> {
        let number = threads.clamp(1, BEGUN_AT_ONCE);
        let stop = self.shutdown.child_token();
        let begin = |thread: usize| {
            let own = (first_slot..).zip(lanes).skip(thread).step_by(number);
            let begun = stream::iter(own)
                .map(|(slot, lane)| self.begin_lane(described, lane, slot))
                .buffer_unordered(BEGUN_AT_ONCE / number)
                .try_collect();
            Self::stop_others(self.runtime.block_on(stop.run_until_cancelled(begun)), &stop)
        };
        let begun = thread::scope(|scope| {
            let threads = (0..number).map(|thread| {
                let begin = move || vital(|| begin(thread));
                thread::Builder::new().name(format!("beginning-{thread}")).spawn_scoped(scope, begin)
            });
            let threads = threads.collect::<Result<Vec<_>, _>>().map_err(|error| {
                stop.cancel();
                let error = IngestError::Group { cause: format!("start a thread: {error}") };
                vec![Failure { lane: lanes[0].clone(), error }]
            })?;
            let joined =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            Ok::<Vec<Begun>, Vec<Failure>>(joined.collect())
        })?;
        all_of(begun, lanes.len())
    }

    /// Where one lane lacks room others are begun all the same: each session that finds one more of such
    /// costs a rebalance.
    fn stop_others(begun: Begun, stop: &CancellationToken) -> Begun {
        let is_full = |failure: &Failure| matches!(failure.error, IngestError::CacheFull(_));
        if begun.as_ref().is_some_and(|begun| begun.as_ref().is_err_and(|failure| !is_full(failure))) {
            stop.cancel();
        }
        begun
    }

    async fn begin_lane(
        &self,
        described: &[TopicDescription],
        lane: &(String, i32),
        slot: usize,
    ) -> Result<ReadyLane, Failure> {
        let (topic, partition) = lane;
        let begun = match described.iter().find(|described| described.name == *topic) {
            Some(description) => self.begin(description, *partition, slot).await,
            None => Err(IngestError::UnknownTopic { topic: topic.clone() }),
        };
        begun.map_err(|error| Failure { lane: lane.clone(), error })
    }

    /// Takes a lane over, in slot `slot` of the session.
    async fn begin(
        &self,
        topic: &TopicDescription,
        partition: i32,
        slot: usize,
    ) -> Result<ReadyLane, IngestError> {
        let lane = topic.lane(partition);
        let rules = self
            .settings
            .rules
            .get(&*lane.topic)
            .ok_or_else(|| IngestError::UnknownTopic { topic: lane.topic.to_string() })?;
        let (committed, log_start, log_end) = self.look(&lane).await?;
        let beginner = Beginner {
            store: self.inserts.store(),
            expected: self.expected,
            group: &self.settings.kafka.group,
            rules,
            start: self.settings.kafka.start,
        };
        let state = LaneState { lane, partitions: topic.partitions, committed, log_start, log_end };
        let begun = beginner.begin(&state, rand::random()).await?;
        let (lane, taken) = (&state.lane, &begun.taken);
        self.fence.hold(&taken.tenure);
        let publisher: LanePublisher = Publisher::new(
            Arc::clone(self.inserts),
            Arc::clone(self.fence),
            self.letters.clone(),
            &self.settings.kafka.group,
            taken,
        );
        let at = begun.counter.next();
        tracing::info!(%lane, token = taken.tenure.token, at, read_from = begun.read_from, "took lane over");
        let interval = self.settings.roll_interval;
        // One under way, one waiting; what does not fit is asked for again.
        let (recounts, requests) = mpsc::channel(1);
        let task = LaneTask {
            slot,
            publisher,
            journal: begun.journal,
            width: i64::try_from(rules.dedup_window).unwrap_or(i64::MAX),
            first: begun.first,
            roll_interval: interval + stagger(lane, interval),
            clock: self.clock.clone(),
            recounts: Recounts {
                requests,
                kafka: self.settings.kafka.clone(),
                watermarks: self.watermarks.clone(),
                rules: rules.clone(),
                store: self.inserts.store().clone(),
                cache: self.expected.cache().clone(),
                put_off: PutOff::default(),
            },
        };
        Ok(ReadyLane { counter: begun.counter, task, read_from: begun.read_from, recounts })
    }
}

impl Grounds<'_> {
    /// What the group and the broker say of a lane. The commit is read after the assignment: no
    /// earlier owner can commit any more.
    async fn look(&self, lane: &Lane) -> Result<(Option<Committed>, i64, i64), IngestError> {
        let (watermarks, lane) = (self.watermarks.clone(), lane.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let committed = watermarks.committed(&lane.topic, lane.partition)?;
            let (start, end) = watermarks.read(&lane.topic, lane.partition)?;
            Ok::<_, KafkaError>((committed, start, end))
        });
        Ok(looked.await.map_err(|error| IngestError::Group { cause: error.to_string() })??)
    }
}

/// Every lane, in the order of the slots; else why not, what is about a lane's room last.
fn all_of(begun: Vec<Begun>, lanes: usize) -> Result<Vec<ReadyLane>, Vec<Failure>> {
    let mut ready = Vec::with_capacity(lanes);
    let mut failures = Vec::new();
    for begun in begun.into_iter().flatten() {
        match begun {
            Ok(some) => ready.extend(some),
            Err(failure) => failures.push(failure),
        }
    }
    if ready.len() < lanes {
        failures.sort_by_key(|failure| matches!(failure.error, IngestError::CacheFull(_)));
        return Err(failures);
    }
    ready.sort_by_key(|ready| ready.task.slot);
    Ok(ready)
}

/// Lanes roll up one after another, not all at once.
fn stagger(lane: &Lane, interval: Duration) -> Duration {
    interval * u32::try_from(lane.partition.rem_euclid(16)).unwrap_or(0) / 64
}
