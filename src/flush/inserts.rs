use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, oneshot};

use super::ports::Stores;
use crate::aggregate::{Contents, LedgerRow};
use crate::store::NewBlock;

#[cfg(test)]
mod tests;

/// The way of all lanes of a process into the store. Blocks that are ready at about the same time are
/// inserted together: the store makes files for each insert, however little is in it.
pub struct Inserts<S> {
    store: S,
    /// At most one of each lane.
    waiting: Mutex<Vec<Waiting>>,
    /// Whoever has it inserts all that wait.
    turn: Turn<()>,
}

struct Waiting {
    row: LedgerRow,
    contents: Arc<Contents>,
    answer: oneshot::Sender<Inserted>,
}

/// Nobody knows what of the insert is there: no block in it is ever tried again under its id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InsertFailed(Arc<str>);

type Inserted = Result<(), InsertFailed>;

/// A block waits so long for others: longer than lanes that finish together are apart, and little
/// beside a flush interval.
const GATHER: Duration = Duration::from_millis(10);

impl<S: Stores> Inserts<S> {
    pub fn new(store: S) -> Self {
        Self { store, waiting: Mutex::default(), turn: Turn::default() }
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
        let (answer, mut answered) = oneshot::channel();
        self.waiting().push(Waiting { row, contents, answer });
        let turn = async {
            tokio::time::sleep(GATHER).await;
            self.turn.lock().await
        };
        let _turn = tokio::select! {
            biased;
            inserted = &mut answered => return inserted.unwrap_or_else(|_| Err(given_up())),
            turn = turn => turn,
        };
        // Nobody else inserts now: either it has been answered, or it still waits.
        if let Ok(inserted) = answered.try_recv() {
            return inserted;
        }
        let mut together = mem::take(&mut *self.waiting());
        // Whose task has ended will never be committed.
        together.retain(|waiting| !waiting.answer.is_closed());
        let blocks: Vec<_> =
            together.iter().map(|waiting| new_block(&waiting.row, &waiting.contents)).collect();
        let inserted = self.insert_all(&blocks).await;
        for waiting in together {
            // A receiver that is gone needs no answer; the own one is among those that are there.
            let _ = waiting.answer.send(inserted.clone());
        }
        answered.await.unwrap_or_else(|_| Err(given_up()))
    }

    async fn insert_all(&self, blocks: &[NewBlock<'_>]) -> Inserted {
        let inserted = self.store.insert_blocks(blocks).await;
        inserted.map_err(|error| InsertFailed(error.to_string().into()))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_block<'a>(row: &'a LedgerRow, contents: &'a Contents) -> NewBlock<'a> {
    NewBlock { row, counts: &contents.counts, services: &contents.services }
}

/// The lane whose task inserted was given up in the middle of it.
fn given_up() -> InsertFailed {
    InsertFailed("the insert was given up".into())
}
