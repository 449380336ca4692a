//! A process that ingests: the product's session, action for action, around the product's own lane
//! beginning, counting, publishing and recounting. `pipeline/session.rs` and `pipeline/lane_task.rs`
//! are what it follows; every `await` is a place where it may be stopped, woken or killed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use odometer::aggregate::BlockKind;
use odometer::dedup::{Cache, CacheSettings, Frame, Journal};
use odometer::event::{Lane, NoHeaders, Record, Rules, RulesHash};
use odometer::flush::{FinishedBlock, Publisher, Stores, TenureEnded};
use odometer::pipeline::{Beginner, Begun, IngestError, LaneCounter, LaneState, Log, Recounter};
use odometer::source::Start;
use tokio::sync::mpsc;

use super::client;
use super::facts::{BASE_MS, HOUR_MS, RECORD_HOUR};
use super::group::Place;
use super::log::Written;
use super::ports::{FenceHandle, SimFence, SimLetters, SimStore};
use super::settings::Variant;
use super::world::{Answer, Item, Rebalance, Recount, Request, World, pass};

pub const GROUP: &str = "odometer";
/// More than a lane is ever asked for while its task waits.
const QUEUE: usize = 4_096;

/// What a lane's task is told.
pub enum Command {
    Block(FinishedBlock),
    Recount(Recount),
    Roll,
}

/// What a lane's task tells the session.
enum LaneEvent {
    Published { tenure: u128 },
    Ended { tenure: u128, cause: String },
}

type LanePublisher = Publisher<SimStore, FenceHandle, SimLetters>;

/// Why a session ends.
type Doubt = String;

struct Slot {
    counter: LaneCounter,
    tenure: u128,
    commands: mpsc::Sender<Command>,
    task: u64,
    is_publishing: bool,
    /// Records behind the counter's last block.
    taken: Vec<(i64, Arc<Written>)>,
    /// Requests to count again that the lane's task was given.
    handed: BTreeSet<u64>,
}

struct Session {
    world: World,
    process: u64,
    variants: Vec<Variant>,
    cache: Cache,
    start: Start,
    fence: Arc<SimFence>,
    slots: BTreeMap<Place, Slot>,
    events: mpsc::Receiver<LaneEvent>,
    event_sender: mpsc::Sender<LaneEvent>,
}

/// The process's main task.
pub async fn run(world: World, process: u64, start: Start) {
    let (home, variants) = {
        let state = world.lock();
        (state.processes[&process].home.clone(), state.processes[&process].variants.clone())
    };
    let settings = CacheSettings { dir: home, memory: 1 << 30, budget: 1 << 30 };
    let cache = Cache::open(&settings).expect("open the cache of a simulated process");
    let rules: Vec<Rules> = variants.iter().map(Variant::rules).collect();
    while !matches!(world.call(Request::StoreRules(rules.clone())).await, Answer::Done) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    while !world.lock().processes[&process].is_stopping {
        let (event_sender, events) = mpsc::channel(QUEUE);
        let session = Session {
            world: world.clone(),
            process,
            variants: variants.clone(),
            cache: cache.clone(),
            start,
            fence: Arc::new(SimFence::new(&world, process)),
            slots: BTreeMap::new(),
            events,
            event_sender,
        };
        session.run().await;
        pass().await;
    }
    world.lock().processes.remove(&process);
}

impl Session {
    async fn run(mut self) {
        client::subscribe(&mut self.world.lock(), self.process);
        let end = self.work().await;
        let process = self.process;
        if let Err(doubt) = &end {
            self.world.lock().tell(|_| format!("process {process}: {doubt}; leaves the group"));
        }
        self.leave(end.is_ok()).await;
    }

    /// Ends well only where it was told to stop.
    async fn work(&mut self) -> Result<(), Doubt> {
        loop {
            pass().await;
            if self.world.lock().processes[&self.process].is_stopping {
                return Ok(());
            }
            self.hear_tasks()?;
            self.finish_due(false);
            self.hand_recounts();
            self.watch_topics()?;
            let (items, rebalances) = client::poll(&mut self.world.lock(), self.process);
            for (place, item) in items {
                if let Some(slot) = self.slots.get_mut(&place) {
                    slot.take(place, item)?;
                }
            }
            for rebalance in rebalances {
                match rebalance {
                    Rebalance::Assign(places) => self.assign(places).await?,
                    Rebalance::Revoke(places) => self.revoke(&places).await,
                }
            }
        }
    }

    fn hear_tasks(&mut self) -> Result<(), Doubt> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                LaneEvent::Published { tenure } => {
                    if let Some(slot) = self.slots.values_mut().find(|slot| slot.tenure == tenure) {
                        slot.is_publishing = false;
                    }
                }
                LaneEvent::Ended { tenure, cause } => {
                    if self.slots.values().any(|slot| slot.tenure == tenure) {
                        return Err(cause);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish_due(&mut self, all: bool) {
        for (place, slot) in &mut self.slots {
            if slot.is_publishing || !slot.counter.has_news() {
                continue;
            }
            let mut state = self.world.lock();
            if all || state.chance.one_in(3) || state.is_calm {
                let variant = self.variants[state.topic_index(place.0)];
                let block = slot.finish();
                let records = slot.taken_of(&block);
                state
                    .tell(|_| format!("finishes {}[{}] [{}, {})", place.0, place.1, block.first, block.next));
                state.watch.finished(slot.tenure, BlockKind::Live, &block, records, variant);
                // Where the task has ended it has said why.
                let _ = slot.commands.try_send(Command::Block(block));
                slot.is_publishing = true;
            }
        }
    }

    fn hand_recounts(&mut self) {
        let mut state = self.world.lock();
        if state.recounts.is_empty() || !(state.is_calm || state.chance.one_in(4)) {
            return;
        }
        for request in state.recounts.clone() {
            let slot = self.slots.values_mut().find(|slot| *slot.counter.lane() == request.lane);
            let Some(slot) = slot else { continue };
            // The lane's task may be handed the same request again before it has answered.
            if slot.handed.insert(request.id) || state.chance.one_in(20) {
                let _ = slot.commands.try_send(Command::Recount(request));
            }
        }
    }

    fn watch_topics(&self) -> Result<(), Doubt> {
        let mut state = self.world.lock();
        if !state.chance.one_in(5) {
            return Ok(());
        }
        let is_remade = |(place, slot): (&Place, &Slot)| state.lane(*place) != *slot.counter.lane();
        if self.slots.iter().any(is_remade) { Err("a topic was made again".into()) } else { Ok(()) }
    }

    async fn assign(&mut self, places: Vec<Place>) -> Result<(), Doubt> {
        let mut ids = HashMap::new();
        for (name, _) in &places {
            let topic = self.world.lock().topic_index(name);
            match self.world.call(Request::Describe(topic)).await {
                Answer::TopicId(id) => ids.insert(*name, id),
                other => return Err(format!("describe topic: {other:?}")),
            };
        }
        let mut offsets = Vec::new();
        for place in places {
            let topic_id = Arc::clone(&ids[place.0]);
            let read_from = self.begin(place, Arc::clone(&topic_id)).await?;
            offsets.push((place, topic_id, read_from));
        }
        client::assign(&mut self.world.lock(), self.process, offsets);
        Ok(())
    }

    /// Answers with the offset to read from.
    async fn begin(&mut self, place: Place, topic_id: Arc<str>) -> Result<i64, Doubt> {
        let lane = Lane { topic: place.0.into(), topic_id, partition: place.1 };
        let committed = match self.world.call(Request::Committed(place)).await {
            Answer::Committed(committed) => committed,
            other => return Err(format!("read commit: {other:?}")),
        };
        let (log_start, log_end) = match self.world.call(Request::Bounds(place)).await {
            Answer::Bounds { start, end } => (start, end),
            other => return Err(format!("read watermarks: {other:?}")),
        };
        let (tenure_id, rules, partitions) = {
            let mut state = self.world.lock();
            let topic = state.topic_index(place.0);
            let partitions = state.topics[topic].partitions.len() as i32;
            (state.chance.id(), self.variants[topic].rules(), partitions)
        };
        let store = SimStore { world: self.world.clone() };
        let expected = self.cache.expect(1);
        let beginner =
            Beginner { store: &store, expected: &expected, group: GROUP, rules: &rules, start: self.start };
        let state = LaneState { lane: lane.clone(), partitions, committed, log_start, log_end };
        let begun = beginner.begin(&state, tenure_id).await.map_err(|error| error.to_string())?;
        let read_from = begun.read_from;
        self.open(place, lane, begun, rules, store);
        Ok(read_from)
    }

    fn open(&mut self, place: Place, lane: Lane, begun: Begun, rules: Rules, store: SimStore) {
        let Begun { taken, counter, first, journal, .. } = begun;
        self.fence.hold(&taken.tenure);
        let letters = SimLetters { world: self.world.clone(), lane: lane.clone() };
        let fence = FenceHandle(Arc::clone(&self.fence));
        let publisher = Publisher::new(store.clone(), fence, letters, GROUP, &taken);
        let (commands, receiver) = mpsc::channel(QUEUE);
        let variant = {
            let mut state = self.world.lock();
            let process = self.process;
            state.tell(|_| {
                let tenure = &taken.tenure;
                format!(
                    "process {process} takes {lane} over at {} with token {}",
                    counter.next(),
                    tenure.token
                )
            });
            let owner = state.processes.get_mut(&process).expect("it runs");
            owner.lane_tasks.insert(lane, commands.clone());
            self.variants[state.topic_index(place.0)]
        };
        let task = LaneTask {
            world: self.world.clone(),
            publisher,
            journal,
            width: i64::try_from(rules.dedup_window).expect("a small window"),
            rules,
            variant,
            store,
            cache: self.cache.clone(),
        };
        let id = self.world.spawn(self.process, task.run(first, receiver, self.event_sender.clone()));
        let slot = Slot {
            counter,
            tenure: taken.tenure.id,
            commands,
            task: id,
            is_publishing: false,
            taken: Vec::new(),
            handed: BTreeSet::new(),
        };
        self.slots.insert(place, slot);
    }

    async fn revoke(&mut self, places: &[Place]) {
        let mut released = Vec::new();
        for place in places {
            if let Some(slot) = self.slots.remove(place) {
                released.push(self.close(slot));
            }
        }
        self.fence.release(&released).await;
        client::unassign(&mut self.world.lock(), self.process, places);
    }

    /// Aborts the lane's task.
    fn close(&self, slot: Slot) -> Lane {
        let lane = slot.counter.lane().clone();
        let mut state = self.world.lock();
        state.aborted.push(slot.task);
        if let Some(process) = state.processes.get_mut(&self.process) {
            process.lane_tasks.remove(&lane);
        }
        lane
    }

    async fn leave(mut self, is_orderly: bool) {
        if is_orderly {
            self.drain().await;
        }
        let lanes: Vec<Lane> = self.slots.values().map(|slot| slot.counter.lane().clone()).collect();
        self.fence.release(&lanes).await;
        for slot in std::mem::take(&mut self.slots).into_values() {
            self.close(slot);
        }
        let member = client::close(&mut self.world.lock(), self.process);
        if let Some(member) = member {
            self.world.call(Request::Leave { member }).await;
        }
    }

    /// Waits until every lane has published all that it counted, for a while.
    async fn drain(&mut self) {
        for _ in 0..200 {
            if self.hear_tasks().is_err() {
                return;
            }
            self.finish_due(true);
            if self.slots.values().all(|slot| !slot.is_publishing) {
                return;
            }
            pass().await;
        }
    }
}

impl Slot {
    fn take(&mut self, place: Place, item: Item) -> Result<(), Doubt> {
        match item {
            Item::Record(offset, entry) => {
                let before = self.counter.next();
                let record = record(place.0, place.1, offset, &entry.record.value);
                self.counter.take(&record, entry.leader_epoch).map_err(|full| full.to_string())?;
                if self.counter.next() == offset + 1 && before <= offset {
                    self.taken.push((offset, entry.record));
                }
            }
            Item::End(offset) => self.counter.reach(offset).map_err(|cut| cut.to_string())?,
            Item::Broken(cause) => return Err(format!("read {}: {cause}", self.counter.lane())),
        }
        Ok(())
    }

    fn finish(&mut self) -> FinishedBlock {
        self.counter.finish()
    }

    fn taken_of(&mut self, block: &FinishedBlock) -> Vec<(i64, Arc<Written>)> {
        let later =
            self.taken.iter().position(|(offset, _)| *offset >= block.next).unwrap_or(self.taken.len());
        self.taken.drain(..later).collect()
    }
}

fn record<'a>(topic: &'a str, partition: i32, offset: i64, value: &'a [u8]) -> Record<'a> {
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

struct LaneTask {
    world: World,
    publisher: LanePublisher,
    journal: Option<Journal>,
    width: i64,
    rules: Rules,
    variant: Variant,
    store: SimStore,
    cache: Cache,
}

impl LaneTask {
    async fn run(
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
