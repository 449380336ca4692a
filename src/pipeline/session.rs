use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lane_task::LaneEvent;
use super::lanes::{Grounds, ReadyLane};
use super::pace::{Beat, Pace};
use super::waiting::WaitingLanes;
use super::watch::{self, HeldLanes};
use super::{ClosedBlock, IngestError, LaneCounter, Settings, metrics};
use crate::clock::{Clock, instant};
use crate::dedup::Cache;
use crate::event::{Lane, Record};
use crate::flush::Inserts;
use crate::source::{Batch, Client, DeadLetters, Fence, Item, Rebalance, TopicDescription};
use crate::store::{RecountRequest, Store};

/// One membership in the group, from joining to leaving, on a thread of its own.
pub struct Session {
    pub settings: Arc<Settings>,
    /// Of all sessions of the process.
    pub inserts: Arc<Inserts<Store>>,
    pub letters: DeadLetters,
    pub cache: Cache,
    pub clock: Clock,
    pub runtime: Handle,
    pub shutdown: CancellationToken,
    pub(super) checks: super::ingest::Checks,
    pub(super) beat: Beat,
    /// Of all sessions of the process: what had no room in this one is not tried at once in the next.
    pub(super) waiting: WaitingLanes,
}

/// How a session came to its end.
#[derive(Debug)]
pub enum SessionEnd {
    /// Asked to stop: everything that was counted is published.
    Stopped,
    /// A doubt, or a change that only a new membership resolves.
    Doubt(IngestError),
}

struct Slot {
    counter: LaneCounter,
    tenure: u128,
    blocks: mpsc::Sender<ClosedBlock>,
    task: JoinHandle<()>,
    recounts: mpsc::Sender<RecountRequest>,
    /// Since when a block has been under way.
    publishing: Option<Instant>,
    opened: Instant,
    pace: Pace,
}

/// Records of one lane that follow one another in a batch.
struct Run<'b> {
    slot: usize,
    records: Vec<(Record<'b>, i32)>,
}

struct Running<'a> {
    session: &'a Session,
    client: Client,
    fence: Arc<Fence>,
    slots: Vec<Option<Slot>>,
    by_partition: HashMap<(String, i32), usize>,
    held: HeldLanes,
    events: mpsc::Receiver<LaneEvent>,
    event_sender: mpsc::Sender<LaneEvent>,
    paused: bool,
    blocked_since: Option<Instant>,
}

/// A poll returns after this long, so that flushes, rebalances and a stop are seen in time.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Records of one poll: enough that a poll costs little, few enough to hold in the processor's cache.
const POLL_RECORDS: usize = 2_000;
/// Records of one lane that are counted together.
const RUN_RECORDS: usize = 256;
/// Room is looked at between polls, so a poll is small in bytes too.
const POLL_BYTES: usize = 8 << 20;
/// After so long without room the client stops fetching, so that the group keeps the member.
const BLOCKED_BEFORE_PAUSE: Duration = Duration::from_secs(5);
/// A block that is under way for longer makes the process not ready.
const STALLED_AFTER: Duration = Duration::from_secs(15);
/// Lanes that are taken over at the same time.
const BEGUN_AT_ONCE: usize = 16;
/// An event a lane; lanes are few.
const EVENT_QUEUE: usize = 1_024;

impl Session {
    /// Joins, works until it must end, leaves.
    pub fn run(&self) -> SessionEnd {
        let client = match Client::join(&self.settings.kafka) {
            Ok(client) => client,
            Err(error) => return SessionEnd::Doubt(error.into()),
        };
        let fence = Arc::new(Fence::new(&client));
        let held = HeldLanes::default();
        let ended = CancellationToken::new();
        let remade = CancellationToken::new();
        let _end_watch = ended.clone().drop_guard();
        self.runtime.spawn(crate::telemetry::vital_task(watch::watch(
            client.watermarks(),
            self.inserts.store().clone(),
            Arc::clone(&held),
            self.clock.clone(),
            self.settings.flush_interval,
            ended,
            remade.clone(),
        )));
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let mut running = Running {
            session: self,
            client,
            fence,
            slots: Vec::new(),
            by_partition: HashMap::new(),
            held,
            events,
            event_sender,
            paused: false,
            blocked_since: None,
        };
        let end = running.work(&remade);
        running.leave(matches!(end, SessionEnd::Stopped | SessionEnd::Doubt(IngestError::TryAgain)));
        end
    }
}

impl Running<'_> {
    fn work(&mut self, remade: &CancellationToken) -> SessionEnd {
        loop {
            if self.session.shutdown.is_cancelled() {
                return SessionEnd::Stopped;
            }
            if remade.is_cancelled() {
                return SessionEnd::Doubt(IngestError::TopicRemade);
            }
            match self.turn() {
                Ok(()) => {}
                Err(_) if self.session.shutdown.is_cancelled() => return SessionEnd::Stopped,
                Err(error) => return SessionEnd::Doubt(error),
            }
        }
    }

    fn turn(&mut self) -> Result<(), IngestError> {
        self.hear_tasks()?;
        for slot in self.slots.iter_mut().flatten() {
            slot.counter.give_back();
        }
        self.close_due();
        self.show_health();
        if self.has_room()? {
            let (batch, rebalances) = self.client.poll(POLL_TIMEOUT, POLL_RECORDS, POLL_BYTES);
            self.count(&batch)?;
            drop(batch);
            for rebalance in rebalances {
                self.rebalance(rebalance)?;
            }
        }
        if self.session.waiting.end_due() { Err(IngestError::TryAgain) } else { Ok(()) }
    }

    fn hear_tasks(&mut self) -> Result<(), IngestError> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                LaneEvent::Published { slot, tenure } => {
                    if let Some(slot) = self.slots[slot].as_mut().filter(|slot| slot.tenure == tenure) {
                        slot.publishing = None;
                    }
                }
                LaneEvent::Ended { slot, tenure, cause } => {
                    if self.slots[slot].as_ref().is_some_and(|slot| slot.tenure == tenure) {
                        return Err(IngestError::TenureEnded(cause));
                    }
                }
                LaneEvent::WindowReplaced { slot, tenure } => {
                    if let Some(slot) = self.slots[slot].as_ref().filter(|slot| slot.tenure == tenure) {
                        return Err(IngestError::WindowReplaced { lane: slot.counter.lane().to_string() });
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands blocks that are due to their lanes' tasks: at the process's beat, so that all lanes keep in
    /// step and ClickHouse gets their rows together, or when they are full.
    fn close_due(&mut self) {
        let (beat, room) = (&self.session.beat, self.block_room());
        let now = beat.number(instant());
        let is_due = |slot: &&mut Slot| {
            let is_ready = slot.publishing.is_none() && slot.counter.has_news();
            is_ready && (beat.number(slot.opened) < now || slot.counter.bytes() >= room)
        };
        self.slots.iter_mut().flatten().filter(is_due).for_each(Slot::close);
    }

    /// Bytes that one open block may take: each lane has one open and one being published.
    fn block_room(&self) -> usize {
        let lanes = self.slots.iter().flatten().count().max(1) as u64;
        let share = self.session.settings.block_memory / (2 * lanes * self.session.settings.consumers as u64);
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    /// Whether more may be read. Where a block is full and the one before it is still being
    /// published, the thread waits: it reads less instead of holding more. After an error nothing may
    /// be read any more: where the client would go on is not known.
    fn has_room(&mut self) -> Result<bool, IngestError> {
        let room = self.block_room();
        let is_blocked = self
            .slots
            .iter()
            .flatten()
            .any(|slot| slot.publishing.is_some() && (slot.counter.bytes() >= room));
        if !is_blocked {
            self.blocked_since = None;
            if self.paused {
                self.set_paused(false)?;
            }
            return Ok(true);
        }
        let since = *self.blocked_since.get_or_insert_with(instant);
        if self.paused {
            return Ok(true); // Nothing is fetched; the poll only serves the group.
        }
        if since.elapsed() >= BLOCKED_BEFORE_PAUSE {
            self.set_paused(true)?;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }

    fn show_health(&self) {
        let stalled = self
            .slots
            .iter()
            .flatten()
            .find(|slot| slot.publishing.is_some_and(|since| since.elapsed() > STALLED_AFTER));
        match stalled {
            Some(slot) => self.session.checks.stalled(format!(
                "publishing {} takes longer than {} s; see the log",
                slot.counter.lane(),
                STALLED_AFTER.as_secs()
            )),
            None => match self.session.waiting.reason() {
                Some(why) => self.session.checks.stalled(why),
                None => self.session.checks.flushing(),
            },
        }
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), IngestError> {
        let lanes: Vec<_> = self.by_partition.keys().cloned().collect();
        self.client.pause(&lanes, paused)?;
        self.paused = paused;
        Ok(())
    }

    fn count(&mut self, batch: &Batch) -> Result<(), IngestError> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(cause) = batch.fatal_error() {
            return Err(IngestError::Group { cause });
        }
        self.session.waiting.read();
        let started = instant();
        let (slots, by_partition) = (&mut self.slots, &self.by_partition);
        let mut failure = None;
        let mut run = Run { slot: 0, records: Vec::with_capacity(RUN_RECORDS) };
        let mut take = |slot: usize, run: &mut Run<'_>, item: Option<Item<'_>>| {
            let slot = slots.get_mut(slot).and_then(Option::as_mut).filter(|_| failure.is_none());
            let Some(slot) = slot else { return run.records.clear() };
            failure = slot.take_run(run, item).err();
            if let Some(IngestError::CacheFull(full)) = &failure {
                let lane = slot.counter.lane();
                self.session.waiting.add(&lane.topic, lane.partition, full);
            }
        };
        batch.each(
            |topic, partition| by_partition.get(&(topic.to_owned(), partition)).copied(),
            |slot, item| {
                if slot != run.slot || run.records.len() == RUN_RECORDS {
                    take(run.slot, &mut run, None);
                    run.slot = slot;
                }
                match item {
                    Item::Record { record, leader_epoch } => run.records.push((record, leader_epoch)),
                    item => take(slot, &mut run, Some(item)),
                }
            },
        );
        take(run.slot, &mut run, None);
        metrics::decoded(started.elapsed());
        failure.map_or(Ok(()), Err)
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), IngestError> {
        match rebalance {
            Rebalance::Assign(lanes) => self.assign(lanes),
            Rebalance::Revoke(lanes) => self.revoke(&lanes),
            Rebalance::Failed(cause) => Err(IngestError::Group { cause }),
        }
    }

    fn assign(&mut self, lanes: Vec<(String, i32)>) -> Result<(), IngestError> {
        let mut offsets = Vec::with_capacity(lanes.len());
        let (waiting, lanes): (Vec<_>, _) =
            lanes.into_iter().partition(|lane| self.session.waiting.hold(lane));
        tracing::info!(lanes = lanes.len(), waiting = waiting.len(), "assigned");
        if !lanes.is_empty() {
            let mut topics: Vec<_> = lanes.iter().map(|(topic, _)| topic.clone()).collect();
            topics.sort();
            topics.dedup();
            let described = self.client.describe_topics(&topics)?;
            for ((topic, partition), ready) in lanes.iter().zip(self.begin(&lanes, &described)?) {
                offsets.push((topic.clone(), *partition, ready.read_from));
                self.by_partition.insert((topic.clone(), *partition), self.slots.len());
                self.open(ready);
            }
        }
        // The group's view and ours must agree, so those that wait are assigned too; nobody reads them.
        offsets.extend(waiting.iter().map(|(topic, partition)| (topic.clone(), *partition, Client::LOG_END)));
        self.session.waiting.begun(lanes.len());
        self.client.assign(&offsets)?;
        if !waiting.is_empty() {
            self.client.pause(&waiting, true)?;
        }
        if self.paused {
            self.set_paused(true)?;
        }
        self.session.checks.assigned();
        self.show_held();
        Ok(())
    }

    /// Takes the lanes over, several at a time; each goes to the next free slot, in order.
    fn begin(
        &mut self,
        lanes: &[(String, i32)],
        described: &[TopicDescription],
    ) -> Result<Vec<ReadyLane>, IngestError> {
        let expected = self.session.cache.expect(lanes.len());
        // Nobody gives memory back while lanes are begun.
        for slot in self.slots.iter_mut().flatten() {
            while slot.counter.give_back() {}
        }
        let grounds = Grounds {
            settings: &self.session.settings,
            client: &self.client,
            fence: &self.fence,
            inserts: &self.session.inserts,
            letters: &self.session.letters,
            expected: &expected,
            clock: &self.session.clock,
        };
        let begin = async |(index, (topic, partition)): (usize, &(String, i32))| {
            let description = described.iter().find(|described| described.name == *topic);
            let description =
                description.ok_or_else(|| IngestError::UnknownTopic { topic: topic.clone() })?;
            grounds.begin(description, *partition, self.slots.len() + index).await.inspect_err(|error| {
                if let IngestError::CacheFull(full) = error {
                    self.session.waiting.add(topic, *partition, full);
                }
            })
        };
        let all = stream::iter(lanes.iter().enumerate().map(begin)).buffered(BEGUN_AT_ONCE).try_collect();
        let shutdown = &self.session.shutdown;
        self.session.runtime.block_on(shutdown.run_until_cancelled(all)).unwrap_or(Err(IngestError::Stopping))
    }

    fn open(&mut self, begun: ReadyLane) {
        let (blocks, receiver) = mpsc::channel(1);
        let tenure = begun.task.publisher.tenure().id;
        let task = self.session.runtime.spawn(begun.task.run(receiver, self.event_sender.clone()));
        self.slots.push(Some(Slot {
            counter: begun.counter,
            tenure,
            blocks,
            recounts: begun.recounts,
            task,
            publishing: None,
            opened: instant(),
            pace: Pace::default(),
        }));
    }

    /// Gives lanes up: no commit is under way after the fence has released them.
    fn revoke(&mut self, lanes: &[(String, i32)]) -> Result<(), IngestError> {
        self.session.waiting.give_up(lanes);
        let mut released: Vec<Lane> = Vec::new();
        for lane in lanes {
            if let Some(slot) = self.by_partition.remove(lane).and_then(|index| self.slots[index].take()) {
                tracing::info!(lane = %slot.counter.lane(), at = slot.counter.next(), "gives lane up");
                released.push(slot.counter.lane().clone());
            }
        }
        self.fence.release(&released);
        self.show_held();
        self.client.unassign(lanes)?;
        Ok(())
    }

    fn show_held(&self) {
        let held = |slot: &Slot| (slot.counter.lane().clone(), slot.recounts.clone());
        let lanes = self.slots.iter().flatten().map(held).collect();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    /// Publishes what is counted where the end is an orderly one, then leaves the group.
    fn leave(mut self, is_orderly: bool) {
        if is_orderly {
            self.drain();
        }
        let lanes: Vec<_> = self.slots.iter().flatten().map(|slot| slot.counter.lane().clone()).collect();
        self.fence.release(&lanes);
        self.slots.clear();
        self.session.waiting.give_up_all();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        self.client.leave();
    }

    /// Waits until every lane has published all that it counted, at most for the shutdown time-out.
    fn drain(&mut self) {
        let deadline = instant() + self.session.settings.shutdown_timeout.mul_f32(0.8);
        while instant() < deadline {
            if let Err(error) = self.hear_tasks() {
                tracing::warn!("{error}; what is not published is counted again by the next owner");
                return;
            }
            let mut is_done = true;
            for slot in self.slots.iter_mut().flatten() {
                if slot.publishing.is_none() && slot.counter.has_news() {
                    slot.close();
                }
                is_done &= slot.publishing.is_none();
            }
            if is_done {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        tracing::warn!("not everything was published in time; the rest is counted again by the next owner");
    }
}

impl Slot {
    /// Takes the records, which leaves none, and what came behind them.
    fn take_run(&mut self, run: &mut Run<'_>, behind: Option<Item<'_>>) -> Result<(), IngestError> {
        if run.records.is_empty() && behind.is_none() {
            return Ok(());
        }
        if !self.counter.has_news() {
            self.opened = instant();
        }
        let taken = self.counter.take_all(&run.records);
        run.records.clear();
        taken?;
        match behind {
            Some(Item::End { offset }) => self.counter.reach(offset)?,
            Some(Item::Broken { cause }) => {
                return Err(IngestError::Broken { lane: self.counter.lane().to_string(), cause });
            }
            Some(Item::Record { record, leader_epoch }) => self.counter.take(&record, leader_epoch)?,
            None => {}
        }
        Ok(())
    }

    /// The task takes one block at a time, so there is room.
    fn close(&mut self) {
        let lane = self.counter.lane();
        self.pace.reach(self.counter.next(), instant());
        let window = self.counter.window();
        metrics::window(lane, window, self.pace.hours(window.width()));
        // Where the task has ended it has said why, and the session ends with it.
        let _ = self.blocks.try_send(self.counter.close());
        self.publishing = Some(instant());
    }
}

impl Drop for Slot {
    /// A task that waits for a server that is down must not outlive its lane.
    fn drop(&mut self) {
        self.task.abort();
    }
}
