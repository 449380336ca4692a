use std::time::Instant;

use tokio::sync::mpsc;

use crate::clock::instant;
use crate::event::Record;
use crate::pipeline::pace::Pace;
use crate::pipeline::{ClosedBlock, IngestError, LaneCounter, metrics};
use crate::source::Item;

/// A lane that is counted.
pub struct Slot {
    pub counter: LaneCounter,
    pub blocks: mpsc::Sender<ClosedBlock>,
    /// Since when a block has been under way.
    pub publishing: Option<Instant>,
    /// When the open block got its first record, or none since the lane was taken over.
    pub opened: Instant,
    /// Nothing was published since then: what the lane stood still for ends at once, not at a beat.
    pub is_first: bool,
    pub pace: Pace,
}

/// Records of one lane that follow one another in a batch.
pub struct Run<'b> {
    pub slot: usize,
    pub records: Vec<(Record<'b>, i32)>,
}

impl Slot {
    /// Takes the records, which leaves none, and what came behind them.
    pub fn take_run(&mut self, run: &mut Run<'_>, behind: Option<Item<'_>>) -> Result<(), IngestError> {
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
    pub fn close(&mut self) {
        let lane = self.counter.lane();
        self.pace.reach(self.counter.next(), instant());
        let window = self.counter.window();
        metrics::window(lane, window, self.pace.hours(window.width()));
        // Where the task has ended it has said why, and the session ends with it.
        let _ = self.blocks.try_send(self.counter.close());
        self.publishing = Some(instant());
        self.is_first = false;
    }
}
