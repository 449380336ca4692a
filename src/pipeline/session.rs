use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::counting::{Answer, Common, CountingThread, Failure, Load};
use super::lanes::{Grounds, ReadyLane};
use super::pace::Beat;
use super::waiting::WaitingLanes;
use super::watch::{self, WatchedLanes};
use super::{IngestError, Settings};
use crate::clock::{Clock, instant};
use crate::dedup::Cache;
use crate::event::Lane;
use crate::flush::Inserts;
use crate::source::{Batch, Client, DeadLetters, Fence, Rebalance, TopicDescription};
use crate::store::{RecountRequest, Store};

/// One membership in the group, from joining to leaving, on a thread of its own that reads for the
/// threads that count.
pub struct Session {
    pub settings: Arc<Settings>,
    pub inserts: Arc<Inserts<Store>>,
    pub letters: DeadLetters,
    pub cache: Cache,
    pub clock: Clock,
    pub runtime: Handle,
    pub shutdown: CancellationToken,
    pub(super) checks: super::ingest::Checks,
    pub(super) beat: Beat,
    /// Across sessions: what had no room in this one is not tried at once in the next.
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

/// A lane that is held.
struct HeldLane {
    /// Its number among all that the session has opened, and that of the thread that counts it.
    slot: usize,
    thread: usize,
    lane: Lane,
    recounts: mpsc::Sender<RecountRequest>,
    task: JoinHandle<()>,
}

impl Drop for HeldLane {
    /// A task that waits for a server that is down must not outlive its lane.
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running<'a> {
    session: &'a Session,
    client: Client,
    fence: Arc<Fence>,
    threads: Vec<CountingThread>,
    failures: Receiver<Failure>,
    /// By (topic, partition).
    held: HashMap<(String, i32), HeldLane>,
    watched: WatchedLanes,
    /// Lanes that were ever opened.
    opened: usize,
    block_room: Arc<AtomicUsize>,
    paused: bool,
    blocked_since: Option<Instant>,
    /// Ends what watches the logs.
    _ended: DropGuard,
}

/// A poll returns after this long, so that rebalances and a stop are seen in time.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Records of one poll: enough that a poll costs little, few enough to hold in the processor's cache.
const POLL_RECORDS: usize = 2_000;
/// Room is looked at between polls, so a poll is small in bytes too.
const POLL_BYTES: usize = 2 << 20;
/// After so long without room the client stops fetching, so that the group keeps the member.
const BLOCKED_BEFORE_PAUSE: Duration = Duration::from_secs(5);
/// The group waits for whoever gives a lane up.
const GIVEN_UP_WITHIN: Duration = Duration::from_millis(500);

/// The most bytes of records that are polled and not counted yet: in each thread's hands, and of one
/// poll more. A record keeps all of the answer that it came in.
pub fn polled_bytes(settings: &Settings) -> u64 {
    let loads = (settings.threads * CountingThread::LOADS + 1) as u64;
    loads.saturating_mul(settings.kafka.polled_bytes(POLL_BYTES as u64, POLL_RECORDS as u64))
}

impl Session {
    /// Joins, works until it must end, leaves.
    pub fn run(&self) -> SessionEnd {
        match self.begin() {
            Ok((mut running, remade)) => {
                let end = running.work(&remade);
                running.leave(matches!(end, SessionEnd::Stopped | SessionEnd::Doubt(IngestError::TryAgain)));
                end
            }
            Err(error) => SessionEnd::Doubt(error),
        }
    }

    /// Starts the threads that count and what watches the logs, and joins.
    fn begin(&self) -> Result<(Running<'_>, CancellationToken), IngestError> {
        let client = Client::join(&self.settings.kafka)?;
        let number = self.settings.threads.max(1);
        let (failed, failures) = sync_channel(number);
        let block_room = Arc::new(AtomicUsize::new(usize::MAX));
        let common = Common {
            beat: self.beat,
            block_room: Arc::clone(&block_room),
            failures: failed,
            member: thread::current(),
        };
        let threads = (0..number).map(|number| CountingThread::start(number, common.clone()));
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        let watched = WatchedLanes::default();
        let remade = CancellationToken::new();
        let ended = CancellationToken::new();
        self.runtime.spawn(crate::telemetry::vital_task(watch::watch(
            client.watermarks(),
            self.inserts.store().clone(),
            Arc::clone(&watched),
            self.clock.clone(),
            self.settings.flush_interval,
            ended.clone(),
            remade.clone(),
        )));
        let running = Running {
            session: self,
            fence: Arc::new(Fence::new(&client)),
            client,
            threads,
            failures,
            held: HashMap::new(),
            watched,
            opened: 0,
            block_room,
            paused: false,
            blocked_since: None,
            _ended: ended.drop_guard(),
        };
        Ok((running, remade))
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
        self.hear_failures()?;
        self.show_health();
        if self.hand_over()? {
            let (batch, rebalances) = self.client.poll(POLL_TIMEOUT, POLL_RECORDS, POLL_BYTES);
            self.share_out(batch)?;
            for rebalance in rebalances {
                self.rebalance(rebalance)?;
            }
        }
        if self.session.waiting.end_due() { Err(IngestError::TryAgain) } else { Ok(()) }
    }

    fn hear_failures(&mut self) -> Result<(), IngestError> {
        let Ok(failure) = self.failures.try_recv() else { return Ok(()) };
        self.let_wait(&failure);
        Err(failure.error)
    }

    /// A lane that has no room waits for it in the sessions to come.
    fn let_wait(&self, Failure { lane: (topic, partition), error }: &Failure) {
        if let IngestError::CacheFull(full) = error {
            self.session.waiting.add(topic, *partition, full);
        }
    }

    /// Gives the threads what was polled; whether more may be. Where one has enough before it, its lanes
    /// are being published slower than they are counted, and less is read instead of more held.
    fn hand_over(&mut self) -> Result<bool, IngestError> {
        let mut is_full = false;
        for thread in &mut self.threads {
            is_full |= !thread.hand_over();
        }
        if !is_full {
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
            // A thread that takes a load wakes this one.
            thread::park_timeout(POLL_TIMEOUT);
        }
        Ok(false)
    }

    fn show_health(&self) {
        let stalled = self.threads.iter().find_map(CountingThread::stalled);
        match stalled.or_else(|| self.session.waiting.reason()) {
            Some(why) => self.session.checks.stalled(why),
            None => self.session.checks.flushing(),
        }
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), IngestError> {
        let lanes: Vec<_> = self.held.keys().cloned().collect();
        self.client.pause(&lanes, paused)?;
        self.paused = paused;
        Ok(())
    }

    /// What was polled, to the threads that count its lanes.
    fn share_out(&mut self, batch: Batch) -> Result<(), IngestError> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(cause) = batch.fatal_error() {
            return Err(IngestError::Group { cause });
        }
        self.session.waiting.read();
        let (held, opened) = (&self.held, self.opened);
        let thread_of = |topic: &str, partition| {
            held.get(&(topic.to_owned(), partition)).map(|lane: &HeldLane| lane.thread)
        };
        let batches = batch.split(self.threads.len(), thread_of);
        for (thread, batch) in self.threads.iter_mut().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            thread.add(Load { batch, opened });
        }
        Ok(())
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
            for (lane, ready) in lanes.iter().zip(self.take_over(&lanes, &described)?) {
                offsets.push((lane.0.clone(), lane.1, ready.read_from));
                self.open(lane, ready);
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

    /// Takes the lanes over, several at a time; they get the next slots, in order.
    fn take_over(
        &mut self,
        lanes: &[(String, i32)],
        described: &[TopicDescription],
    ) -> Result<Vec<ReadyLane>, IngestError> {
        let expected = self.session.cache.expect(lanes.len());
        // The new windows need it at once.
        let made: Vec<_> = self.threads.iter().map(CountingThread::make_room).collect();
        made.into_iter().for_each(Answer::wait);
        let grounds = Grounds {
            settings: &self.session.settings,
            watermarks: &self.client.watermarks(),
            fence: &self.fence,
            inserts: &self.session.inserts,
            letters: &self.session.letters,
            expected: &expected,
            clock: &self.session.clock,
            runtime: &self.session.runtime,
            shutdown: &self.session.shutdown,
        };
        grounds.begin_all(lanes, described, self.opened, self.threads.len()).map_err(|failures| {
            failures.iter().for_each(|failure| self.let_wait(failure));
            failures.into_iter().next().map_or(IngestError::Stopping, |failure| failure.error)
        })
    }

    /// Lets the thread with the fewest lanes count one more.
    fn open(&mut self, lane: &(String, i32), ready: ReadyLane) {
        let Some((thread, counting)) =
            self.threads.iter_mut().enumerate().min_by_key(|(_, thread)| thread.lanes)
        else {
            return;
        };
        let slot = self.opened;
        self.opened += 1;
        let (blocks, receiver) = mpsc::channel(1);
        let ReadyLane { counter, task, recounts, .. } = ready;
        let named = counter.lane().clone();
        // Before its task can say that it has ended.
        counting.open(slot, counter, blocks);
        let task = self.session.runtime.spawn(task.run(receiver, counting.events()));
        self.held.insert(lane.clone(), HeldLane { slot, thread, lane: named, recounts, task });
        self.set_block_room();
    }

    /// Gives lanes up: no commit is under way after the fence has released them. What they have counted is
    /// published before, if that is soon done, so that the next owner needn't count it again and finds
    /// their windows in their journals.
    fn revoke(&mut self, lanes: &[(String, i32)]) -> Result<(), IngestError> {
        let deadline = instant() + GIVEN_UP_WITHIN;
        self.session.waiting.give_up(lanes);
        let released: Vec<_> = lanes.iter().filter_map(|lane| self.held.remove(lane)).collect();
        let answers: Vec<_> = (self.threads.iter_mut().enumerate())
            .map(|(number, thread)| {
                let slots = released.iter().filter(|lane| lane.thread == number).map(|lane| lane.slot);
                thread.release(slots.collect(), deadline)
            })
            .collect();
        answers.into_iter().for_each(Answer::wait);
        self.fence.release(&released.iter().map(|lane| lane.lane.clone()).collect::<Vec<_>>());
        drop(released);
        self.set_block_room();
        self.show_held();
        self.client.unassign(lanes)?;
        Ok(())
    }

    /// Each lane has a block that is open and one that is being published.
    fn set_block_room(&self) {
        let share = self.session.settings.block_memory / (2 * self.held.len().max(1) as u64);
        self.block_room.store(usize::try_from(share).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    fn show_held(&self) {
        let lanes = self.held.values().map(|held| (held.lane.clone(), held.recounts.clone())).collect();
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    /// Publishes what is counted where the end is an orderly one, then leaves the group.
    fn leave(self, is_orderly: bool) {
        if is_orderly {
            let deadline = instant() + self.session.settings.shutdown_timeout.mul_f32(0.8);
            let drained: Vec<_> = self.threads.iter().map(|thread| thread.drain(deadline)).collect();
            drained.into_iter().for_each(Answer::wait);
        }
        self.fence.release(&self.held.values().map(|held| held.lane.clone()).collect::<Vec<_>>());
        drop(self.held);
        self.session.waiting.give_up_all();
        self.threads.into_iter().for_each(CountingThread::end);
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        self.client.leave();
    }
}
