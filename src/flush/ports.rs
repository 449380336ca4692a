//! What flush needs of the store, the group and the dead-letter topic; the simulator has its own.

use std::fmt::Display;
use std::sync::Arc;

use crate::aggregate::{BlockId, LedgerRow};
use crate::event::{DeadLetter, Lane, Rules, RulesHash};
use crate::source::{CommitError, DeadLetters, Fence, KafkaError, Tenure};
use crate::store::{Claim, History, NewBlock, Store, StoreError, Uncounted};

/// Where blocks and the ledger are kept.
pub trait Stores: Send + Sync {
    type Error: Display + Send + Sync + 'static;

    /// The blocks' rows, then their full ledger rows as prepared. After an error of any kind the id of
    /// none of them is ever used again: rows may be there, or may come late.
    fn insert_blocks(&self, blocks: &[NewBlock<'_>]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Folds the rows of `covered` under `row.block`, then prepares `row` with the new quantity,
    /// which is the answer.
    fn insert_roll(
        &self,
        row: &LedgerRow,
        covered: &[LedgerRow],
    ) -> impl Future<Output = Result<u128, Self::Error>> + Send;

    /// From now on nobody with a smaller claim lists anything of the lane.
    fn claim(&self, tenure: &Tenure) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The ledger row, written by `owner`; the same row may be written any number of times. `false`:
    /// not written, the lane has a greater claim: by its token, then by its tenure's id.
    fn publish(
        &self,
        row: &LedgerRow,
        owner: &Tenure,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Ledger rows of as many lanes, each written by its owner, in one go. On an error any of them may
    /// be there, and each is to be written alone.
    fn publish_all(
        &self,
        rows: &[(LedgerRow, Tenure)],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The greatest token is over claims too.
    fn history(&self, lane: &Lane) -> impl Future<Output = Result<History, Self::Error>> + Send;

    fn prepared(&self, block: BlockId)
    -> impl Future<Output = Result<Option<LedgerRow>, Self::Error>> + Send;

    /// How many partitions the lane's topic had when the first of them was counted; where this is
    /// that first one, `partitions`, and so from now on.
    fn first_partitions(
        &self,
        lane: &Lane,
        partitions: i32,
    ) -> impl Future<Output = Result<i32, Self::Error>> + Send;

    /// What was seen and not counted of the topic that had the lane's name before it was made anew.
    fn uncounted_before(
        &self,
        lane: &Lane,
    ) -> impl Future<Output = Result<Option<Uncounted>, Self::Error>> + Send;

    /// Offsets of the lane that no roll may cross: a month was closed there.
    fn closed_offsets(&self, lane: &Lane) -> impl Future<Output = Result<Vec<i64>, Self::Error>> + Send;

    /// The rules that a ledger row names.
    fn rules(&self, hash: RulesHash) -> impl Future<Output = Result<Option<Rules>, Self::Error>> + Send;
}

/// The consumer group: commits behind the fence.
pub trait Commits: Send + Sync {
    fn commit(
        &self,
        tenure: &Tenure,
        offset: i64,
        note: &str,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Whether the tenure may still commit.
    fn holds(&self, tenure: &Tenure) -> bool;
}

/// The dead-letter topic.
pub trait Letters: Send + Sync {
    type Error: Display + Send + Sync + 'static;

    /// Returns once every letter is acknowledged.
    fn send(&self, letters: &[DeadLetter]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl Stores for Store {
    type Error = StoreError;

    async fn insert_blocks(&self, blocks: &[NewBlock<'_>]) -> Result<(), StoreError> {
        Self::insert_blocks(self, blocks).await
    }

    async fn insert_roll(&self, row: &LedgerRow, covered: &[LedgerRow]) -> Result<u128, StoreError> {
        Self::insert_roll(self, row, covered).await
    }

    async fn claim(&self, tenure: &Tenure) -> Result<(), StoreError> {
        Self::claim(self, &tenure.lane, claim_of(tenure)).await
    }

    async fn publish(&self, row: &LedgerRow, owner: &Tenure) -> Result<bool, StoreError> {
        Self::publish_as(self, row, claim_of(owner)).await
    }

    async fn publish_all(&self, rows: &[(LedgerRow, Tenure)]) -> Result<(), StoreError> {
        let rows: Vec<_> = rows.iter().map(|(row, owner)| (row, claim_of(owner))).collect();
        Self::publish_all(self, &rows).await
    }

    async fn history(&self, lane: &Lane) -> Result<History, StoreError> {
        Self::history(self, lane).await
    }

    async fn prepared(&self, block: BlockId) -> Result<Option<LedgerRow>, StoreError> {
        Self::prepared(self, block).await
    }

    async fn first_partitions(&self, lane: &Lane, partitions: i32) -> Result<i32, StoreError> {
        Self::first_partitions(self, lane, partitions).await
    }

    async fn uncounted_before(&self, lane: &Lane) -> Result<Option<Uncounted>, StoreError> {
        Self::uncounted_before(self, lane).await
    }

    async fn closed_offsets(&self, lane: &Lane) -> Result<Vec<i64>, StoreError> {
        Self::closed_offsets(self, lane).await
    }

    async fn rules(&self, hash: RulesHash) -> Result<Option<Rules>, StoreError> {
        Self::rules(self, hash).await
    }
}

fn claim_of(tenure: &Tenure) -> Claim {
    Claim { token: tenure.token, tenure: tenure.id }
}

impl Commits for Arc<Fence> {
    /// The client answers a blocking call; it runs beside the runtime's own threads.
    async fn commit(&self, tenure: &Tenure, offset: i64, note: &str) -> Result<(), CommitError> {
        let (fence, tenure, note) = (Arc::clone(self), tenure.clone(), note.to_owned());
        tokio::task::spawn_blocking(move || Fence::commit(&fence, &tenure, offset, &note))
            .await
            .unwrap_or_else(|error| Err(CommitError::Uncertain(error.to_string())))
    }

    fn holds(&self, tenure: &Tenure) -> bool {
        Fence::holds(self, tenure)
    }
}

impl Letters for DeadLetters {
    type Error = KafkaError;

    async fn send(&self, letters: &[DeadLetter]) -> Result<(), KafkaError> {
        Self::send(self, letters).await
    }
}
