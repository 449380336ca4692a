//! Copies a topic so that all events of one key lie in one partition, each in a record of its own.
//!
//! De-duplication looks within a partition. A producer that spreads an event's repeats over several
//! is counted exactly after its topic went through here.
//!
//! Each bundle of records is one Kafka transaction, which also commits how far each source partition
//! is copied, so that a record is copied exactly once for whoever reads committed records, as
//! odometer does. A repartitioning that starts takes over from one that still runs or was killed: what that
//! has not committed is aborted. Commits expire where nothing happens for long; then the copies
//! themselves say where they came from.

mod merge;
mod progress;
mod route;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::kafka::{self, OwnedRecord, SendError, TransactionalSender};
use super::naive::{NaiveReader, UnreadableRules};
use crate::event::Rules;
use crate::source::{KafkaError, Settings, Watermarks};
use merge::Merge;
use progress::Progress;
use route::Router;

/// Of one transaction.
const MOST_RECORDS: usize = 5_000;
const MOST_BYTES: usize = 4 << 20;
/// How often a follower that has reached the end looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct Request {
    pub from: String,
    pub to: String,
    /// How the source's records are read for their keys.
    pub rules: Rules,
    /// The topic whose name the rules are for.
    pub rules_topic: String,
    /// Goes on copying what comes, until told to stop.
    pub follow: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RepartitionError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Rules(#[from] UnreadableRules),
    #[error("copy {topic}: it does not exist")]
    NoTopic { topic: String },
    #[error(
        "copy {from} to {to}: {to} has {now} partitions, and had {before} when copying began, so that \
         keys would lie in two partitions; copy to a new topic"
    )]
    PartitionsChanged { from: String, to: String, before: usize, now: usize },
    #[error(
        "copy {from} to {to}: {to} holds records that were not copied from {from}; copy to a topic of its own"
    )]
    OtherRecords { from: String, to: String },
    #[error("ask Kafka: a thread has panicked")]
    Panicked,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repartitioned {
    /// Source records copied now.
    pub records: u64,
    /// Target records that they became.
    pub events: u64,
    /// Of those, the ones without a key: what can't be decoded, or is ignored.
    pub without_key: u64,
    /// Source records that were gone before they were copied, at most.
    pub lost: u64,
    /// The source's end is reached.
    pub complete: bool,
}

/// A topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    id: Arc<str>,
    partitions: Vec<i32>,
}

/// Copies until the source's end as of now, or until told to stop. Blocks. `progress` is told how
/// many records were copied of how many at most.
pub fn repartition(
    settings: &Settings,
    request: &Request,
    progress: super::Progress<'_>,
    stop: &CancellationToken,
) -> Result<Repartitioned, RepartitionError> {
    let watermarks = Watermarks::connect(settings)?;
    let source = topic(settings, &watermarks, &request.from)?;
    let target = topic(settings, &watermarks, &request.to)?;
    let id = format!("odometer-repartition-{}-{}", request.from, request.to);
    let sender = TransactionalSender::connect(settings, &id)?;
    // After taking over, so that nothing is committed later than it is looked for.
    let reached = Progress::read(settings, &id, &source, &target)?;
    let reader = NaiveReader::new(&request.rules_topic, &request.rules)?;
    let router = Router::new(reader, &source, &target);
    let mut copying =
        Copying { settings, watermarks, source, sender, router, reached, done: Repartitioned::default() };
    loop {
        let copied = copying.round(progress, stop)?;
        if !request.follow || stop.is_cancelled() {
            return Ok(copying.done);
        }
        if copied == 0 {
            std::thread::sleep(FOLLOW_INTERVAL);
        }
    }
}

/// Makes the target like the source where it is missing.
pub async fn make_target(settings: &Settings, from: &str, to: &str) -> Result<(), RepartitionError> {
    let (asked, source, target) = (settings.clone(), from.to_owned(), to.to_owned());
    let both = tokio::task::spawn_blocking(move || {
        Ok::<_, KafkaError>((kafka::partitions(&asked, &source)?, kafka::partitions(&asked, &target)?))
    });
    let (source, target) = both.await.map_err(|_| RepartitionError::Panicked)??;
    let source = source.ok_or_else(|| RepartitionError::NoTopic { topic: from.to_owned() })?;
    if target.is_none() {
        let partitions = i32::try_from(source.len()).unwrap_or(i32::MAX);
        kafka::create_topic_like(settings, to, from, partitions).await?;
    }
    Ok(())
}

fn topic(settings: &Settings, watermarks: &Watermarks, name: &str) -> Result<Topic, RepartitionError> {
    let missing = || RepartitionError::NoTopic { topic: name.to_owned() };
    let partitions = kafka::partitions(settings, name)?.ok_or_else(missing)?;
    let described = watermarks.describe_topics(&[name.to_owned()])?;
    let (_, id) = described.into_iter().find(|(found, _)| found == name).ok_or_else(missing)?;
    Ok(Topic { name: name.to_owned(), id, partitions })
}

struct Copying<'a> {
    settings: &'a Settings,
    watermarks: Watermarks,
    source: Topic,
    sender: TransactionalSender,
    router: Router,
    reached: Progress,
    done: Repartitioned,
}

impl Copying<'_> {
    /// Copies to the ends as of now; gives the number of records copied.
    fn round(
        &mut self,
        progress: super::Progress<'_>,
        stop: &CancellationToken,
    ) -> Result<u64, RepartitionError> {
        let ranges = self.ranges()?;
        let total: u64 =
            ranges.values().map(|range| u64::try_from(range.end - range.start).unwrap_or(0)).sum();
        let mut merge = Merge::open(self.settings, &self.source.name, &ranges)?;
        let (mut copied, mut bundle, mut bytes) = (0, Vec::new(), 0);
        self.done.complete = false;
        progress(0, total);
        while let Some(record) = merge.next()? {
            copied += 1;
            self.done.records += 1;
            self.reached.pass(record.record.partition, record.offset);
            for (routed, has_key) in self.router.route(&record) {
                bytes += routed.size();
                self.done.events += 1;
                self.done.without_key += u64::from(!has_key);
                bundle.push(routed);
            }
            if bundle.len() >= MOST_RECORDS || bytes >= MOST_BYTES {
                self.send(&mut bundle)?;
                bytes = 0;
                progress(copied, total);
                if stop.is_cancelled() {
                    return Ok(copied);
                }
            }
        }
        // Control records at the end hold nothing to copy.
        for (partition, range) in &ranges {
            self.reached.pass(*partition, range.end - 1);
        }
        if copied > 0 {
            self.send(&mut bundle)?;
        }
        self.done.complete = true;
        Ok(copied)
    }

    fn send(&self, bundle: &mut Vec<OwnedRecord>) -> Result<(), RepartitionError> {
        let (offsets, group) = self.reached.to_commit()?;
        let sent = self.sender.send(bundle, Some((&offsets, &group)));
        bundle.clear();
        sent.map_err(|error| match error {
            SendError::Aborted(error) | SendError::Ended(error) => RepartitionError::Kafka(error),
        })
    }

    /// What is to be copied of each source partition.
    fn ranges(&mut self) -> Result<BTreeMap<i32, Range<i64>>, RepartitionError> {
        let mut ranges = BTreeMap::new();
        for partition in self.source.partitions.clone() {
            let (start, end) = self.watermarks.read(&self.source.name, partition)?;
            let reached = self.reached.next(partition);
            if let Some(lost) =
                reached.and_then(|reached| u64::try_from(start - reached).ok()).filter(|lost| *lost > 0)
            {
                tracing::error!(
                    "{}[{partition}] starts at {start}, copying ended at {}: at most {lost} records were never copied",
                    self.source.name,
                    reached.unwrap_or_default()
                );
                self.done.lost += lost;
                self.reached.pass(partition, start - 1);
            }
            ranges.insert(partition, reached.unwrap_or(start).max(start)..end);
        }
        Ok(ranges)
    }
}
