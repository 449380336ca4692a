use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::lane_task::LaneEvent;
use super::pace::{Beat, Pace};
use super::{ClosedBlock, IngestError, LaneCounter, metrics};
use crate::clock::instant;
use crate::source::{Batch, Item};
use crate::telemetry::vital;

mod slot;

#[cfg(test)]
mod tests;

use slot::{Run, Slot};

/// A thread that counts lanes of its own, with nothing that another one touches: it takes what the
/// member's thread has polled, and hands blocks that are due to the lanes' tasks.
pub struct CountingThread {
    words: SyncSender<Word>,
    loads: SyncSender<Load>,
    /// What it had no room for yet.
    ahead: VecDeque<Load>,
    events: mpsc::Sender<LaneEvent>,
    /// How many it counts.
    pub lanes: usize,
    stalled: Stalled,
    thread: thread::JoinHandle<()>,
}

/// What all counting threads of a session are started with.
#[derive(Clone)]
pub struct Common {
    pub beat: Beat,
    /// Bytes that one open block may take.
    pub block_room: Arc<AtomicUsize>,
    /// Each thread fails once.
    pub failures: SyncSender<Failure>,
    /// Is woken when a load is taken.
    pub member: thread::Thread,
}

/// Why a session must end: records that came after it are not counted.
pub struct Failure {
    /// The lane (topic, partition) that the error is about.
    pub lane: (String, i32),
    pub error: IngestError,
}

/// What one poll brought for a thread.
pub struct Load {
    pub batch: Batch,
    /// How many slots of the session had been opened when it was polled. A lane that was opened later
    /// reads from elsewhere: these records are none of its.
    pub opened: usize,
}

/// What a thread heeds before any load.
enum Word {
    Open(usize, Box<Slot>),
    /// Publishes what these lanes have counted, at most until then, and gives them up; then answers.
    Release(Vec<usize>, Instant, SyncSender<()>),
    /// Gives memory back that other lanes need, all that there is, then answers.
    MakeRoom(SyncSender<()>),
    /// Publishes what is counted, at most until then, and counts nothing more; then answers.
    Drain(Instant, SyncSender<()>),
}

/// A block that is under way for too long, in words.
type Stalled = Arc<Mutex<Option<String>>>;

/// Loads that a thread has before it, so that it needn't wait for the next.
const LOADS: usize = 2;
/// Words come one behind the other, most with an answer that is waited for.
const WORDS: usize = 64;
/// An event a lane; lanes are few.
const EVENTS: usize = 1_024;
/// Blocks that are due are looked for at least this often.
const TURN: Duration = Duration::from_millis(20);
/// It is woken for the first.
const TURN_WITHOUT_LANES: Duration = Duration::from_secs(1);
/// A block that is published makes room.
const TURN_WITHOUT_ROOM: Duration = Duration::from_millis(1);
/// Records of one lane that are counted together.
const RUN_RECORDS: usize = 256;
/// A block that is under way for longer makes the process not ready.
const STALLED_AFTER: Duration = Duration::from_secs(15);

impl CountingThread {
    /// The most loads that are in one thread's hands.
    pub const LOADS: usize = LOADS + 1;

    pub fn start(number: usize, common: Common) -> Result<Self, IngestError> {
        let (words, words_behind) = sync_channel(WORDS);
        let (loads, loads_behind) = sync_channel(LOADS);
        let (events, events_behind) = mpsc::channel(EVENTS);
        let stalled = Stalled::default();
        let worker = Worker {
            common,
            words: words_behind,
            loads: loads_behind,
            events: events_behind,
            slots: BTreeMap::new(),
            by_partition: HashMap::new(),
            is_over: false,
            stalled: Arc::clone(&stalled),
        };
        let thread = thread::Builder::new()
            .name(format!("counting-{number}"))
            .spawn(move || vital(|| worker.run()))
            .map_err(|error| IngestError::Group { cause: format!("start a thread: {error}") })?;
        Ok(Self { words, loads, ahead: VecDeque::new(), events, lanes: 0, stalled, thread })
    }

    /// Counts one more lane, in slot `slot` of the session.
    pub fn open(&mut self, slot: usize, counter: LaneCounter, blocks: mpsc::Sender<ClosedBlock>) {
        self.lanes += 1;
        let (opened, pace) = (instant(), Pace::default());
        let opened = Slot { counter, blocks, publishing: None, opened, is_first: true, pace };
        self.tell(Word::Open(slot, Box::new(opened)));
    }

    /// Where the tasks of its lanes tell it what became of their blocks.
    pub fn events(&self) -> mpsc::Sender<LaneEvent> {
        self.events.clone()
    }

    /// A load for it, behind those that it had no room for yet.
    pub fn add(&mut self, load: Load) {
        self.ahead.push_back(load);
    }

    /// Gives it what it has room for; `true` where that is all.
    pub fn hand_over(&mut self) -> bool {
        while let Some(load) = self.ahead.pop_front() {
            match self.loads.try_send(load) {
                Ok(()) => self.wake(),
                Err(TrySendError::Full(load) | TrySendError::Disconnected(load)) => {
                    self.ahead.push_front(load);
                    return false;
                }
            }
        }
        true
    }

    /// Gives lanes up, what they have counted published as far as that is done by `deadline`; they are
    /// gone when the answer has come.
    pub fn release(&mut self, slots: Vec<usize>, deadline: Instant) -> Answer {
        self.lanes = self.lanes.saturating_sub(slots.len());
        self.ask(|answer| Word::Release(slots, deadline, answer))
    }

    pub fn make_room(&self) -> Answer {
        self.ask(Word::MakeRoom)
    }

    pub fn drain(&self, deadline: Instant) -> Answer {
        self.ask(|answer| Word::Drain(deadline, answer))
    }

    /// What has been under way for too long.
    pub fn stalled(&self) -> Option<String> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread; what is not published is counted again by the next owner.
    pub fn end(self) {
        let Self { words, thread, .. } = self;
        drop(words);
        thread.thread().unpark();
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn ask(&self, word: impl FnOnce(SyncSender<()>) -> Word) -> Answer {
        let (answer, asked) = sync_channel(1);
        self.tell(word(answer));
        Answer(asked)
    }

    /// The thread lives as long as the sender does.
    fn tell(&self, word: Word) {
        let _ = self.words.send(word);
        self.wake();
    }

    fn wake(&self) {
        self.thread.thread().unpark();
    }
}

/// Comes when a thread has done as it was told.
#[must_use]
pub struct Answer(Receiver<()>);

impl Answer {
    pub fn wait(self) {
        let _ = self.0.recv();
    }
}

struct Worker {
    common: Common,
    words: Receiver<Word>,
    loads: Receiver<Load>,
    events: mpsc::Receiver<LaneEvent>,
    slots: BTreeMap<usize, Slot>,
    by_partition: HashMap<(String, i32), usize>,
    /// The session ends: nothing more is counted.
    is_over: bool,
    stalled: Stalled,
}

enum Heard {
    Word(Word),
    Event(LaneEvent),
    Load(Load),
    /// It was time to look.
    Nothing,
    /// Nobody speaks to it any more.
    End,
}

impl Worker {
    fn run(mut self) {
        loop {
            for slot in self.slots.values_mut() {
                slot.counter.give_back();
            }
            self.close_due();
            self.show_stalled();
            match self.listen() {
                Heard::Word(word) => self.heed(word),
                Heard::Event(event) => {
                    self.heed_all();
                    self.hear(event).unwrap_or_else(|failure| self.fail(failure));
                }
                Heard::Load(load) => {
                    self.heed_all();
                    self.count(&load);
                }
                Heard::Nothing => {}
                Heard::End => return,
            }
        }
    }

    /// Tasks don't wake the thread: what they say is heard within a turn, or soon where it is waited for.
    fn listen(&mut self) -> Heard {
        match self.words.try_recv() {
            Ok(word) => return Heard::Word(word),
            Err(TryRecvError::Disconnected) => return Heard::End,
            Err(TryRecvError::Empty) => {}
        }
        if let Ok(event) = self.events.try_recv() {
            return Heard::Event(event);
        }
        let has_room = self.has_room();
        if has_room && let Ok(load) = self.loads.try_recv() {
            self.common.member.unpark();
            return Heard::Load(load);
        }
        match (self.slots.is_empty(), has_room) {
            (true, _) => thread::park_timeout(TURN_WITHOUT_LANES),
            (_, true) => thread::park_timeout(TURN),
            (_, false) => thread::park_timeout(TURN_WITHOUT_ROOM),
        }
        Heard::Nothing
    }

    /// Before anything else is done: a lane is opened before its task says anything and before a record of
    /// it is polled, but in another channel.
    fn heed_all(&mut self) {
        while let Ok(word) = self.words.try_recv() {
            self.heed(word);
        }
    }

    fn heed(&mut self, word: Word) {
        match word {
            Word::Open(number, slot) => {
                let lane = slot.counter.lane();
                self.by_partition.insert((lane.topic.to_string(), lane.partition), number);
                self.slots.insert(number, *slot);
            }
            Word::Release(slots, deadline, answer) => {
                self.publish(&slots, deadline);
                slots.into_iter().for_each(|slot| self.release(slot));
                let _ = answer.send(());
            }
            Word::MakeRoom(answer) => {
                for slot in self.slots.values_mut() {
                    while slot.counter.give_back() {}
                }
                let _ = answer.send(());
            }
            Word::Drain(deadline, answer) => {
                self.drain(deadline);
                let _ = answer.send(());
            }
        }
    }

    fn release(&mut self, number: usize) {
        self.by_partition.retain(|_, other| *other != number);
        let Some(slot) = self.slots.remove(&number) else { return };
        let lane = slot.counter.lane();
        tracing::info!(%lane, at = slot.counter.next(), "gives lane up");
    }

    /// What a lane's task says. An error, and the slot that it is about, ends the session.
    fn hear(&mut self, event: LaneEvent) -> Result<(), (usize, IngestError)> {
        match event {
            LaneEvent::Published { slot } => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.publishing = None;
                }
                Ok(())
            }
            LaneEvent::Ended { slot, cause } => Err((slot, IngestError::TenureEnded(cause))),
            LaneEvent::WindowReplaced { slot, lane } => Err((slot, IngestError::WindowReplaced { lane })),
        }
    }

    /// Nothing more is counted: where a lane would go on is not known. What is said of a lane that was
    /// given up meanwhile is no failure.
    fn fail(&mut self, (slot, error): (usize, IngestError)) {
        // It publishes nothing more, so nobody waits for it.
        let Some(slot) = self.slots.remove(&slot).filter(|_| !self.is_over) else { return };
        let lane = slot.counter.lane();
        let failure = Failure { lane: (lane.topic.to_string(), lane.partition), error };
        // There is room for one of each thread.
        let _ = self.common.failures.try_send(failure);
        self.is_over = true;
    }

    /// Hands blocks that are due to their lanes' tasks: at the process's beat, so that all lanes keep in
    /// step and ClickHouse gets their rows together, or when they are full.
    fn close_due(&mut self) {
        let (beat, room) = (&self.common.beat, self.block_room());
        let now = beat.number(instant());
        let is_due = |slot: &&mut Slot| {
            let is_ready = slot.publishing.is_none() && slot.counter.has_news();
            let is_time = slot.is_first || beat.number(slot.opened) < now;
            is_ready && (is_time || slot.counter.bytes() >= room)
        };
        self.slots.values_mut().filter(is_due).for_each(Slot::close);
    }

    fn block_room(&self) -> usize {
        self.common.block_room.load(Ordering::Relaxed)
    }

    /// Whether more may be counted. Where a block is full and the one before it is still being
    /// published, the thread waits, and takes no load: less is read instead of more held.
    fn has_room(&self) -> bool {
        let room = self.block_room();
        let is_blocked = |slot: &Slot| slot.publishing.is_some() && slot.counter.bytes() >= room;
        !self.slots.values().any(is_blocked)
    }

    fn show_stalled(&self) {
        let is_stalled = |slot: &&Slot| slot.publishing.is_some_and(|since| since.elapsed() > STALLED_AFTER);
        let stalled = self.slots.values().find(is_stalled).map(|slot| {
            let seconds = STALLED_AFTER.as_secs();
            format!("publishing {} takes longer than {seconds} s; see the log", slot.counter.lane())
        });
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = stalled;
    }

    fn count(&mut self, load: &Load) {
        let started = instant();
        let (slots, by_partition) = (&mut self.slots, &self.by_partition);
        let mut failure = None;
        let mut run = Run { slot: 0, records: Vec::with_capacity(RUN_RECORDS) };
        let is_over = self.is_over;
        let mut take = |number: usize, run: &mut Run<'_>, item: Option<Item<'_>>| {
            let is_sound = failure.is_none() && !is_over;
            let Some(slot) = slots.get_mut(&number).filter(|_| is_sound) else { return run.records.clear() };
            failure = slot.take_run(run, item).err().map(|error| (number, error));
        };
        load.batch.each(
            |topic, partition| slot_at(by_partition, (topic.to_owned(), partition), load.opened),
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
        if let Some(failure) = failure {
            self.fail(failure);
        }
    }

    /// Publishes what every lane has counted, and counts nothing more.
    fn drain(&mut self, deadline: Instant) {
        self.is_over = true;
        let all: Vec<_> = self.slots.keys().copied().collect();
        if !self.publish(&all, deadline) {
            tracing::warn!(
                "not everything was published in time; the rest is counted again by the next owner"
            );
        }
    }

    /// Waits until these lanes have published all that they counted, but for those whose tenure is over;
    /// whether they have by `deadline`.
    fn publish(&mut self, slots: &[usize], deadline: Instant) -> bool {
        while instant() < deadline {
            while let Ok(event) = self.events.try_recv() {
                if let Err((slot, error)) = self.hear(event) {
                    if slots.contains(&slot) {
                        tracing::warn!("{error}; what is not published is counted again by the next owner");
                        self.slots.remove(&slot);
                    } else {
                        self.fail((slot, error));
                    }
                }
            }
            let mut is_done = true;
            for slot in slots {
                let Some(slot) = self.slots.get_mut(slot) else { continue };
                if slot.publishing.is_none() && slot.counter.has_news() {
                    slot.close();
                }
                is_done &= slot.publishing.is_none();
            }
            if is_done {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

/// The lane's slot, where it was among those that had been opened when its records were polled.
fn slot_at(
    by_partition: &HashMap<(String, i32), usize>,
    lane: (String, i32),
    opened: usize,
) -> Option<usize> {
    by_partition.get(&lane).copied().filter(|slot| *slot < opened)
}
