//! What the product's flush room asks of the store, the group and the dead-letter topic, as requests
//! to the simulated servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use odometer::aggregate::{BlockId, LedgerRow};
use odometer::event::{DeadLetter, Lane, Rules, RulesHash};
use odometer::flush::{Commits, Letters, Stores};
use odometer::source::{CommitError, Tenure};
use odometer::store::{History, NewBlock, Uncounted};
use tokio::sync::oneshot;

use super::fault::Fault;
use super::group::{Phase, Place};
use super::world::{Answer, Block, Request, World, identify_letters};

/// A process's way to the database.
#[derive(Clone)]
pub struct SimStore {
    pub world: World,
}

impl SimStore {
    async fn call(&self, request: Request) -> Result<Answer, String> {
        match self.world.call(request).await {
            Answer::Refused(cause) | Answer::Lost(cause) => Err(cause),
            answer => Ok(answer),
        }
    }
}

impl Stores for SimStore {
    type Error = String;

    async fn insert_blocks(&self, blocks: &[NewBlock<'_>]) -> Result<(), String> {
        let blocks = blocks.iter().map(|NewBlock { row, counts, services }| Block {
            row: (*row).clone(),
            counts: counts.to_vec(),
            services: services.to_vec(),
        });
        self.call(Request::InsertBlocks(blocks.collect())).await.map(drop)
    }

    async fn insert_roll(&self, row: &LedgerRow, covered: &[LedgerRow]) -> Result<u128, String> {
        let request = Request::InsertRoll { row: Box::new(row.clone()), covered: covered.to_vec() };
        match self.call(request).await? {
            Answer::Quantity(quantity) => Ok(quantity),
            other => unreachable!("{other:?} to a roll"),
        }
    }

    async fn claim(&self, tenure: &Tenure) -> Result<(), String> {
        self.call(Request::Claim(tenure.clone())).await.map(drop)
    }

    async fn publish(&self, row: &LedgerRow, owner: &Tenure) -> Result<bool, String> {
        match self.call(Request::Publish { block: row.block, owner: owner.clone() }).await? {
            Answer::Listed(is_listed) => Ok(is_listed),
            other => unreachable!("{other:?} to a ledger row"),
        }
    }

    async fn publish_all(&self, rows: &[(LedgerRow, Tenure)]) -> Result<(), String> {
        let rows = rows.iter().map(|(row, owner)| (row.block, owner.clone()));
        self.call(Request::PublishAll(rows.collect())).await.map(drop)
    }

    async fn history(&self, lane: &Lane) -> Result<History, String> {
        match self.call(Request::History(lane.clone())).await? {
            Answer::History(history) => Ok(history),
            other => unreachable!("{other:?} to a history"),
        }
    }

    async fn prepared(&self, block: BlockId) -> Result<Option<LedgerRow>, String> {
        match self.call(Request::Prepared(block)).await? {
            Answer::Row(row) => Ok(row.map(|row| *row)),
            other => unreachable!("{other:?} to a prepared row"),
        }
    }

    /// Looks at the ends of logs are no part of the simulation.
    async fn uncounted_before(&self, _: &Lane) -> Result<Option<Uncounted>, String> {
        Ok(None)
    }

    async fn closed_offsets(&self, _: &Lane) -> Result<Vec<i64>, String> {
        Ok(Vec::new())
    }

    async fn first_partitions(&self, lane: &Lane, partitions: i32) -> Result<i32, String> {
        match self.call(Request::FirstPartitions { lane: lane.clone(), partitions }).await? {
            Answer::Partitions(partitions) => Ok(partitions),
            other => unreachable!("{other:?} to a topic's partitions"),
        }
    }

    async fn rules(&self, hash: RulesHash) -> Result<Option<Rules>, String> {
        match self.call(Request::Rules(hash)).await? {
            Answer::Rules(rules) => Ok(rules),
            other => unreachable!("{other:?} to rules"),
        }
    }
}

#[derive(Clone)]
pub struct SimLetters {
    pub world: World,
    pub lane: Lane,
}

impl Letters for SimLetters {
    type Error = String;

    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        if letters.is_empty() {
            return Ok(());
        }
        let request = Request::Letters(identify_letters(letters, &self.lane));
        match self.world.call(request).await {
            Answer::Refused(cause) | Answer::Lost(cause) => Err(cause),
            _ => Ok(()),
        }
    }
}

/// `source::Fence` step by step, over the simulated client: the lock that a commit and a revocation
/// share, kept until the client has answered, whatever becomes of the lane's task.
pub struct SimFence {
    world: World,
    process: u64,
    commits: tokio::sync::Mutex<()>,
    held: Mutex<HashMap<Lane, u128>>,
}

const REBALANCE_RETRIES: u32 = 200;
const REBALANCE_PAUSE: Duration = Duration::from_millis(50);

impl SimFence {
    pub fn new(world: &World, process: u64) -> Self {
        let (commits, held) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { world: world.clone(), process, commits, held }
    }

    pub fn hold(&self, tenure: &Tenure) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(tenure.lane.clone(), tenure.id);
    }

    pub async fn release(&self, lanes: &[Lane]) {
        let _no_commit = self.commits.lock().await;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes {
            held.remove(lane);
        }
    }

    fn is_held(&self, tenure: &Tenure) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&tenure.lane) == Some(&tenure.id)
    }

    async fn commit(&self, tenure: &Tenure, offset: i64, note: &str) -> Result<(), CommitError> {
        let mut retries = 0;
        loop {
            match self.try_commit(tenure, offset, note).await? {
                Tried::Done => return Ok(()),
                Tried::Rebalance if retries < REBALANCE_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(REBALANCE_PAUSE).await;
                }
                Tried::Rebalance => return Err(CommitError::Refused("a rebalance has no end".into())),
            }
        }
    }

    async fn try_commit(&self, tenure: &Tenure, offset: i64, note: &str) -> Result<Tried, CommitError> {
        let topic = self.world.lock().topic_index(&tenure.lane.topic);
        match self.world.call(Request::Describe(topic)).await {
            Answer::TopicId(id) if id == tenure.lane.topic_id => {}
            Answer::TopicId(_) => return Err(CommitError::TopicRemade),
            other => return Err(CommitError::Refused(format!("{other:?}"))),
        }
        let _no_revocation = self.commits.lock().await;
        let request = {
            let mut state = self.world.lock();
            let client = &state.processes[&self.process].client;
            let has_no_generation = client.member.is_none() || client.generation < 0;
            if has_no_generation && state.group.phase == Phase::Empty {
                state.note(Fault::EmptyGroupCommit);
            }
            let client = &state.processes[&self.process].client;
            if !self.is_held(tenure) || client.is_assignment_lost || has_no_generation {
                return Err(CommitError::NotHeld);
            }
            let place = place_of(&state.topics, &tenure.lane);
            let (member, generation) = (client.member, client.generation);
            Request::Commit { place, member, generation, offset, note: note.to_owned() }
        };
        match self.world.call(request).await {
            Answer::Done => Ok(Tried::Done),
            Answer::Rebalance => Ok(Tried::Rebalance),
            Answer::Lost(cause) => Err(CommitError::Uncertain(cause)),
            other => Err(CommitError::Refused(format!("{other:?}"))),
        }
    }
}

enum Tried {
    Done,
    Rebalance,
}

fn place_of(topics: &[super::log::Topic], lane: &Lane) -> Place {
    let topic = topics.iter().find(|topic| topic.name == &*lane.topic).expect("topics are only added");
    (topic.name, lane.partition)
}

#[derive(Clone)]
pub struct FenceHandle(pub Arc<SimFence>);

impl Commits for FenceHandle {
    async fn commit(&self, tenure: &Tenure, offset: i64, note: &str) -> Result<(), CommitError> {
        let (fence, tenure, note) = (Arc::clone(&self.0), tenure.clone(), note.to_owned());
        let (sender, receiver) = oneshot::channel();
        let world = self.0.world.clone();
        world.spawn(self.0.process, async move {
            let _ = sender.send(fence.commit(&tenure, offset, &note).await);
        });
        receiver.await.unwrap_or_else(|_| Err(CommitError::Uncertain("the process has ended".into())))
    }

    fn holds(&self, tenure: &Tenure) -> bool {
        self.0.is_held(tenure)
    }
}
