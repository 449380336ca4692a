//! The configuration changes while a stream goes on: mapping of organizations and regions, meters,
//! window. Each block counts by the configuration of whoever counted it, no event is lost or counted
//! twice for it, and `recount` makes the past what it would have been under today's.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{self, Sent};
use crate::oracle::{Format, Oracle, Rules, Totals};
use crate::spine::{self, Story};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::process::{self, Odometer};
use crate::support::wait::wait_until;

const PARTITIONS: i32 = 2;
const EVENTS: u64 = 12_000;
const TOPICS: [(&str, Format); 2] = [("events", Format::CloudEvents), ("logs", Format::KafkaLog)];
/// Under the second configuration.
const NARROW_WINDOW: i64 = 40;
const STOP: Duration = Duration::from_secs(30);

/// The first configuration names `konnect.…`, counts tokens and has a wide window; the second one
/// names `consumer.…`, counts no tokens, has a narrow window and another region of its own.
fn topics(of: Version) -> [Value; 2] {
    let path = |first: &'static str, second: &'static str| if of == Version::First { first } else { second };
    [
        json!({ "name": "events", "format": "cloudevents" }),
        json!({
            "name": "logs",
            "format": "kafka-log",
            "organization": path("konnect.org_id", "consumer.username"),
            "region": path("konnect.geo", "consumer.custom_id"),
        }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

fn rules(format: Format, of: Version) -> Rules {
    let first = spine::rules(format);
    match of {
        Version::First => first,
        Version::Second => Rules {
            organization: "consumer.username",
            region: "consumer.custom_id",
            default_region: "eu",
            dedup_window: NARROW_WINDOW,
            sums: Vec::new(),
            ..first
        },
    }
}

/// One topic's records, sent little by little.
struct Stream {
    topic: String,
    format: Format,
    records: Vec<KafkaRecord>,
    sent: usize,
    producer: KafkaProducer,
}

impl Stream {
    fn new(deployment: &Deployment, topic: &str, format: Format) -> Self {
        let topic = deployment.topic(topic);
        kafka::create_topic(&topic, PARTITIONS);
        let mut records: Vec<KafkaRecord> = Story::new(format, EVENTS, PARTITIONS).collect();
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for record in &mut records {
            let end = ends.entry(record.partition).or_default();
            record.offset = *end;
            *end += 1;
        }
        Self { topic, format, records, sent: 0, producer: KafkaProducer::new() }
    }

    /// Sends up to so many percent of all.
    fn send_to(&mut self, percent: usize) {
        let end = self.records.len() * percent / 100;
        for record in &self.records[self.sent..end] {
            self.producer.send(&self.topic, record);
        }
        self.sent = end;
        self.producer.flush();
    }

    /// What the records that were sent come to when each is counted by the version that `of` gives.
    fn expect(&self, of: impl Fn(i32, i64) -> Version) -> Sent {
        let versions = [Version::First, Version::Second].map(|version| rules(self.format, version));
        let mut oracle = Oracle::new(&self.topic, versions[0].clone());
        for record in &self.records[..self.sent] {
            let version = of(record.partition, record.offset);
            oracle.set_rules(&versions[usize::from(version == Version::Second)]);
            assert_eq!(oracle.read(record), record.offset);
        }
        let ends = oracle.ends().into_iter().map(|(partition, end)| ((self.topic.clone(), partition), end));
        Sent { ends: ends.collect(), totals: oracle.totals(), rejected: BTreeMap::new() }
    }
}

fn expect(streams: &[Stream], of: impl Fn(&str, i32, i64) -> Version) -> Sent {
    let mut sent = Sent::default();
    for stream in streams {
        sent.add(stream.expect(|partition, offset| of(&stream.topic, partition, offset)));
    }
    sent
}

/// How many events were sent; the same under every configuration.
fn events(streams: &[Stream]) -> u128 {
    expect(streams, |_, _, _| Version::First).totals.received().into()
}

fn start() -> (Deployment, Vec<Stream>) {
    let deployment = Deployment::new("configurations", &topics(Version::First), &spine::configuration());
    let streams = TOPICS.map(|(topic, format)| Stream::new(&deployment, topic, format));
    deployment.run(&["setup"]).expect_code(0);
    write_second(&deployment);
    (deployment, streams.into())
}

/// The second configuration, beside the first.
fn write_second(deployment: &Deployment) {
    let file = deployment.folder().join("odometer.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    config["region"] = json!("eu");
    config["metering"]["dedup_window"] = json!(NARROW_WINDOW);
    config["meters"] = json!([]);
    for (changed, topic) in
        topics(Version::Second).iter().zip(config["kafka"]["topics"].as_array_mut().unwrap())
    {
        let name = topic["name"].clone();
        *topic = changed.clone();
        topic["name"] = name;
    }
    std::fs::write(deployment.folder().join("second.yaml"), config.to_string()).unwrap();
}

fn start_second(deployment: &Deployment, name: &str) -> Odometer {
    deployment.start_elsewhere(name, &["ingest", "--config", "second.yaml"])
}

#[test]
fn each_block_counts_by_its_own_configuration_until_the_past_is_counted_again() {
    let (deployment, mut streams) = start();
    let first = deployment.start_elsewhere("first", &["ingest"]);
    let firsts = count_to(&deployment, &mut streams, 25, first);

    // A restart with the change, then both at once, one of them killed.
    let mut second = start_second(&deployment, "second");
    send_to(&mut streams, 40);
    figures::await_received(&deployment, &mut second, events(&streams));
    let another_first = deployment.start_elsewhere("first-again", &["ingest"]);
    for percent in 41..=60 {
        send_to(&mut streams, percent);
        thread::sleep(Duration::from_millis(200));
    }
    figures::await_received(&deployment, &mut second, events(&streams));
    second.kill();
    send_to(&mut streams, 70);
    let mut second = start_second(&deployment, "second-again");
    figures::await_received(&deployment, &mut second, events(&streams));
    another_first.stop(STOP);
    check(&deployment, &expect(&streams, versions(&deployment, &firsts)));
    deployment.run(&["audit", "--recount"]).expect_code(0);

    await_roll(&deployment, &mut second);
    recount_all(&deployment, &mut streams, &mut second);
    check_rolls_were_counted_again(&deployment);
    let today = expect(&streams, |_, _, _| Version::Second);
    figures::await_received(&deployment, &mut second, today.totals.received().into());
    check(&deployment, &today);
    // Once more changes nothing, and nor does it where nobody owns the lanes.
    second.stop(STOP);
    recount(&deployment, &deployment.topic("logs"), 0).expect_code(0);
    check(&deployment, &today);
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

/// Sends and counts, and ends the process; the configurations that it counted by, as the ledger
/// names them.
fn count_to(
    deployment: &Deployment,
    streams: &mut [Stream],
    percent: usize,
    mut ingest: Odometer,
) -> BTreeSet<String> {
    send_to(streams, percent);
    figures::await_received(deployment, &mut ingest, events(streams));
    ingest.stop(STOP);
    let query = format!("SELECT DISTINCT config FROM {}", deployment.table("ledger"));
    clickhouse::rows(&query).into_iter().map(|row| row[0].clone()).collect()
}

fn send_to(streams: &mut [Stream], percent: usize) {
    streams.iter_mut().for_each(|stream| stream.send_to(percent));
}

/// Whose configuration counted an offset, as the ledger says.
fn versions(deployment: &Deployment, firsts: &BTreeSet<String>) -> impl Fn(&str, i32, i64) -> Version {
    let query = format!("SELECT topic, partition, next_offset, config FROM {}", deployment.table("ledger"));
    let mut ends: BTreeMap<(String, i32, i64), Version> = BTreeMap::new();
    for row in clickhouse::rows(&query) {
        let version = if firsts.contains(&row[3]) { Version::First } else { Version::Second };
        ends.insert((row[0].clone(), row[1].parse().unwrap(), row[2].parse().unwrap()), version);
    }
    let seconds = ends.values().filter(|version| **version == Version::Second).count();
    assert!(seconds > 0 && seconds < ends.len(), "both configurations have counted: {ends:?}");
    move |topic, partition, offset| {
        let at = (topic.to_owned(), partition, offset + 1);
        *ends.range(at..).next().expect("an offset that is counted").1
    }
}

/// Something that will be counted again is rolled up.
fn await_roll(deployment: &Deployment, owner: &mut Odometer) {
    let query = format!("SELECT count() FROM {} WHERE kind = 'roll'", deployment.table("ledger"));
    wait_until("blocks to be rolled up", Duration::from_secs(60), || {
        owner.assert_runs();
        match clickhouse::ask(&query)?.trim() {
            "0" => Err("no roll counts yet".to_owned()),
            _ => Ok(()),
        }
    });
}

/// Rolls lie under the recounts that replaced them; what the gate hides stays stored for a while.
fn check_rolls_were_counted_again(deployment: &Deployment) {
    let published = deployment.table("published");
    let covered = format!(
        "SELECT uniqExact(roll.block) FROM {published} AS roll JOIN {published} AS recount \
            ON roll.topic = recount.topic AND roll.topic_id = recount.topic_id AND roll.partition = recount.partition \
         WHERE roll.kind = 'roll' AND recount.kind = 'recount' AND roll.first_offset < roll.next_offset \
            AND recount.first_offset <= roll.first_offset AND roll.next_offset <= recount.next_offset \
            AND (roll.token, roll.sequence) < (recount.token, recount.sequence)"
    );
    let covered: u64 = clickhouse::value(&covered).parse().expect("a count");
    assert!(covered > 0, "nothing that was counted again had been rolled up");
}

/// Counts all lanes again, each by two commands at once, while their owner counts on.
fn recount_all(deployment: &Deployment, streams: &mut [Stream], owner: &mut Odometer) {
    let lanes: Vec<(String, i32)> = streams
        .iter()
        .flat_map(|stream| (0..PARTITIONS).map(|partition| (stream.topic.clone(), partition)))
        .collect();
    thread::scope(|scope| {
        let recounts: Vec<_> = lanes
            .iter()
            .chain(&lanes)
            .map(|(topic, partition)| scope.spawn(move || recount(deployment, topic, *partition)))
            .collect();
        for percent in 71..=100 {
            send_to(streams, percent);
            thread::sleep(Duration::from_millis(100));
        }
        for recount in recounts {
            recount.join().expect("a recount ends").expect_code(0);
        }
    });
    owner.assert_runs();
}

/// All that was counted of a lane by now.
fn recount(deployment: &Deployment, topic: &str, partition: i32) -> process::Ended {
    let (partition, to) = (partition.to_string(), i64::MAX.to_string());
    let lane = ["--topic", topic, "--partition", &partition];
    let range = ["--from", "0", "--to", &to, "--config", "second.yaml"];
    deployment.run(&[&["recount"][..], &lane, &range].concat())
}

fn check(deployment: &Deployment, expected: &Sent) {
    // The views take a recount into account a second after it was published.
    thread::sleep(Duration::from_secs(2));
    figures::check_ledger(deployment, expected);
    figures::check_usage(deployment, &expected.totals);
    figures::check_register(deployment, &expected.totals);
    check_letters(deployment, &expected.totals);
}

/// What is rejected has its letter; an owner that did not publish, or whose block was counted again,
/// may have sent more.
fn check_letters(deployment: &Deployment, expected: &Totals) {
    let letters: BTreeSet<_> = kafka::read_all(&deployment.topic("dead-letters"))
        .iter()
        .map(|letter| {
            let header = |name: &str| letter.header(name).expect("a letter's header").to_owned();
            let number = |name: &str| header(name).parse::<i64>().expect("a number");
            let place = (number("odometer-partition"), number("odometer-offset"), number("odometer-index"));
            (header("odometer-topic"), place, header("odometer-reason"))
        })
        .collect();
    for ((topic, partition, offset, index), reason) in &expected.rejected {
        let place = (i64::from(*partition), *offset, i64::from(*index));
        let letter = (topic.clone(), place, (*reason).to_owned());
        assert!(letters.contains(&letter), "no dead letter: {letter:?}");
    }
}
