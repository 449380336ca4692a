use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Item, item};
use super::ffi::{Handle, Queue};
use super::{KafkaError, REQUEST_TIMEOUT, Settings};
use crate::clock;
use crate::event::Record;

/// Reads a range of one partition, beside whoever owns it: a client without subscription joins no
/// group and commits nothing. Records of aborted transactions are left out, as everywhere.
pub struct PartitionReader {
    handle: Arc<Handle>,
    queue: Queue,
    topic: String,
    partition: i32,
    /// The offsets that are still to be read.
    rest: Range<i64>,
    leader_epoch: i32,
    last_news: Instant,
}

/// Records of one poll.
const BATCH: usize = 2_000;
/// And bytes.
const BATCH_BYTES: usize = 8 << 20;
/// A poll ends when it has a batch, or after this.
const POLL: Duration = Duration::from_millis(50);
/// A broker that is silent for this long is given up.
const SILENCE: Duration = REQUEST_TIMEOUT.saturating_mul(4);
/// Prefetch of one reader, in KiB: many may be open at a time.
const PREFETCH_KIBIBYTES: &str = "8192";

impl PartitionReader {
    /// Opens the offsets [start, end); the end must not lie beyond what may be read now.
    pub fn open(
        settings: &Settings,
        topic: &str,
        partition: i32,
        range: Range<i64>,
    ) -> Result<Self, KafkaError> {
        let failed = |cause| KafkaError {
            action: format!("open {topic}[{partition}] at offset {}", range.start),
            cause,
        };
        let mut properties = settings.consumer_properties();
        properties.insert("group.id".into(), format!("{}-reader", settings.group));
        properties.insert("queued.max.messages.kbytes".into(), PREFETCH_KIBIBYTES.into());
        let handle = Handle::new(properties.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .map(Arc::new)
            .map_err(failed)?;
        let queue = Queue::of(&handle, settings.taking());
        if !range.is_empty() {
            handle.assign(&[(topic.to_owned(), partition, range.start)]).map_err(failed)?;
        }
        let last_news = clock::instant();
        Ok(Self {
            handle,
            queue,
            topic: topic.to_owned(),
            partition,
            rest: range,
            leader_epoch: -1,
            last_news,
        })
    }

    /// The leader epoch of the last record that was read; -1 where there was none or the broker tells
    /// none.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Waits a moment for the next records and visits them in the order of their offsets. `false`:
    /// there are no more.
    pub fn read(&mut self, mut visit: impl FnMut(&Record<'_>)) -> Result<bool, KafkaError> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        let batch = self.queue.poll(POLL, BATCH, BATCH_BYTES);
        for message in batch.messages() {
            match item(message, &self.topic) {
                Item::Record { record, leader_epoch } if self.rest.contains(&record.offset) => {
                    self.rest.start = record.offset + 1;
                    self.leader_epoch = leader_epoch;
                    visit(&record);
                }
                Item::Record { record, .. } if record.offset >= self.rest.end => {
                    self.rest.start = self.rest.end
                }
                Item::Record { .. } => {}
                Item::End { offset } => self.rest.start = self.rest.start.max(offset),
                Item::Broken { cause } => return Err(self.failed(cause)),
            }
        }
        if !batch.messages().is_empty() {
            self.last_news = clock::instant();
        } else if self.last_news.elapsed() > SILENCE {
            return Err(self.failed(format!("no answer within {} s", SILENCE.as_secs())));
        }
        Ok(!self.rest.is_empty())
    }

    fn failed(&self, cause: String) -> KafkaError {
        let Self { topic, partition, rest, .. } = self;
        KafkaError { action: format!("read {topic}[{partition}] at offset {}", rest.start), cause }
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        self.handle.close();
    }
}
