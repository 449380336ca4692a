//! What the client hands over, in batches and one by one: every record once, in the order of the log,
//! wherever it was paused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use odometer::source::{Client, Item, Rebalance, Settings, Start};

use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::{servers, unique};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// On a busy machine not every end comes in one call with the records before it, as it must to be taken
/// for one.
const ROUNDS: i64 = 15;

/// librdkafka's batch call takes the end of a partition for a record, by which a pause would pass over
/// the next one.
#[test]
fn a_partition_that_was_paused_at_its_end_is_read_on_from_there() {
    for batches in [true, false] {
        let mut reader = Reader::join("paused-end", batches);
        for round in 1..=ROUNDS {
            reader.send(round * 3);
            reader.read_to_end(round * 3);
            reader.pause();
        }
        let all: Vec<i64> = (0..ROUNDS * 3).collect();
        assert_eq!(reader.offsets, all, "batches: {batches}");
    }
}

/// Many calls to a poll, none of which takes more than is asked for.
#[test]
fn a_poll_brings_at_most_what_is_asked_for() {
    for batches in [true, false] {
        let mut reader = Reader::join("limits", batches);
        reader.send(1_000);
        reader.limit = 150;
        reader.read_to_end(1_000);
        assert_eq!(reader.offsets, (0..1_000).collect::<Vec<i64>>(), "batches: {batches}");
        assert_eq!(reader.largest_poll, 150, "batches: {batches}");
    }
}

/// Reads a topic of one partition.
struct Reader {
    client: Client,
    topic: String,
    offsets: Vec<i64>,
    limit: usize,
    largest_poll: usize,
}

impl Reader {
    fn join(test: &str, batches: bool) -> Self {
        let topic = unique(test);
        kafka::create_topic(&topic, 1);
        let settings = Settings {
            brokers: servers::kafka_brokers(),
            group: format!("{topic}-group"),
            topics: vec![topic.clone()],
            dead_letters: "none".into(),
            start: Start::Earliest,
            batches,
            properties: BTreeMap::new(),
        };
        let client = Client::join(&settings).expect("join a group");
        let reader = Self { client, topic, offsets: Vec::new(), limit: 2_000, largest_poll: 0 };
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no assignment within {} s", PATIENCE.as_secs());
            for rebalance in reader.client.poll(POLL, 1, 1).1 {
                if let Rebalance::Assign(lanes) = rebalance {
                    let lanes: Vec<_> =
                        lanes.into_iter().map(|(topic, partition)| (topic, partition, 0)).collect();
                    assert_eq!(lanes, [(reader.topic.clone(), 0, 0)]);
                    reader.client.assign(&lanes).expect("assign the partition");
                    return reader;
                }
            }
        }
    }

    /// Until so many are in the topic.
    fn send(&self, end: i64) {
        let producer = KafkaProducer::new();
        for offset in kafka::ends(&self.topic)[&0]..end {
            let value = Some(offset.to_string().into_bytes());
            producer.send(&self.topic, &KafkaRecord { value, ..KafkaRecord::default() });
        }
        producer.flush();
    }

    fn read_to_end(&mut self, expected: i64) {
        let deadline = Instant::now() + PATIENCE;
        let mut end = -1;
        while end < expected {
            assert!(Instant::now() < deadline, "no end at {expected}, but {end}");
            let (batch, _) = self.client.poll(POLL, self.limit, 8 << 20);
            self.largest_poll = self.largest_poll.max(batch.len());
            batch.each(
                |_, _| Some(()),
                |(), item| match item {
                    Item::Record { record, .. } => {
                        assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
                        self.offsets.push(record.offset);
                    }
                    Item::End { offset } => end = offset,
                    Item::Broken { cause } => panic!("read {}: {cause}", self.topic),
                },
            );
        }
    }

    fn pause(&self) {
        let lane = [(self.topic.clone(), 0)];
        self.client.pause(&lane, true).expect("pause");
        self.client.pause(&lane, false).expect("go on");
    }
}
