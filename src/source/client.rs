use std::sync::Arc;
use std::time::Duration;

use super::ffi::{self, Described, ErrorCode, Handle, Message, Queue, RawRebalance};
use super::{KafkaError, REQUEST_TIMEOUT, Settings};
use crate::event::{Lane, Record};

/// A member of the consumer group. One thread polls its records; any may count them.
pub struct Client {
    handle: Arc<Handle>,
    queue: Queue,
}

/// What one poll brought.
pub struct Batch(ffi::Batch);

/// One thing of a batch.
pub enum Item<'a> {
    Record {
        record: Record<'a>,
        leader_epoch: i32,
    },
    /// Everything below `offset` that may be read was read.
    End {
        offset: i64,
    },
    /// The partition can't be read on from where it stands, e.g. because the log starts later now.
    Broken {
        cause: String,
    },
}

/// The group's word on which partitions (topic, partition) are ours. An assignment is carried out
/// by [`Client::assign`], a revocation by [`Client::unassign`], after the batch that came with it.
#[derive(Debug)]
pub enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
    Failed(String),
}

/// What the group has stored for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// What the committer wrote beside it; other programs may have written anything.
    pub metadata: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct TopicDescription {
    pub name: String,
    pub topic_id: Arc<str>,
    pub partitions: i32,
}

impl Client {
    /// In the place of an offset in [`assign`](Self::assign): where the log ends.
    pub const LOG_END: i64 = -1;

    /// Connects and subscribes. Errors are those of the configuration; an unreachable broker shows
    /// only later.
    pub fn join(settings: &Settings) -> Result<Self, KafkaError> {
        let failed = |cause| KafkaError {
            action: format!("join group {} at {}", settings.group, settings.brokers),
            cause,
        };
        let properties = settings.consumer_properties();
        let handle = Handle::new(properties.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .map(Arc::new)
            .map_err(failed)?;
        let queue = Queue::of(&handle, settings.taking());
        handle.subscribe(&settings.topics).map_err(failed)?;
        Ok(Self { handle, queue })
    }

    pub(super) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle)
    }

    /// Waits at most `timeout` for up to `limit` records and about `bytes`. What the group decided
    /// meanwhile is to be carried out after the batch.
    pub fn poll(&self, timeout: Duration, limit: usize, bytes: usize) -> (Batch, Vec<Rebalance>) {
        let batch = Batch(self.queue.poll(timeout, limit, bytes));
        let rebalances = self
            .handle
            .take_rebalances()
            .into_iter()
            .map(|raw| match raw {
                RawRebalance::Assign(lanes) => Rebalance::Assign(lanes),
                RawRebalance::Revoke(lanes) => Rebalance::Revoke(lanes),
                RawRebalance::Failed(cause) => Rebalance::Failed(cause),
            })
            .collect();
        (batch, rebalances)
    }

    /// Begins to read each (topic, partition) at its offset.
    pub fn assign(&self, lanes: &[(String, i32, i64)]) -> Result<(), KafkaError> {
        let assigned = self.handle.assign(lanes).and_then(|()| {
            self.queue.go_on(lanes.iter().map(|(topic, partition, _)| (topic.as_str(), *partition)))
        });
        assigned.map_err(|cause| KafkaError { action: format!("assign {} partitions", lanes.len()), cause })
    }

    pub fn unassign(&self, lanes: &[(String, i32)]) -> Result<(), KafkaError> {
        // librdkafka remembers that a partition was paused, also when it comes back.
        let resumed = self.handle.pause(lanes, false);
        let unassigned = resumed.and_then(|()| self.handle.unassign(lanes)).and_then(|()| {
            self.queue.go_on(lanes.iter().map(|(topic, partition)| (topic.as_str(), *partition)))
        });
        unassigned
            .map_err(|cause| KafkaError { action: format!("give up {} partitions", lanes.len()), cause })
    }

    /// Stops or goes on fetching; only for a stand-still of many seconds, since the client throws
    /// its prefetch away.
    pub fn pause(&self, lanes: &[(String, i32)], paused: bool) -> Result<(), KafkaError> {
        let action = if paused { "pause" } else { "resume" };
        let done = self
            .handle
            .pause(lanes, paused)
            .and_then(|()| if paused { Ok(()) } else { self.queue.go_on(std::iter::empty()) });
        done.map_err(|cause| KafkaError { action: format!("{action} {} partitions", lanes.len()), cause })
    }

    /// The name, id and number of partitions of each topic.
    pub fn describe_topics(&self, topics: &[String]) -> Result<Vec<TopicDescription>, KafkaError> {
        describe(&self.handle, topics)?
            .into_iter()
            .map(|Described { name, id, partitions, error }| match error {
                None => Ok(TopicDescription { name, topic_id: id.into(), partitions }),
                Some(cause) => Err(not_described(topics, format!("{name}: {cause}"))),
            })
            .collect()
    }

    /// Reads log bounds and commits from any thread.
    pub fn watermarks(&self) -> Watermarks {
        Watermarks(self.handle())
    }

    /// Leaves the group, so that its lanes go to others at once.
    pub fn leave(self) {
        self.handle.close();
    }
}

/// Reads log bounds and the group's commits, beside the polling thread.
#[derive(Clone)]
pub struct Watermarks(Arc<Handle>);

impl Watermarks {
    /// A client of its own that joins no group.
    pub fn connect(settings: &Settings) -> Result<Self, KafkaError> {
        let mut properties = settings.client_properties();
        properties.insert("isolation.level".into(), "read_committed".into());
        Handle::new(properties.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .map(|handle| Self(Arc::new(handle)))
            .map_err(|cause| KafkaError { action: format!("connect to {}", settings.brokers), cause })
    }

    /// The group's committed offset of a partition, `None` where there is none.
    pub fn committed(&self, topic: &str, partition: i32) -> Result<Option<Committed>, KafkaError> {
        let (offset, metadata) = self
            .0
            .committed(topic, partition, REQUEST_TIMEOUT)
            .map_err(|cause| KafkaError { action: format!("read commit of {topic}[{partition}]"), cause })?;
        Ok((offset >= 0).then_some(Committed { offset, metadata }))
    }

    /// (log start, end of what may be read) of a lane's partition, now.
    pub fn read(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.0.watermarks(topic, partition, REQUEST_TIMEOUT).map_err(|code| KafkaError {
            action: format!("read watermarks of {topic}[{partition}]"),
            cause: ffi::describe(code),
        })
    }

    /// Those of the topics that exist.
    pub fn topics(&self, topics: &[String]) -> Result<Vec<TopicDescription>, KafkaError> {
        let described = describe(&self.0, topics)?.into_iter().filter(|topic| topic.error.is_none());
        let description = |topic: Described| TopicDescription {
            name: topic.name,
            topic_id: topic.id.into(),
            partitions: topic.partitions,
        };
        Ok(described.map(description).collect())
    }

    /// The name and id of those of the topics that exist.
    pub fn describe_topics(&self, topics: &[String]) -> Result<Vec<(String, Arc<str>)>, KafkaError> {
        Ok(self.topics(topics)?.into_iter().map(|topic| (topic.name, topic.topic_id)).collect())
    }
}

fn describe(handle: &Handle, topics: &[String]) -> Result<Vec<Described>, KafkaError> {
    handle.describe_topics(topics, REQUEST_TIMEOUT).map_err(|cause| not_described(topics, cause))
}

fn not_described(topics: &[String], cause: String) -> KafkaError {
    KafkaError { action: format!("describe topics {}", topics.join(", ")), cause }
}

impl Batch {
    pub fn len(&self) -> usize {
        self.0.messages().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.messages().is_empty()
    }

    /// An error that this client does not recover from by itself.
    pub fn fatal_error(&self) -> Option<String> {
        let fatal =
            self.0.messages().iter().find(|message| message.code() == ErrorCode::RD_KAFKA_RESP_ERR__FATAL);
        fatal.map(|message| message.error_text())
    }

    /// Shares the items out, in their order, among so many batches: those of a partition go to the one
    /// whose number `part` gives, and are dropped where that is none. `part` is asked once for a run of
    /// items of one partition.
    pub fn split(self, parts: usize, mut part: impl FnMut(&str, i32) -> Option<usize>) -> Vec<Self> {
        let mut last: Option<((usize, i32), Option<usize>)> = None;
        let split = self.0.split(parts, |message| {
            let key = (message.topic_key(), message.partition());
            let (_, part) = *last
                .filter(|(same, _)| *same == key)
                .get_or_insert_with(|| (key, part(message.topic(), message.partition())));
            last = Some((key, part));
            part
        });
        split.into_iter().map(Self).collect()
    }

    /// Visits each item with the lane that `find` knows its partition by. `find` is asked once for
    /// a run of items of one partition; what it doesn't know is passed over.
    pub fn each<'b, L: Copy>(
        &'b self,
        mut find: impl FnMut(&str, i32) -> Option<L>,
        mut visit: impl FnMut(L, Item<'b>),
    ) {
        let mut last: Option<((usize, i32), &str, Option<L>)> = None;
        for message in self.0.messages() {
            let key = (message.topic_key(), message.partition());
            let (topic, lane) = match last {
                Some((same, topic, lane)) if same == key => (topic, lane),
                _ => {
                    let topic = message.topic();
                    let lane = find(topic, message.partition());
                    last = Some((key, topic, lane));
                    (topic, lane)
                }
            };
            if let Some(lane) = lane {
                visit(lane, item(message, topic));
            }
        }
    }
}

pub(super) fn item<'a>(message: &'a Message, topic: &'a str) -> Item<'a> {
    match message.code() {
        ErrorCode::RD_KAFKA_RESP_ERR_NO_ERROR => {
            Item::Record { record: message.record(topic), leader_epoch: message.leader_epoch() }
        }
        ErrorCode::RD_KAFKA_RESP_ERR__PARTITION_EOF => Item::End { offset: message.offset() },
        code => Item::Broken { cause: ffi::describe(code) },
    }
}

/// The lane of a partition, once its topic's id is known.
impl TopicDescription {
    pub fn lane(&self, partition: i32) -> Lane {
        Lane { topic: self.name.as_str().into(), topic_id: Arc::clone(&self.topic_id), partition }
    }
}
