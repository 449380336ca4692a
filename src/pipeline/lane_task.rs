use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::metrics;
use crate::clock::Clock;
use crate::dedup::{Frame, Journal};
use crate::flush::{FinishedBlock, Publisher, TenureEnded};
use crate::source::{DeadLetters, Fence};
use crate::store::Store;

pub type LanePublisher = Publisher<Store, Arc<Fence>, DeadLetters>;

/// What a lane's task tells the thread that counts.
#[derive(Debug)]
pub enum LaneEvent {
    /// One of the finished blocks is published.
    Published { slot: usize, tenure: u128 },
    /// The tenure is over: the session must leave the group and join it anew.
    Ended { slot: usize, tenure: u128, cause: TenureEnded },
}

pub struct LaneTask {
    pub slot: usize,
    pub publisher: LanePublisher,
    pub journal: Option<Journal>,
    /// Offsets that the window reaches back, so that the journal forgets what is older.
    pub width: i64,
    /// Published before anything that is counted: where a new lane starts, or what was lost.
    pub first: Vec<FinishedBlock>,
    pub roll_interval: Duration,
    pub clock: Clock,
}

impl LaneTask {
    /// Publishes what comes until the sender is gone or the tenure is over, and rolls up in between.
    pub async fn run(mut self, mut blocks: mpsc::Receiver<FinishedBlock>, events: mpsc::Sender<LaneEvent>) {
        let (slot, tenure) = (self.slot, self.publisher.tenure().id);
        if let Err(cause) = self.publish_all(&mut blocks, &events).await {
            let _ = events.send(LaneEvent::Ended { slot, tenure, cause }).await;
        }
    }

    async fn publish_all(
        &mut self,
        blocks: &mut mpsc::Receiver<FinishedBlock>,
        events: &mpsc::Sender<LaneEvent>,
    ) -> Result<(), TenureEnded> {
        for block in std::mem::take(&mut self.first) {
            self.publish(block).await?;
        }
        let mut next_roll = Instant::now() + self.roll_interval;
        loop {
            match timeout_at(next_roll, blocks.recv()).await {
                Ok(None) => return Ok(()),
                Ok(Some(block)) => {
                    self.publish(block).await?;
                    let published =
                        LaneEvent::Published { slot: self.slot, tenure: self.publisher.tenure().id };
                    if events.send(published).await.is_err() {
                        return Ok(());
                    }
                }
                Err(_) => {
                    let rolled = self.publisher.roll().await?;
                    if rolled {
                        metrics::rolled();
                    } else {
                        next_roll = Instant::now() + self.roll_interval;
                    }
                }
            }
        }
    }

    async fn publish(&mut self, block: FinishedBlock) -> Result<(), TenureEnded> {
        let started = Instant::now();
        let published = self.publisher.publish(&block).await?;
        metrics::published(&block, &published.row, started.elapsed(), self.clock.now_ms());
        self.remember(block);
        Ok(())
    }

    /// Appends to the journal; without one a restart reads the log instead.
    fn remember(&mut self, block: FinishedBlock) {
        let Some(journal) = &mut self.journal else { return };
        let needed_from = block.next - self.width;
        let frame = Frame {
            first: block.first,
            next: block.next,
            rules: block.rules,
            occurrences: block.occurrences,
        };
        if let Err(error) = journal.append(&frame, needed_from) {
            tracing::warn!(
                lane = %self.publisher.tenure().lane,
                "write journal: {error}; the next start reads the window from the log"
            );
            self.journal = None;
        }
    }
}
