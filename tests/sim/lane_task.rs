//! A lane's task: it publishes what the session has counted, rolls up and counts again; what
//! `pipeline/lane_task.rs` does.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use odometer::aggregate::BlockKind;
use odometer::dedup::{Cache, Frame, Journal};
use odometer::event::{Lane, NoHeaders, Record, Rules, RulesHash};
use odometer::flush::{FinishedBlock, Publisher, Stores, TenureEnded};
use odometer::pipeline::{IngestError, Log, RecountError, Recounter};
use tokio::sync::mpsc;

use super::facts::{BASE_MS, HOUR_MS, RECORD_HOUR};
use super::fault::Fault;
use super::ports::{FenceHandle, SimLetters, SimStore};
use super::settings::Variant;
use super::world::{Recount, Request, World};

/// What a lane's task is told.
pub enum Command {
    Block(FinishedBlock),
    Recount(Recount),
    Roll,
}

/// What a lane's task tells the session.
pub enum LaneEvent {
    Published { tenure: u128 },
    Ended { tenure: u128, cause: String },
}

type LanePublisher = Publisher<SimStore, FenceHandle, SimLetters>;

pub fn record<'a>(topic: &'a str, partition: i32, offset: i64, value: &'a [u8]) -> Record<'a> {
    Record {
        topic,
        partition,
        offset,
        timestamp_ms: Some(BASE_MS + RECORD_HOUR * HOUR_MS),
        key: None,
        value: Some(value),
        headers: &NoHeaders,
    }
}

pub struct LaneTask {
    pub world: World,
    pub publisher: LanePublisher,
    pub journal: Option<Journal>,
    pub width: i64,
    pub rules: Rules,
    pub variant: Variant,
    pub store: SimStore,
    pub cache: Cache,
}

impl LaneTask {
    pub async fn run(
        mut self,
        first: Vec<FinishedBlock>,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<LaneEvent>,
    ) {
        let tenure = self.publisher.tenure().id;
        let cause = match self.publish_all(first, &mut commands, &events).await {
            Ok(()) => "a recount has replaced the window".to_owned(),
            Err(ended) => ended.to_string(),
        };
        let _ = events.try_send(LaneEvent::Ended { tenure, cause });
    }

    /// Ends well only where the window must be made anew.
    async fn publish_all(
        &mut self,
        first: Vec<FinishedBlock>,
        commands: &mut mpsc::Receiver<Command>,
        events: &mpsc::Sender<LaneEvent>,
    ) -> Result<(), TenureEnded> {
        for block in first {
            self.publish(block).await?;
        }
        let tenure = self.publisher.tenure().id;
        while let Some(command) = commands.recv().await {
            match command {
                Command::Block(block) => {
                    self.publish(block).await?;
                    let _ = events.try_send(LaneEvent::Published { tenure });
                }
                Command::Recount(request) => {
                    if self.recount(&request).await? {
                        return Ok(());
                    }
                }
                Command::Roll => while self.publisher.roll().await? {},
            }
        }
        std::future::pending().await
    }

    async fn recount(&mut self, request: &Recount) -> Result<bool, TenureEnded> {
        let rows = self.publisher.rows().to_vec();
        let mut known: HashMap<RulesHash, Rules> = HashMap::from([(self.rules.hash(), self.rules.clone())]);
        for row in &rows {
            if known.contains_key(&row.rules) {
                continue;
            }
            match self.store.rules(row.rules).await {
                Ok(Some(rules)) => drop(known.insert(row.rules, rules)),
                Ok(None) => {}
                Err(_) => return Ok(false),
            }
        }
        let lane = self.publisher.tenure().lane.clone();
        let log = SimLog { world: self.world.clone(), lane: lane.clone() };
        let recounter = Recounter {
            lane: &lane,
            log: &log,
            rules: &self.rules,
            known: &known,
            rows: &rows,
            cache: &self.cache,
        };
        let replaces_window = match recounter.count(request.from, request.to) {
            Ok(recounted) => {
                self.note_recount(&lane, &recounted.block);
                self.publisher.recount(recounted.rows.clone(), &recounted.block).await?;
                recounted.replaces_window
            }
            // It is still asked for.
            Err(RecountError::Ingest(IngestError::CacheFull(full))) => {
                let mut state = self.world.lock();
                state.tell(|_| format!("recount of {lane} is put off: {full}"));
                state.note(Fault::RecountPutOff);
                return Ok(false);
            }
            Err(error) => {
                self.world.lock().tell(|_| format!("recount of {lane} refused: {error}"));
                false
            }
        };
        if replaces_window && let Some(journal) = &mut self.journal {
            let _ = journal.clear();
        }
        self.world.call(Request::AnswerRecount(request.id)).await;
        Ok(replaces_window)
    }

    fn note_recount(&self, lane: &Lane, block: &FinishedBlock) {
        let mut state = self.world.lock();
        let topic = &state.topics[state.topic_index(&lane.topic)];
        let entries = &topic.partitions[lane.partition as usize].entries;
        let records = entries
            .range(block.first..block.next)
            .map(|(at, entry)| (*at, Arc::clone(&entry.record)))
            .collect();
        state.tell(|_| format!("counts {lane} [{}, {}) again", block.first, block.next));
        state.watch.finished(self.publisher.tenure().id, BlockKind::Recount, block, records, self.variant);
    }

    async fn publish(&mut self, block: FinishedBlock) -> Result<(), TenureEnded> {
        self.publisher.publish(&block).await?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let needed_from = block.next - self.width;
        let FinishedBlock { first, next, rules, occurrences, .. } = block;
        if journal.append(&Frame { first, next, rules, occurrences }, needed_from).is_err() {
            self.journal = None;
        }
        Ok(())
    }
}

/// A lane's log as it is now.
struct SimLog {
    world: World,
    lane: Lane,
}

impl SimLog {
    fn failed(&self, cause: &str) -> IngestError {
        IngestError::Broken { lane: self.lane.to_string(), cause: cause.into() }
    }
}

impl Log for SimLog {
    fn read(&self, range: Range<i64>, visit: &mut dyn FnMut(&Record<'_>)) -> Result<(), IngestError> {
        let state = self.world.lock();
        let topic = &state.topics[state.topic_index(&self.lane.topic)];
        if topic.id != self.lane.topic_id {
            return Err(self.failed("the topic was made again"));
        }
        let partition = &topic.partitions[self.lane.partition as usize];
        if range.is_empty() {
            return Ok(());
        }
        if range.start < partition.start || range.start > partition.end {
            return Err(self.failed("offset out of range"));
        }
        for (&offset, entry) in partition.entries.range(range) {
            visit(&record(&self.lane.topic, self.lane.partition, offset, &entry.record.value));
        }
        Ok(())
    }

    fn last_epoch(&self, range: Range<i64>) -> Result<i32, IngestError> {
        let state = self.world.lock();
        let topic = &state.topics[state.topic_index(&self.lane.topic)];
        if topic.id != self.lane.topic_id {
            return Err(self.failed("the topic was made again"));
        }
        let entries = &topic.partitions[self.lane.partition as usize].entries;
        Ok(entries.range(range).next_back().map_or(-1, |(_, entry)| entry.leader_epoch))
    }

    fn start(&self) -> Result<i64, IngestError> {
        let state = self.world.lock();
        let topic = &state.topics[state.topic_index(&self.lane.topic)];
        if topic.id != self.lane.topic_id {
            return Err(self.failed("the topic was made again"));
        }
        Ok(topic.partitions[self.lane.partition as usize].start)
    }
}
