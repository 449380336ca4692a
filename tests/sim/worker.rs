//! A process that ingests: the product's session, action for action, around the product's own lane
//! beginning, counting, publishing and recounting. `pipeline/session.rs` and `pipeline/lane_task.rs`
//! are what it follows; every `await` is a place where it may be stopped, woken or killed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use odometer::aggregate::BlockKind;
use odometer::dedup::{Cache, CacheFull, CacheSettings, Moves};
use odometer::event::{Lane, Rules};
use odometer::flush::{FinishedBlock, Inserts, Publisher};
use odometer::pipeline::{Beginner, Begun, IngestError, LaneCounter, LaneState};
use odometer::source::Start;
use tokio::sync::mpsc;

use super::client;
use super::fault::Fault;
use super::group::Place;
use super::lane_task::{Command, LaneEvent, LaneTask, record};
use super::log::{Entry, Written};
use super::ports::{FenceHandle, SimFence, SimLetters, SimStore};
use super::room::{full_kind, note_moves};
use super::settings::Variant;
use super::world::{Answer, Item, Rebalance, Request, World, pass};

pub const GROUP: &str = "odometer";
/// More than a lane is ever asked for while its task waits.
const QUEUE: usize = 4_096;

/// Records of one lane that are counted together: one by one, some, or more than a group has events.
const RUNS: &[usize] = &[1, 3, 8, 64];

/// Why a session ends.
enum Doubt {
    /// A lane has waited long enough for room; nothing is in doubt.
    TryAgain,
    Cause(String),
}

impl From<String> for Doubt {
    fn from(cause: String) -> Self {
        Self::Cause(cause)
    }
}

impl From<&str> for Doubt {
    fn from(cause: &str) -> Self {
        Self::Cause(cause.to_owned())
    }
}

struct Slot {
    counter: LaneCounter,
    tenure: u128,
    commands: mpsc::Sender<Command>,
    task: u64,
    is_publishing: bool,
    /// Records behind the counter's last block.
    taken: Vec<(i64, Arc<Written>)>,
    /// Of its window, as far as they are noted.
    moves: Moves,
    /// Requests to count again that the lane's task was given.
    handed: BTreeSet<u64>,
}

struct Session {
    world: World,
    process: u64,
    variants: Vec<Variant>,
    cache: Cache,
    start: Start,
    /// Of all sessions of the process.
    inserts: Arc<Inserts<SimStore>>,
    fence: Arc<SimFence>,
    slots: BTreeMap<Place, Slot>,
    events: mpsc::Receiver<LaneEvent>,
    event_sender: mpsc::Sender<LaneEvent>,
}

/// The process's main task.
pub async fn run(world: World, process: u64, start: Start) {
    let (cache, variants) = {
        let mut state = world.lock();
        let own = state.processes.get_mut(&process).expect("it runs");
        let settings =
            CacheSettings { dir: own.home.clone(), memory: own.room.memory, budget: own.room.disk };
        let cache = Cache::open(&settings).expect("open the cache of a simulated process");
        cache.dir().clone_into(&mut own.folder);
        own.room.open(&cache);
        (cache, own.variants.clone())
    };
    let rules: Vec<Rules> = variants.iter().map(Variant::rules).collect();
    while !matches!(world.call(Request::StoreRules(rules.clone())).await, Answer::Done) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let inserts = Arc::new(Inserts::new(SimStore { world: world.clone() }));
    while !world.lock().processes[&process].is_stopping {
        let (event_sender, events) = mpsc::channel(QUEUE);
        let session = Session {
            world: world.clone(),
            process,
            variants: variants.clone(),
            cache: cache.clone(),
            start,
            inserts: Arc::clone(&inserts),
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
        if let Err(Doubt::Cause(doubt)) = &end {
            self.world.lock().tell(|_| format!("process {process}: {doubt}; leaves the group"));
        }
        self.leave(matches!(end, Ok(()) | Err(Doubt::TryAgain))).await;
    }

    fn is_stopping(&self) -> bool {
        self.world.lock().processes[&self.process].is_stopping
    }

    /// Ends well only where it was told to stop.
    async fn work(&mut self) -> Result<(), Doubt> {
        loop {
            pass().await;
            if self.is_stopping() {
                return Ok(());
            }
            match self.turn().await {
                Ok(()) => {}
                Err(_) if self.is_stopping() => return Ok(()),
                Err(doubt) => return Err(doubt),
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Doubt> {
        self.hear_tasks()?;
        for slot in self.slots.values_mut() {
            slot.counter.give_back();
            slot.note_moves(&self.world);
        }
        self.finish_due(false);
        self.hand_recounts();
        self.watch_topics()?;
        let (items, rebalances) = client::poll(&mut self.world.lock(), self.process);
        self.count(items)?;
        for rebalance in rebalances {
            match rebalance {
                Rebalance::Assign(places) => self.assign(places).await?,
                Rebalance::Revoke(places) => self.revoke(&places).await,
            }
        }
        let mut state = self.world.lock();
        let now_ms = state.now_ms;
        let own = state.processes.get_mut(&self.process).expect("it runs");
        if own.room.end_due(now_ms) { Err(Doubt::TryAgain) } else { Ok(()) }
    }

    /// Takes the records of each place in runs.
    fn count(&mut self, items: Vec<(Place, Item)>) -> Result<(), Doubt> {
        if items.is_empty() {
            return Ok(());
        }
        let most = {
            let mut state = self.world.lock();
            state.processes.get_mut(&self.process).expect("it runs").room.read();
            *state.chance.pick(RUNS)
        };
        let mut items = items.into_iter().peekable();
        let mut run = Vec::new();
        while let Some((place, item)) = items.next() {
            let behind = match item {
                Item::Record(offset, entry) => {
                    run.push((offset, entry));
                    let goes_on = matches!(items.peek(), Some((next, Item::Record(..))) if *next == place);
                    if goes_on && run.len() < most {
                        continue;
                    }
                    None
                }
                item => Some(item),
            };
            let Some(slot) = self.slots.get_mut(&place) else {
                run.clear();
                continue;
            };
            let taken = slot.take_run(place, std::mem::take(&mut run), behind);
            slot.note_moves(&self.world);
            taken.map_err(|error| self.end_for(place, &error))?;
        }
        Ok(())
    }

    /// Where it has no room, the lane waits in the next session too.
    fn end_for(&self, place: Place, error: &IngestError) -> Doubt {
        if let IngestError::CacheFull(full) = error {
            self.wait(place, full);
        }
        error.to_string().into()
    }

    fn wait(&self, place: Place, full: &CacheFull) {
        let mut state = self.world.lock();
        state.note(full_kind(full));
        let now_ms = state.now_ms;
        let own = state.processes.get_mut(&self.process).expect("it runs");
        own.room.wait(place, now_ms);
        // Between the record that found no room and the end of the session.
        if !state.is_calm && state.chance.one_in(2) {
            state.processes.get_mut(&self.process).expect("it runs").is_stopping = true;
            state.note(Fault::StoppedInPart);
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
                        return Err(cause.into());
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
            if slot.handed.insert(request.id) || state.chance.one_in(3) {
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
        let (waiting, places): (Vec<Place>, Vec<Place>) = {
            let state = self.world.lock();
            let room = &state.processes[&self.process].room;
            places.into_iter().partition(|place| room.waits(place))
        };
        let mut ids = HashMap::new();
        for (name, _) in &places {
            let topic = self.world.lock().topic_index(name);
            match self.world.call(Request::Describe(topic)).await {
                Answer::TopicId(id) => ids.insert(*name, id),
                other => return Err(format!("describe topic: {other:?}").into()),
            };
        }
        let mut offsets = Vec::new();
        for place in &places {
            let topic_id = Arc::clone(&ids[place.0]);
            let read_from = self.begin(*place, Arc::clone(&topic_id)).await?;
            offsets.push((*place, topic_id, Some(read_from)));
        }
        let mut state = self.world.lock();
        // They are held, so that the group and the process agree, and nobody reads them.
        offsets.extend(waiting.iter().map(|place| (*place, state.lane(*place).topic_id, None)));
        let now_ms = state.now_ms;
        state.processes.get_mut(&self.process).expect("it runs").room.begun(places.len(), now_ms);
        client::assign(&mut state, self.process, offsets);
        Ok(())
    }

    /// Answers with the offset to read from.
    async fn begin(&mut self, place: Place, topic_id: Arc<str>) -> Result<i64, Doubt> {
        let lane = Lane { topic: place.0.into(), topic_id, partition: place.1 };
        let committed = match self.world.call(Request::Committed(place)).await {
            Answer::Committed(committed) => committed,
            other => return Err(format!("read commit: {other:?}").into()),
        };
        let (log_start, log_end) = match self.world.call(Request::Bounds(place)).await {
            Answer::Bounds { start, end } => (start, end),
            other => return Err(format!("read watermarks: {other:?}").into()),
        };
        let (tenure_id, rules, partitions) = {
            let mut state = self.world.lock();
            let topic = state.topic_index(place.0);
            let partitions = state.topics[topic].partitions.len() as i32;
            (state.chance.id(), self.variants[topic].rules(), partitions)
        };
        let expected = self.cache.expect(1);
        let beginner = Beginner {
            store: self.inserts.store(),
            expected: &expected,
            group: GROUP,
            rules: &rules,
            start: self.start,
        };
        let state = LaneState { lane: lane.clone(), partitions, committed, log_start, log_end };
        let begun = beginner.begin(&state, tenure_id).await.map_err(|error| self.end_for(place, &error))?;
        let read_from = begun.read_from;
        self.open(place, lane, begun, rules);
        Ok(read_from)
    }

    fn open(&mut self, place: Place, lane: Lane, begun: Begun, rules: Rules) {
        let Begun { taken, counter, first, journal, .. } = begun;
        self.fence.hold(&taken.tenure);
        let letters = SimLetters { world: self.world.clone(), lane: lane.clone() };
        let fence = FenceHandle(Arc::clone(&self.fence));
        let publisher = Publisher::new(Arc::clone(&self.inserts), fence, letters, GROUP, &taken);
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
            store: self.inserts.store().clone(),
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
            moves: Moves::default(),
            handed: BTreeSet::new(),
        };
        self.slots.insert(place, slot);
    }

    async fn revoke(&mut self, places: &[Place]) {
        let mut released = Vec::new();
        for place in places {
            self.world.lock().processes.get_mut(&self.process).expect("it runs").room.give_up(place);
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
    /// Takes the records and what came behind them.
    fn take_run(
        &mut self,
        place: Place,
        run: Vec<(i64, Entry)>,
        behind: Option<Item>,
    ) -> Result<(), IngestError> {
        let before = self.counter.next();
        let records: Vec<_> = run
            .iter()
            .map(|(offset, entry)| {
                (record(place.0, place.1, *offset, &entry.record.value), entry.leader_epoch)
            })
            .collect();
        self.counter.take_all(&records)?;
        // What lies below was counted already, or is only read for its keys.
        let counted = run.into_iter().filter(|(offset, _)| *offset >= before);
        self.taken.extend(counted.map(|(offset, entry)| (offset, entry.record)));
        match behind {
            Some(Item::End(offset)) => self.counter.reach(offset)?,
            Some(Item::Broken(cause)) => {
                let lane = self.counter.lane().to_string();
                return Err(IngestError::Broken { lane, cause: cause.into() });
            }
            Some(Item::Record(..)) | None => {}
        }
        Ok(())
    }

    fn note_moves(&mut self, world: &World) {
        note_moves(&mut world.lock().tally, &mut self.moves, self.counter.window().moves());
    }

    fn finish(&mut self) -> FinishedBlock {
        self.counter.close().finish()
    }

    fn taken_of(&mut self, block: &FinishedBlock) -> Vec<(i64, Arc<Written>)> {
        let later =
            self.taken.iter().position(|(offset, _)| *offset >= block.next).unwrap_or(self.taken.len());
        self.taken.drain(..later).collect()
    }
}
