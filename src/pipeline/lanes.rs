use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::beginning::{Beginner, LaneState};
use super::lane_task::{LanePublisher, LaneTask, Recounts};
use super::put_off::PutOff;
use super::{IngestError, LaneCounter, Settings};
use crate::clock::Clock;
use crate::dedup::Expected;
use crate::event::Lane;
use crate::flush::{Inserts, Publisher};
use crate::source::{Committed, DeadLetters, Fence, KafkaError, TopicDescription, Watermarks};
use crate::store::{RecountRequest, Store};

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
}

/// A lane that is held and may be read.
pub struct ReadyLane {
    pub counter: LaneCounter,
    pub task: LaneTask,
    pub read_from: i64,
    /// Where recounts of the lane are asked for.
    pub recounts: mpsc::Sender<RecountRequest>,
}

impl Grounds<'_> {
    /// Takes a lane over, in slot `slot` of the session.
    pub async fn begin(
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

/// Lanes roll up one after another, not all at once.
fn stagger(lane: &Lane, interval: Duration) -> Duration {
    interval * u32::try_from(lane.partition.rem_euclid(16)).unwrap_or(0) / 64
}
