//! Which partition keeps a block's rows, so that rows which the gate hides leave by DROP PARTITION.
//!
//! A partition is (level, bucket): blocks of one level that were closed within the same span of
//! the server's clock. A span is about as long as blocks of that level live before a roll hides
//! them, so that all of a partition's blocks end together and few partitions exist at a time.
//!
//! A partition may be dropped when none of its blocks counts or can still be published. For that
//! nothing may enter it any more: a block's inserts end within `Spans::insert` of its bucket's end
//! by the server's clock, or the block is given up; garbage collection leaves a partition alone for
//! twice as long. So what is read then is all that there will ever be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::{QUERY_TIMEOUT, within};
use super::{Store, StoreError};
use crate::aggregate::LedgerRow;
use crate::clock;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// How long things take at most, in seconds. The defaults are safe; tests have no day to spend.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Of a bucket, by level; the last one holds for all greater levels. Room flush rolls live
    /// blocks after 10 minutes and 16 of a level into one of the next, after 3 hours, 2 days, 4
    /// weeks: so a level has some five to ten partitions at a time.
    pub buckets: [u32; 4],
    /// From the end of a live block's bucket to the end of its inserts.
    pub insert: u32,
    /// The same for rolls, which copy what thousands of blocks counted.
    pub roll: u32,
    /// That hidden rows stay: longer than a reader takes from the gate to its rows.
    pub grace: u32,
    /// From a publish that has found its prepared row to the row in the ledger.
    pub publish: u32,
    /// After a partition's end until garbage is taken out of it by itself, where one of its blocks
    /// still counts: that rewrites the partition.
    pub leftover: u32,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            buckets: [2 * MINUTE, HOUR, 7 * DAY, 30 * DAY],
            insert: 5 * MINUTE,
            roll: HOUR,
            grace: 10 * MINUTE,
            publish: 2 * MINUTE,
            leftover: DAY,
        }
    }
}

impl Spans {
    fn bucket(&self, level: u8) -> u32 {
        self.buckets[usize::from(level).min(self.buckets.len() - 1)].max(1)
    }

    fn inserting(&self, level: u8) -> u32 {
        if level == 0 { self.insert } else { self.roll }
    }

    fn partition(&self, level: u8, server_now_ms: i64) -> Partition {
        let now = u32::try_from(server_now_ms / 1000).unwrap_or(0);
        Partition { level, bucket: now - now % self.bucket(level) }
    }

    /// Whether the partition's span ended more than `seconds` ago.
    fn ended(&self, partition: Partition, seconds: u32, server_now_ms: i64) -> bool {
        let end = i64::from(partition.bucket) + i64::from(self.bucket(partition.level));
        server_now_ms >= (end + i64::from(seconds)) * 1000
    }

    /// Whether nothing can enter the partition any more. Twice what inserts may take: the server's
    /// clock is read through a network.
    pub(super) fn is_closed(&self, partition: Partition, server_now_ms: i64) -> bool {
        let after = self.grace.max(2 * self.inserting(partition.level));
        self.ended(partition, after, server_now_ms)
    }

    pub(super) fn is_leftover(&self, partition: Partition, server_now_ms: i64) -> bool {
        self.is_closed(partition, server_now_ms) && self.ended(partition, self.leftover, server_now_ms)
    }
}

/// (level, bucket): of the tables that have blocks' rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Partition {
    pub level: u8,
    /// Epoch seconds of its start.
    pub bucket: u32,
}

/// How long a reading of the server's clock is good for.
const SYNCHRONIZE_EVERY: Duration = Duration::from_secs(60);

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
        let limit = self.spans.inserting(partition.level);
        if !self.spans.ended(partition, limit, self.server_now_ms().await?) {
            return Ok(());
        }
        Err(StoreError::Refused {
            action: format!("insert block {} of {}", row.block, row.lane),
            cause: format!("it took more than {limit} s; insert it anew"),
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
