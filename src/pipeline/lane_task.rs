use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until};

use super::put_off::{MOST_TRIES, PutOff};
use super::rebuild::known_rules;
use super::recount::{Log, RecountError, Recounted, Recounter};
use super::{ClosedBlock, IngestError, metrics};
use crate::aggregate::LedgerRow;
use crate::clock::{self, Clock};
use crate::dedup::{Cache, CacheFull, Frame, Journal};
use crate::event::{Lane, Record, Rules};
use crate::flush::{FinishedBlock, Publisher, TenureEnded};
use crate::source::{self, CommitError, DeadLetters, Fence, PartitionReader, Watermarks};
use crate::store::{RecountRequest, RecountState, Store};
use crate::telemetry::{vital, vital_task};

pub type LanePublisher = Publisher<Store, Arc<Fence>, DeadLetters>;

/// What a lane's task tells the thread that counts the lane, by the lane's slot in the session.
#[derive(Debug)]
pub enum LaneEvent {
    /// One of the finished blocks is published.
    Published { slot: usize },
    /// The tenure is over: the session must leave the group and join it anew.
    Ended { slot: usize, cause: TenureEnded },
    /// A recount has changed which keys the window must hold: the session must begin anew.
    WindowReplaced { slot: usize, lane: String },
}

/// How a lane's task came to its end.
enum TaskEnd {
    /// Nobody waits for it any more.
    Released,
    WindowReplaced,
}

pub struct LaneTask {
    pub slot: usize,
    pub publisher: LanePublisher,
    pub journal: Option<Journal>,
    /// Offsets that the window reaches back, so that the journal forgets what is older.
    pub width: i64,
    /// Published before anything that is counted: where a new lane starts, or what was lost.
    pub first: Vec<FinishedBlock>,
    pub roll_interval: Duration,
    pub clock: Clock,
    /// What a recount reads the log with.
    pub recounts: Recounts,
}

/// What it takes to count a past range of the lane again.
pub struct Recounts {
    pub requests: mpsc::Receiver<RecountRequest>,
    pub kafka: source::Settings,
    pub watermarks: Watermarks,
    /// Today's.
    pub rules: Rules,
    pub store: Store,
    pub cache: Cache,
    pub put_off: PutOff,
}

impl LaneTask {
    /// Publishes what comes until the sender is gone or the tenure is over, and rolls up in between.
    pub async fn run(mut self, mut blocks: mpsc::Receiver<ClosedBlock>, events: mpsc::Sender<LaneEvent>) {
        let slot = self.slot;
        let event = match vital_task(self.publish_all(&mut blocks, &events)).await {
            Ok(TaskEnd::Released) => return,
            Ok(TaskEnd::WindowReplaced) => {
                LaneEvent::WindowReplaced { slot, lane: self.publisher.tenure().lane.to_string() }
            }
            Err(cause) => LaneEvent::Ended { slot, cause },
        };
        let _ = events.send(event).await;
    }

    fn next_roll(&self) -> Instant {
        Instant::from_std(clock::instant()) + self.roll_interval
    }

    async fn publish_all(
        &mut self,
        blocks: &mut mpsc::Receiver<ClosedBlock>,
        events: &mpsc::Sender<LaneEvent>,
    ) -> Result<TaskEnd, TenureEnded> {
        for block in std::mem::take(&mut self.first) {
            self.publish(block).await?;
        }
        let mut next_roll = self.next_roll();
        loop {
            tokio::select! {
                block = blocks.recv() => {
                    let Some(block) = block else { return Ok(TaskEnd::Released) };
                    let block = self.finish(block).await?;
                    self.publish(block).await?;
                    if events.send(LaneEvent::Published { slot: self.slot }).await.is_err() {
                        return Ok(TaskEnd::Released);
                    }
                }
                Some(request) = self.recounts.requests.recv() => {
                    if self.recount(&request).await? {
                        return Ok(TaskEnd::WindowReplaced);
                    }
                }
                () = sleep_until(next_roll) => {
                    if self.publisher.roll().await? {
                        metrics::rolled();
                    } else {
                        next_roll = self.next_roll();
                    }
                }
            }
        }
    }

    /// Makes the block's rows beside the runtime's own threads: there may be a million. One block at a
    /// time, since while it is made both it and its rows are in memory.
    async fn finish(&self, block: ClosedBlock) -> Result<FinishedBlock, TenureEnded> {
        static MAKING: Mutex<()> = Mutex::const_new(());
        let making = MAKING.lock().await;
        let finish = move || {
            let _making = making;
            vital(|| block.finish())
        };
        tokio::task::spawn_blocking(finish).await.map_err(|error| TenureEnded {
            lane: self.publisher.tenure().lane.to_string(),
            cause: CommitError::Refused(error.to_string()),
        })
    }

    /// Counts a past range again and publishes it; `true` where the window must be made anew.
    async fn recount(&mut self, request: &RecountRequest) -> Result<bool, TenureEnded> {
        if self.recounts.put_off.holds(request.id, clock::instant()) {
            return Ok(false);
        }
        let (state, replaces_window) = match self.count_again(request).await {
            Ok(recounted) => {
                let published = self.publisher.recount(recounted.rows.clone(), &recounted.block).await?;
                (RecountState::Done(describe(&published.row)), recounted.replaces_window)
            }
            Err(RecountError::Ingest(IngestError::CacheFull(full))) => (self.put_off(request, &full), false),
            Err(error) => (RecountState::Refused(error.to_string()), false),
        };
        if !matches!(state, RecountState::Open(_)) {
            self.recounts.put_off.remove(request.id);
        }
        if replaces_window && let Some(journal) = &mut self.journal {
            // What it holds was claimed before the change.
            if let Err(error) = journal.clear() {
                tracing::warn!(lane = %request.lane, "clear journal: {error}");
            }
        }
        tracing::info!(lane = %request.lane, from = request.from, to = request.to, ?state, "recount");
        if let Err(error) = self.recounts.store.answer_recount(request, &state).await {
            tracing::warn!("{error}; the recount will be done again, which changes nothing");
        }
        Ok(replaces_window)
    }

    /// Nothing is wrong with a request that finds no room now.
    fn put_off(&mut self, request: &RecountRequest, full: &CacheFull) -> RecountState {
        let Recounts { put_off, cache, .. } = &mut self.recounts;
        match put_off.add(request.id, clock::instant(), cache) {
            Some(pause) => RecountState::Open(format!("{full}; tried again in {} s", pause.as_secs())),
            None => RecountState::Refused(format!("{full}; this was tried {MOST_TRIES} times")),
        }
    }

    async fn count_again(&self, request: &RecountRequest) -> Result<Recounted, RecountError> {
        let Recounts { kafka, watermarks, rules, store, cache, .. } = &self.recounts;
        let rows = self.publisher.rows().to_vec();
        let known = known_rules(store, &rows, rules).await.map_err(IngestError::from)?;
        let log =
            KafkaLog { kafka: kafka.clone(), watermarks: watermarks.clone(), lane: request.lane.clone() };
        let (rules, cache, request) = (rules.clone(), cache.clone(), request.clone());
        tokio::task::spawn_blocking(move || {
            let (lane, log) = (&request.lane, &log);
            let recounter = Recounter { lane, log, rules: &rules, known: &known, rows: &rows, cache: &cache };
            recounter.count(request.from, request.to)
        })
        .await
        .unwrap_or_else(|error| Err(IngestError::Group { cause: error.to_string() }.into()))
    }

    async fn publish(&mut self, block: FinishedBlock) -> Result<(), TenureEnded> {
        let started = clock::instant();
        let published = self.publisher.publish(&block).await?;
        metrics::published(&block, &published.row, started.elapsed(), self.clock.now_ms());
        self.remember(block);
        Ok(())
    }

    /// Appends to the journal; without one a restart reads the log instead.
    fn remember(&mut self, block: FinishedBlock) {
        let Some(journal) = &mut self.journal else { return };
        let needed_from = block.next - self.width;
        let frame = Frame {
            first: block.first,
            next: block.next,
            rules: block.rules,
            occurrences: block.occurrences,
        };
        if let Err(error) = journal.append(&frame, needed_from) {
            tracing::warn!(
                lane = %self.publisher.tenure().lane,
                "write journal: {error}; the next start reads the window from the log"
            );
            self.journal = None;
        }
    }
}

fn describe(row: &LedgerRow) -> String {
    let tally = row.tally;
    format!(
        "offsets [{}, {}) counted again: {} received, {} counted, {} duplicate, {} rejected, {} ignored",
        row.first_offset,
        row.next_offset,
        tally.received(),
        tally.counted,
        tally.duplicate,
        tally.rejected,
        tally.ignored
    )
}

/// A lane's log, read beside the consumer that counts it.
struct KafkaLog {
    kafka: source::Settings,
    watermarks: Watermarks,
    lane: Lane,
}

impl Log for KafkaLog {
    fn read(&self, range: Range<i64>, visit: &mut dyn FnMut(&Record<'_>)) -> Result<(), IngestError> {
        let mut reader = PartitionReader::open(&self.kafka, &self.lane.topic, self.lane.partition, range)?;
        while reader.read(&mut *visit)? {}
        self.check_topic()
    }

    fn last_epoch(&self, range: Range<i64>) -> Result<i32, IngestError> {
        let (start, end) = self.watermarks.read(&self.lane.topic, self.lane.partition)?;
        let range = range.start.max(start)..range.end.min(end);
        let mut reader = PartitionReader::open(&self.kafka, &self.lane.topic, self.lane.partition, range)?;
        while reader.read(|_| {})? {}
        self.check_topic()?;
        Ok(reader.leader_epoch())
    }

    fn start(&self) -> Result<i64, IngestError> {
        let (start, _) = self.watermarks.read(&self.lane.topic, self.lane.partition)?;
        self.check_topic()?;
        Ok(start)
    }
}

impl KafkaLog {
    /// The reader knows topics by name: where one was made again, what was read is not this lane's.
    fn check_topic(&self) -> Result<(), IngestError> {
        let described = self.watermarks.describe_topics(&[self.lane.topic.to_string()])?;
        let is_same = described.iter().any(|(_, id)| *id == self.lane.topic_id);
        if is_same { Ok(()) } else { Err(IngestError::TopicRemade) }
    }
}
