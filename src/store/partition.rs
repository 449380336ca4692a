//! Which partition keeps a block's rows, so that rows which the gate hides leave by DROP PARTITION.
//!
//! A partition is (level, bucket): blocks of one level that were closed within the same span of
//! the server's clock. A span is about as long as blocks of that level live before a roll hides
//! them, so that all of a partition's blocks end together and few partitions exist at a time.
//!
//! A partition may be dropped when none of its blocks counts or can still be published. For that
//! nothing may enter it any more: a block's inserts end within `Spans::insert` of its bucket's end
//! by the server's clock, or the block is given up; garbage collection looks at a partition only
//! `Spans::grace` after its end. So what is read then is all that there will ever be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::{QUERY_TIMEOUT, within};
use super::{Store, StoreError};
use crate::aggregate::LedgerRow;
use crate::clock;

/// How long things take at most. The defaults are safe; tests have no day to spend.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Seconds of a bucket by level; the last one holds for all greater levels. Live blocks are
    /// rolled after 10 minutes, their rolls after 4 hours, 4 days, 96 days (see `rolling`), so that
    /// each level has five to ten partitions at a time.
    pub buckets: [u32; 4],
    /// Seconds after its bucket's end in which a block's inserts end.
    pub insert: u32,
    /// Seconds that hidden rows stay, and after a bucket's end that it is left alone. Longer than
    /// `insert`, and longer than a reader takes from the gate to its rows.
    pub grace: u32,
    /// Seconds in which a publish that has found its prepared row has put it into the ledger.
    pub publish: u32,
}

impl Default for Spans {
    fn default() -> Self {
        const MINUTE: u32 = 60;
        const HOUR: u32 = 60 * MINUTE;
        const DAY: u32 = 24 * HOUR;
        Self {
            buckets: [2 * MINUTE, HOUR, DAY, 30 * DAY],
            insert: 5 * MINUTE,
            grace: 10 * MINUTE,
            publish: 2 * MINUTE,
        }
    }
}

impl Spans {
    fn bucket(&self, level: u8) -> u32 {
        self.buckets[usize::from(level).min(self.buckets.len() - 1)].max(1)
    }

    fn partition(&self, level: u8, server_now_ms: i64) -> Partition {
        let now = u32::try_from(server_now_ms / 1000).unwrap_or(0);
        Partition { level, bucket: now - now % self.bucket(level) }
    }

    fn end_ms(&self, partition: Partition) -> i64 {
        (i64::from(partition.bucket) + i64::from(self.bucket(partition.level))) * 1000
    }

    /// Whether a block of the partition may still be given to the store.
    fn takes_blocks(&self, partition: Partition, server_now_ms: i64) -> bool {
        server_now_ms < self.end_ms(partition) + i64::from(self.insert) * 1000
    }

    /// Whether nothing can enter the partition any more, for certain.
    pub(super) fn is_closed(&self, partition: Partition, server_now_ms: i64) -> bool {
        server_now_ms >= self.end_ms(partition) + i64::from(self.grace) * 1000
    }
}

/// How long a reading of the server's clock is good for.
const SYNCHRONIZE_EVERY: Duration = Duration::from_secs(60);

/// (level, bucket) of the tables that have blocks' rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition {
    pub level: u8,
    /// Epoch seconds of its start.
    pub bucket: u32,
}

/// The server's clock as last read: at the instant it said so many epoch milliseconds.
#[derive(Default)]
pub(super) struct ServerClock(Mutex<Option<(Instant, i64)>>);

impl ServerClock {
    fn last(&self) -> Option<(Instant, i64)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, at: Instant, epoch_ms: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, epoch_ms));
    }
}

impl Store {
    /// For tests, which have no day to spend.
    pub fn with_spans(mut self, spans: Spans) -> Self {
        self.spans = Arc::new(spans);
        self
    }

    /// Where a block of `level` goes that is inserted now.
    pub(super) async fn partition(&self, level: u8) -> Result<Partition, StoreError> {
        Ok(self.spans.partition(level, self.server_now_ms().await?))
    }

    /// Gives a block up whose inserts took so long that its partition may be garbage by now.
    pub(super) async fn check_open(&self, partition: Partition, row: &LedgerRow) -> Result<(), StoreError> {
        if self.spans.takes_blocks(partition, self.server_now_ms().await?) {
            return Ok(());
        }
        Err(StoreError::Refused {
            action: format!("insert block {} of {}", row.block, row.lane),
            cause: format!("it took more than {} s; insert it anew", self.spans.insert),
        })
    }

    /// Asks the server once a minute.
    pub(super) async fn server_now_ms(&self) -> Result<i64, StoreError> {
        let asked = clock::instant();
        if let Some((at, epoch_ms)) = self.clock.last()
            && asked - at < SYNCHRONIZE_EVERY
        {
            return Ok(epoch_ms + milliseconds(asked - at));
        }
        let query = self.server.query("SELECT toUnixTimestamp64Milli(now64(3))").fetch_one::<i64>();
        let epoch_ms = within(QUERY_TIMEOUT, || "read ClickHouse's clock".to_owned(), query).await?;
        self.clock.set(clock::instant(), epoch_ms);
        Ok(epoch_ms)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
