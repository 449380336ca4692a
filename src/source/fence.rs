use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::REQUEST_TIMEOUT;
use super::client::Client;
use super::ffi::{ErrorCode, Handle, describe};
use crate::clock::instant;
use crate::event::Lane;

#[cfg(test)]
mod tests;

/// One owner's unbroken ownership of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenure {
    pub lane: Lane,
    /// The ledger's greatest + 1.
    pub token: u64,
    /// Random; tells two tenures with the same token apart.
    pub id: u128,
}

/// Why a commit did not happen, or may not have. Either ends the tenure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The topic was deleted and made again: the name that a commit goes by means another log now.
    #[error("the topic was made again under its name")]
    TopicRemade,
    /// The lane was given up before the commit was sent.
    #[error("the lane is no longer held")]
    NotHeld,
    /// Kafka said no: nothing was committed.
    #[error("commit refused: {0}")]
    Refused(String),
    /// No answer came: it may have been committed, now or later.
    #[error("commit uncertain: {0}")]
    Uncertain(String),
}

/// Commits as the group's member, and only for lanes that it holds.
///
/// Kafka fences by generation, not by partition: a member that has given a partition up within the
/// same generation could still commit it. So a commit and a revocation take the same lock, and the
/// lock is kept until the client has answered.
pub struct Fence<M = Handle> {
    member: Arc<M>,
    /// Taken by a commit until its answer, and by a revocation.
    commits: Mutex<()>,
    /// Lanes with their tenure's id; read at any time, written under `commits` where lanes go away.
    held: RwLock<HashMap<Lane, u128>>,
}

/// What the fence asks of the group's member.
pub trait Member {
    /// Whether the group has taken the assignment away without our doing (session time-out).
    fn is_assignment_lost(&self) -> bool;
    /// The member id and generation that a commit would carry now.
    fn membership(&self) -> (String, i32);
    /// `None`: the broker does not know the topic just now.
    fn topic_id(&self, topic: &str) -> Result<Option<String>, String>;
    /// Blocks until the answer.
    fn commit(&self, topic: &str, partition: i32, offset: i64, metadata: &str) -> Result<(), ErrorCode>;
}

impl Member for Handle {
    fn is_assignment_lost(&self) -> bool {
        Self::is_assignment_lost(self)
    }

    fn membership(&self) -> (String, i32) {
        Self::membership(self)
    }

    fn topic_id(&self, topic: &str) -> Result<Option<String>, String> {
        let described = self.describe_topics(&[topic.to_owned()], REQUEST_TIMEOUT)?;
        Ok(described.into_iter().find(|topic| topic.error.is_none()).map(|topic| topic.id))
    }

    fn commit(&self, topic: &str, partition: i32, offset: i64, metadata: &str) -> Result<(), ErrorCode> {
        Self::commit(self, topic, partition, offset, metadata)
    }
}

/// The group is handing partitions out: Kafka takes no commit until it has, nor one of the generation
/// before. It says so at once, so nothing is under way, and the same commit may be tried again with
/// the membership of that moment for as long as the lane has not been given up, at most for this long.
const REBALANCE_PATIENCE: Duration = Duration::from_secs(10);
const REBALANCE_PAUSE: Duration = Duration::from_millis(50);

impl Fence {
    pub fn new(client: &Client) -> Self {
        Self::of(client.handle())
    }
}

impl<M: Member> Fence<M> {
    fn of(member: Arc<M>) -> Self {
        Self { member, commits: Mutex::default(), held: RwLock::default() }
    }

    /// From now on the tenure may commit its lane.
    pub fn hold(&self, tenure: &Tenure) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.insert(tenure.lane.clone(), tenure.id);
    }

    /// After this returns, no commit of these partitions is under way and none will be sent.
    pub fn release(&self, lanes: &[Lane]) {
        let _no_commit = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes {
            held.remove(lane);
        }
    }

    /// Whether the tenure may still commit.
    pub fn holds(&self, tenure: &Tenure) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(&tenure.lane) == Some(&tenure.id)
    }

    /// Commits the lane's offset with `metadata`. Blocks until the client has answered, and through a
    /// rebalance that the lane stays with this member in.
    pub fn commit(&self, tenure: &Tenure, offset: i64, metadata: &str) -> Result<(), CommitError> {
        let started = instant();
        loop {
            match self.try_commit(tenure, offset, metadata) {
                Err(Refusal::Rebalance(_)) if started.elapsed() < REBALANCE_PATIENCE => {
                    // Without the lock: a revocation may come in between, and ends it.
                    std::thread::sleep(REBALANCE_PAUSE);
                }
                Err(Refusal::Rebalance(code)) => return Err(CommitError::Refused(describe(code))),
                Err(Refusal::Final(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn try_commit(&self, tenure: &Tenure, offset: i64, metadata: &str) -> Result<(), Refusal> {
        // Asked once more under the lock; this spares the broker the questions of a lane that is gone.
        if !self.holds(tenure) {
            return Err(CommitError::NotHeld.into());
        }
        // What was fetched before the topic still had its id came from the lane's own log.
        let topic_id = self.member.topic_id(&tenure.lane.topic).map_err(CommitError::Refused)?;
        if topic_id.is_some_and(|id| *id != *tenure.lane.topic_id) {
            return Err(CommitError::TopicRemade.into());
        }
        let _no_revocation = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.holds(tenure) || self.member.is_assignment_lost() {
            return Err(CommitError::NotHeld.into());
        }
        let (member_id, generation) = self.member.membership();
        if member_id.is_empty() || generation < 0 {
            return Err(CommitError::NotHeld.into());
        }
        match self.member.commit(&tenure.lane.topic, tenure.lane.partition, offset, metadata) {
            Ok(()) => Ok(()),
            Err(code) if is_rebalance(code) => Err(Refusal::Rebalance(code)),
            Err(code) if is_refusal(code) => Err(CommitError::Refused(describe(code)).into()),
            Err(code) => Err(CommitError::Uncertain(describe(code)).into()),
        }
    }
}

/// Why one try of a commit failed.
enum Refusal {
    /// For the group's generation alone: the member is in the group, and about to hear of a newer one.
    Rebalance(ErrorCode),
    Final(CommitError),
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self::Final(error)
    }
}

fn is_rebalance(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(code, E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS | E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION)
}

/// Whether the answer says for sure that nothing was committed.
fn is_refusal(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
            | E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
            | E::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE
            | E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE
            | E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
            | E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
            | E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | E::RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST
    )
}
