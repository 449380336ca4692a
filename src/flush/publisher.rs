use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::block::{CommittedBlock, FinishedBlock, InsertedBlock, Published, block_id};
use super::inserts::Inserts;
use super::note::CommitNote;
use super::ports::{Commits, Letters, Stores};
use super::roll;
use super::take_over::TakeOver;
use crate::aggregate::{BlockId, BlockKind, LedgerRow};
use crate::event::DeadLetter;
use crate::source::{CommitError, Tenure};

/// Publishes one lane's blocks, one at a time, for as long as its tenure lasts.
pub struct Publisher<S, C, L> {
    inserts: Arc<Inserts<S>>,
    fence: C,
    letters: L,
    tenure: Tenure,
    group: String,
    /// Of the next block; with the token it makes the rank.
    sequence: u64,
    /// Of the next insert; makes its block id.
    attempt: u64,
    /// The rows of the lane that count, in the order of their offsets.
    rows: Vec<LedgerRow>,
}

/// The tenure is over: what it did not publish is counted again by the next one.
#[derive(Debug, thiserror::Error)]
#[error("publish {lane}: {cause}")]
pub struct TenureEnded {
    pub lane: String,
    pub cause: CommitError,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl<S: Stores, C: Commits, L: Letters> Publisher<S, C, L> {
    pub fn new(inserts: Arc<Inserts<S>>, fence: C, letters: L, group: &str, taken: &TakeOver) -> Self {
        Self {
            inserts,
            fence,
            letters,
            tenure: taken.tenure.clone(),
            group: group.to_owned(),
            sequence: 0,
            attempt: 0,
            rows: taken.rows.clone(),
        }
    }

    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    fn store(&self) -> &S {
        self.inserts.store()
    }

    /// The lane's ledger rows that count.
    pub fn rows(&self) -> &[LedgerRow] {
        &self.rows
    }

    /// Publishes a live block.
    pub async fn publish(&mut self, block: &FinishedBlock) -> Result<Published, TenureEnded> {
        let inserted = self.insert(block).await?;
        self.bury(&block.contents.dead_letters).await?;
        let committed = self.commit(inserted).await?;
        let published = self.list(committed).await?;
        self.rows.push(published.row.clone());
        Ok(published)
    }

    /// Rolls up what is due, if anything is; `false` where nothing was rolled up. What can't be rolled
    /// up just now is left for the next time: nothing waits for a roll.
    pub async fn roll(&mut self) -> Result<bool, TenureEnded> {
        let closed = match self.store().closed_offsets(&self.tenure.lane).await {
            Ok(closed) => closed,
            Err(error) => {
                tracing::warn!("roll up {}: {error}", self.tenure.lane);
                return Ok(false);
            }
        };
        for range in roll::plan(&self.rows, &closed) {
            self.check_held()?;
            let covered = self.rows[range.clone()].to_vec();
            // Its number is taken once it is inserted: what a tenure lists begins with 0 and has no gap,
            // by which the next owner sees whether the ledger lacks anything.
            let id = self.take_block_id();
            let mut row = roll::row(&covered, &self.tenure, self.sequence, id);
            match self.store().insert_roll(&row, &covered).await {
                Ok(quantity) => {
                    row.quantity = quantity;
                    self.sequence += 1;
                }
                Err(error) => {
                    let (first, next) = (row.first_offset, row.next_offset);
                    tracing::warn!("roll up offsets [{first}, {next}) of {}: {error}", self.tenure.lane);
                    continue;
                }
            }
            // The group's offset stays where it is; the commit only names the roll.
            let committed = self.commit(InsertedBlock { row }).await?;
            let published = self.list(committed).await?;
            self.rows.splice(range, [published.row]);
            return Ok(true);
        }
        Ok(false)
    }

    /// Publishes a range that was counted again in the place of the rows that it covers.
    pub async fn recount(
        &mut self,
        rows: Range<usize>,
        block: &FinishedBlock,
    ) -> Result<Published, TenureEnded> {
        let level = self.rows[rows.clone()].iter().map(|row| row.level).max().unwrap_or(0).max(1);
        let inserted = self.insert_as(block, BlockKind::Recount, level).await?;
        self.bury(&block.contents.dead_letters).await?;
        let committed = self.commit(inserted).await?;
        let published = self.list(committed).await?;
        self.rows.splice(rows, [published.row.clone()]);
        Ok(published)
    }

    async fn insert(&mut self, block: &FinishedBlock) -> Result<InsertedBlock, TenureEnded> {
        self.insert_as(block, BlockKind::Live, 0).await
    }

    async fn insert_as(
        &mut self,
        block: &FinishedBlock,
        kind: BlockKind,
        level: u8,
    ) -> Result<InsertedBlock, TenureEnded> {
        let sequence = self.take_sequence();
        let mut pause = Pause::default();
        loop {
            self.check_held()?;
            let id = self.take_block_id();
            let row = LedgerRow { kind, level, ..block.ledger_row(&self.tenure, &self.group, sequence, id) };
            // A recount may be long, and holds no live block up.
            let inserted = if pause.tries == 0 && kind == BlockKind::Live {
                self.inserts.insert_together(row.clone(), Arc::clone(&block.contents)).await
            } else {
                self.inserts.insert(&row, &block.contents).await
            };
            match inserted {
                Ok(()) => return Ok(InsertedBlock { row }),
                Err(error) => pause.after("insert block of", &self.tenure, &error).await,
            }
        }
    }

    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), TenureEnded> {
        let mut pause = Pause::default();
        while let Err(error) = self.letters.send(letters).await {
            self.check_held()?;
            pause.after("send dead letters of", &self.tenure, &error).await;
        }
        Ok(())
    }

    async fn commit(&self, inserted: InsertedBlock) -> Result<CommittedBlock, TenureEnded> {
        let row = inserted.row;
        let end = self.rows.last().map_or(row.next_offset, |last| last.next_offset.max(row.next_offset));
        let note = CommitNote::of(&row).to_string();
        match self.fence.commit(&self.tenure, end, &note).await {
            Ok(()) => Ok(CommittedBlock { row }),
            Err(cause) => Err(self.ended(cause)),
        }
    }

    /// Writes the ledger row with those of other lanes, else alone, until it is acknowledged. Where the
    /// lane is lost meanwhile, the next owner writes the same row. Where somebody else has claimed it,
    /// even one whose assignment had passed by then, only taking it over once more tells how it stands.
    async fn list(&self, committed: CommittedBlock) -> Result<Published, TenureEnded> {
        let (row, mut pause) = (&committed.row, Pause::default());
        if row.kind == BlockKind::Live
            && self.inserts.publish_together(row.clone(), self.tenure.clone()).await
        {
            return Ok(Published { row: committed.row });
        }
        loop {
            match self.store().publish(row, &self.tenure).await {
                Ok(true) => return Ok(Published { row: committed.row }),
                Ok(false) => {
                    let cause = CommitError::Refused("the ledger has a later claim of the lane".into());
                    return Err(self.ended(cause));
                }
                Err(error) => {
                    self.check_held()?;
                    if matches!(self.store().prepared(row.block).await, Ok(None)) {
                        // Its rows were taken for garbage; the next tenure counts the offsets again.
                        return Err(self.ended(CommitError::Uncertain(error.to_string())));
                    }
                    pause.after("write ledger of", &self.tenure, &error).await;
                }
            }
        }
    }

    fn check_held(&self) -> Result<(), TenureEnded> {
        if self.fence.holds(&self.tenure) { Ok(()) } else { Err(self.ended(CommitError::NotHeld)) }
    }

    fn ended(&self, cause: CommitError) -> TenureEnded {
        TenureEnded { lane: self.tenure.lane.to_string(), cause }
    }

    fn take_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    fn take_block_id(&mut self) -> BlockId {
        self.attempt += 1;
        block_id(&self.tenure, self.attempt - 1)
    }
}

/// Waits between tries, longer each time; the log tells of the first and then of every tenth.
#[derive(Default)]
struct Pause {
    tries: u32,
}

impl Pause {
    async fn after(&mut self, action: &str, tenure: &Tenure, error: &impl Display) {
        if self.tries.is_multiple_of(10) {
            tracing::warn!(tries = self.tries + 1, "{action} {}: {error}; trying again", tenure.lane);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(LONGEST_PAUSE);
        self.tries += 1;
        tokio::time::sleep(pause).await;
    }
}
