use std::sync::Arc;

use super::ports::Stores;
use super::together::{GivenUp, Together};
use crate::aggregate::{Contents, LedgerRow};
use crate::source::Tenure;
use crate::store::NewBlock;

#[cfg(test)]
mod tests;

/// The way of all lanes of a process into the store. What is ready at about the same time is written
/// together: the store makes files for each statement, however little is in it.
pub struct Inserts<S> {
    store: S,
    blocks: Together<(LedgerRow, Arc<Contents>), Inserted>,
    rows: Together<(LedgerRow, Tenure), bool>,
}

/// Nobody knows what of the insert is there: no block in it is ever tried again under its id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InsertFailed(Arc<str>);

type Inserted = Result<(), InsertFailed>;

impl<S: Stores> Inserts<S> {
    pub fn new(store: S) -> Self {
        Self { store, blocks: Together::default(), rows: Together::default() }
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// Inserts a block alone.
    pub async fn insert(&self, row: &LedgerRow, contents: &Contents) -> Inserted {
        self.insert_all(&[new_block(row, contents)]).await
    }

    /// Inserts a block with what other lanes have ready. An error may be due to any of them: alone, and
    /// under another id, each shows whose it is.
    pub async fn insert_together(&self, row: LedgerRow, contents: Arc<Contents>) -> Inserted {
        let insert = |blocks: Vec<(LedgerRow, Arc<Contents>)>| async move {
            let blocks: Vec<_> = blocks.iter().map(|(row, contents)| new_block(row, contents)).collect();
            self.insert_all(&blocks).await
        };
        let inserted = self.blocks.act((row, contents), insert).await;
        inserted.unwrap_or_else(|GivenUp| Err(InsertFailed("the insert was given up".into())))
    }

    /// Writes a ledger row with those that other lanes have ready; whether it is known to be written.
    /// Where it is not, that may be due to any of them, and it is to be written again, alone.
    pub async fn publish_together(&self, row: LedgerRow, owner: Tenure) -> bool {
        let publish = |rows: Vec<(LedgerRow, Tenure)>| async move {
            let published = self.store.publish_all(&rows).await;
            published.inspect_err(|error| tracing::debug!("{error}; each is tried alone")).is_ok()
        };
        self.rows.act((row, owner), publish).await.unwrap_or(false)
    }

    async fn insert_all(&self, blocks: &[NewBlock<'_>]) -> Inserted {
        let inserted = self.store.insert_blocks(blocks).await;
        inserted.map_err(|error| InsertFailed(error.to_string().into()))
    }
}

fn new_block<'a>(row: &'a LedgerRow, contents: &'a Contents) -> NewBlock<'a> {
    NewBlock { row, counts: &contents.counts, services: &contents.services }
}
