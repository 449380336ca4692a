//! All that the simulated processes share: the log, the group, the database, requests on their way
//! to them, and the chance that decides everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use odometer::aggregate::{BlockId, CountRow, LedgerRow, ServiceRow};
use odometer::event::{DeadLetter, Lane, Rules, RulesHash};
use odometer::source::{Committed, Tenure};
use odometer::store::History;

use super::chance::Chance;
use super::check::Watch;
use super::fault::{Fault, Tally};
use super::group::{Group, Place};
use super::log::{Entry, Topic};
use super::room::Room;
use super::settings::Variant;
use super::store::Database;

#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    pub chance: Chance,
    pub now_ms: u64,
    pub topics: Vec<Topic>,
    /// Today's configuration, by topic.
    pub variants: Vec<Variant>,
    pub group: Group,
    pub database: Database,
    /// (topic, partition, offset, index) of each acknowledged dead letter.
    pub letters: BTreeSet<(Lane, i64, u32)>,
    pub processes: BTreeMap<u64, Process>,
    pub calls: BTreeMap<u64, Pending>,
    next_id: u64,
    pub spawned: Vec<(u64, u64, Task)>,
    pub aborted: Vec<u64>,
    /// Ranges that an operator wants counted again.
    pub recounts: Vec<Recount>,
    pub watch: Watch,
    pub tally: Tally,
    /// What happened, where the history is told.
    pub story: Option<Vec<String>>,
    /// Nothing fails any more.
    pub is_calm: bool,
    /// Something that a server saw and that must not be.
    pub wrong: Option<String>,
}

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug)]
pub struct Recount {
    pub id: u64,
    pub lane: Lane,
    pub from: i64,
    pub to: i64,
}

/// One process, from its start to its end.
pub struct Process {
    /// Its place among those that a history runs.
    pub number: usize,
    /// Where its cache is, or that of all; it stays when the process ends.
    pub home: PathBuf,
    /// What the cache took there for itself.
    pub folder: PathBuf,
    pub variants: Vec<Variant>,
    pub room: Room,
    pub is_paused: bool,
    /// Told to stop: publish what is counted, leave, end.
    pub is_stopping: bool,
    /// Lanes' tasks that may be asked to roll up.
    pub lane_tasks: BTreeMap<Lane, tokio::sync::mpsc::Sender<super::lane_task::Command>>,
    pub client: Client,
}

/// The consumer client's own threads.
#[derive(Default)]
pub struct Client {
    pub phase: ClientPhase,
    pub member: Option<u64>,
    pub generation: i32,
    pub is_assignment_lost: bool,
    pub positions: BTreeMap<Place, Position>,
    pub rebalances: VecDeque<Rebalance>,
    /// The application carries an assignment out; until it has, the client does nothing else.
    pub is_assigning: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPhase {
    /// Not subscribed.
    #[default]
    Out,
    /// Wants to join.
    Wanting,
    /// Waits for the answer to its join.
    Joining,
    /// Waits for its assignment.
    Syncing,
    Stable,
    /// Waits until the application has given lanes up.
    Revoking,
}

#[derive(Clone, Debug)]
pub enum Rebalance {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
}

/// Where a client reads a partition.
pub struct Position {
    pub topic_id: Arc<str>,
    /// The next offset to fetch.
    pub offset: i64,
    /// Fetched, not polled.
    pub queue: VecDeque<Item>,
    /// Of the last record fetched; -1 where none was.
    pub leader_epoch: i32,
    /// The end that was told last.
    pub end_told_at: i64,
    /// Held and not read.
    pub is_paused: bool,
}

#[derive(Clone)]
pub enum Item {
    Record(i64, Entry),
    End(i64),
    Broken(&'static str),
}

/// A request on its way.
pub struct Pending {
    pub request: Request,
    pub answer: Option<Answer>,
    waker: Option<Waker>,
    /// Nobody waits for the answer.
    pub is_abandoned: bool,
    /// The server has it already.
    pub is_done: bool,
}

/// A block on its way into the database.
#[derive(Clone, Debug)]
pub struct Block {
    pub row: LedgerRow,
    pub counts: Vec<CountRow>,
    pub services: Vec<ServiceRow>,
}

#[derive(Clone, Debug)]
pub enum Request {
    InsertBlocks(Vec<Block>),
    InsertRoll { row: Box<LedgerRow>, covered: Vec<LedgerRow> },
    Claim(Tenure),
    Publish { block: BlockId, owner: Tenure },
    PublishAll(Vec<(BlockId, Tenure)>),
    History(Lane),
    Prepared(BlockId),
    FirstPartitions { lane: Lane, partitions: i32 },
    Rules(RulesHash),
    StoreRules(Vec<Rules>),
    Letters(Vec<(Lane, i64, u32)>),
    Commit { place: Place, member: Option<u64>, generation: i32, offset: i64, note: String },
    Committed(Place),
    Bounds(Place),
    Describe(usize),
    Leave { member: u64 },
    AnswerRecount(u64),
}

#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    Listed(bool),
    Quantity(u128),
    History(History),
    Row(Option<Box<LedgerRow>>),
    Partitions(i32),
    Rules(Option<Rules>),
    Committed(Option<Committed>),
    Bounds {
        start: i64,
        end: i64,
    },
    TopicId(Arc<str>),
    /// The server said no.
    Refused(String),
    /// Of the group to a commit, for its generation alone.
    Rebalance,
    /// No answer came.
    Lost(String),
}

impl World {
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for its answer.
    pub fn call(&self, request: Request) -> Call {
        Call { world: self.clone(), request: Some(request), id: 0 }
    }

    /// Runs a future as a task of the process; answers with the task's id.
    pub fn spawn(&self, process: u64, future: impl Future<Output = ()> + Send + 'static) -> u64 {
        let mut state = self.lock();
        let id = state.next_id();
        state.spawned.push((id, process, Box::pin(future)));
        id
    }
}

impl State {
    pub fn new(seed: u64, told: bool) -> Self {
        Self {
            chance: Chance::new(seed),
            now_ms: 0,
            topics: Vec::new(),
            variants: Vec::new(),
            group: Group::default(),
            database: Database::default(),
            letters: BTreeSet::new(),
            processes: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_id: 0,
            spawned: Vec::new(),
            aborted: Vec::new(),
            recounts: Vec::new(),
            watch: Watch::default(),
            tally: Tally::default(),
            story: told.then(Vec::new),
            is_calm: false,
            wrong: None,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn note(&mut self, fault: Fault) {
        self.tally.note(fault);
        self.tell(|_| format!("fault: {}", fault.describe()));
    }

    pub fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = line(self);
            let now_ms = self.now_ms;
            if let Some(story) = &mut self.story {
                story.push(format!("{now_ms:>8} {line}"));
            }
        }
    }

    pub fn topic_index(&self, name: &str) -> usize {
        self.topics.iter().position(|topic| topic.name == name).expect("topics are only added")
    }

    pub fn places(&self) -> Vec<Place> {
        self.topics
            .iter()
            .flat_map(|topic| (0..topic.partitions.len()).map(|partition| (topic.name, partition as i32)))
            .collect()
    }

    /// The lane of a place as it is now.
    pub fn lane(&self, place: Place) -> Lane {
        self.topics[self.topic_index(place.0)].lane(place.1)
    }

    /// The caller gets its answer.
    pub fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(pending) = self.calls.get_mut(&id) {
            pending.answer = Some(answer);
            if let Some(waker) = pending.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A request that was or will be sent.
pub struct Call {
    world: World,
    request: Option<Request>,
    id: u64,
}

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let world = self.world.clone();
        let mut state = world.lock();
        if let Some(request) = self.request.take() {
            self.id = state.next_id();
            let pending = Pending {
                request,
                answer: None,
                waker: Some(context.waker().clone()),
                is_abandoned: false,
                is_done: false,
            };
            state.calls.insert(self.id, pending);
            return Poll::Pending;
        }
        let pending = state.calls.get_mut(&self.id).expect("a call that waits is pending");
        match pending.answer.take() {
            None => {
                pending.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(answer) => {
                if pending.is_done {
                    state.calls.remove(&self.id);
                } else {
                    pending.is_abandoned = true;
                }
                self.id = 0;
                Poll::Ready(answer)
            }
        }
    }
}

impl Drop for Call {
    /// What was sent stays on its way.
    fn drop(&mut self) {
        if self.id == 0 {
            return;
        }
        let world = self.world.clone();
        let mut state = world.lock();
        if let Some(pending) = state.calls.get_mut(&self.id) {
            pending.is_abandoned = true;
            if pending.is_done {
                state.calls.remove(&self.id);
            }
        }
    }
}

/// Lets everything else go first.
pub async fn pass() {
    let mut has_passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Dead letters by what identifies them; the lane's topic id is that of the sender's lane.
pub fn identify_letters(letters: &[DeadLetter], lane: &Lane) -> Vec<(Lane, i64, u32)> {
    letters.iter().map(|letter| (lane.clone(), letter.offset, letter.index)).collect()
}
