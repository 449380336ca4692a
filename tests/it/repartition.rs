//! `odometer repartition` on real servers: repeats that were spread over partitions are found, and
//! every record is copied exactly once, whatever is killed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::{Value, json};

use crate::figures::await_received;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::servers;
use crate::support::wait::wait_until;

const PARTITIONS: i32 = 3;
const EVENTS: u64 = 30_000;
/// 2026-03-01T00:00:00Z
const START_MS: i64 = 1_772_323_200_000;

fn event(number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{number}","source":"/g","type":"api.request","time":"2026-03-01T00:30:00Z","subject":"org-{}"}}"#,
        number % 11
    )
}

/// Every event in one partition, each third in a second one too, some in arrays; gives how many
/// records there are, and how many events with their repeats.
fn send(topic: &str) -> (u64, u64) {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let producer = KafkaProducer::new();
    let (mut records, mut events, mut number) = (0, 0, 0);
    let mut send = |partition, number: u64, value: String| {
        records += 1;
        let timestamp_ms = Some(START_MS + i64::try_from(number).unwrap());
        let headers = vec![("trace".to_owned(), number.to_string().into_bytes())];
        let value = Some(value.into_bytes());
        producer
            .send(topic, &KafkaRecord { partition, timestamp_ms, value, headers, ..KafkaRecord::default() });
    };
    while number < EVENTS {
        let partition = random.random_range(0..PARTITIONS);
        let together = if number % 50 == 0 { 4 } else { 1 };
        let of = |number: u64| (number..number + together).map(event).collect::<Vec<_>>().join(",");
        let value = if together == 1 { event(number) } else { format!("[{}]", of(number)) };
        send(partition, number, value.clone());
        events += together;
        if number % 3 == 0 {
            send((partition + 1) % PARTITIONS, number, value);
            events += together;
        }
        number += together;
    }
    send(0, number, "no JSON".to_owned());
    send(1, number, "[]".to_owned());
    producer.flush();
    (records, events)
}

fn copy(deployment: &Deployment) -> Value {
    let (from, to) = (deployment.topic("raw"), deployment.topic("events"));
    let ended =
        deployment.run(&["repartition", "--from", &from, "--to", &to, "--output", "json"]).expect_code(0);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

#[test]
fn repeats_in_other_partitions_are_found_and_nothing_is_copied_twice() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("repartition", &topics, &json!({}));
    let (from, to) = (deployment.topic("raw"), deployment.topic("events"));
    kafka::create_topic(&from, PARTITIONS);
    let (records, events) = send(&from);

    let mut seen = 0;
    for kill in 0..3 {
        let process =
            deployment.start(&format!("copy-{kill}"), &["repartition", "--from", &from, "--to", &to]);
        wait_until("some records to be copied", Duration::from_secs(60), || {
            let ends: i64 =
                std::panic::catch_unwind(|| kafka::ends(&to)).map_err(|_| "no topic yet")?.values().sum();
            if ends <= seen + 3_000 {
                return Err(format!("{ends} records"));
            }
            seen = ends;
            Ok(())
        });
        process.kill();
    }
    let done = copy(&deployment);
    assert_eq!(done["complete"], true, "{done}");
    assert!(done["records"].as_u64().unwrap() < records, "a killed copy's work is not done again: {done}");
    check_copies(&from, &to, events + 2);

    // Nothing is left to do, also when the commits are gone and only the copies tell.
    assert_eq!(copy(&deployment)["records"], json!(0));
    delete_group(&format!("odometer-repartition-{from}-{to}"));
    assert_eq!(copy(&deployment)["records"], json!(0));
    let producer = KafkaProducer::new();
    producer.send(
        &from,
        &KafkaRecord {
            value: Some(event(EVENTS + 1_000).into_bytes()),
            timestamp_ms: Some(START_MS),
            ..KafkaRecord::default()
        },
    );
    producer.flush();
    assert_eq!(copy(&deployment)["records"], json!(1));

    let mut ingest = deployment.start("ingest", &["ingest"]);
    await_received(&deployment, &mut ingest, u128::from(events + 3));
    ingest.stop(Duration::from_secs(30));
    let distinct = distinct_events() + 1;
    let tally = clickhouse::rows(&format!(
        "SELECT sum(counted), sum(duplicate), sum(rejected), sum(ignored) FROM {}",
        deployment.table("ledger")
    ));
    let expected = [distinct, events + 1 - distinct, 1, 1].map(|number| number.to_string());
    assert_eq!(tally[0], expected);
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

fn distinct_events() -> u64 {
    let mut number = 0;
    while number < EVENTS {
        number += if number % 50 == 0 { 4 } else { 1 };
    }
    number
}

/// Each event of each source record is there once, at its record's time, with its headers.
fn check_copies(from: &str, to: &str, events: u64) {
    let sources: BTreeMap<(i32, i64), KafkaRecord> =
        kafka::read_all(from).into_iter().map(|record| ((record.partition, record.offset), record)).collect();
    let copies = kafka::read_all(to);
    assert_eq!(copies.len() as u64, events);
    let mut places = HashSet::new();
    let mut copied = HashSet::new();
    for copy in &copies {
        let place = copy.header("odometer-from").expect("a copy says where it came from");
        assert!(places.insert(place.to_owned()), "{place} was copied twice");
        let parts: Vec<&str> = place.split('/').collect();
        assert_eq!(parts[0], from);
        let place = (parts[2].parse().unwrap(), parts[3].parse().unwrap());
        let source = &sources[&place];
        copied.insert(place);
        assert_eq!((copy.timestamp_ms, &copy.headers[0]), (source.timestamp_ms, &source.headers[0]));
    }
    assert_eq!(copied.len(), sources.len(), "every record was copied");
}

fn delete_group(group: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers::kafka_brokers())
        .create()
        .expect("a Kafka admin client");
    let deleted = futures::executor::block_on(admin.delete_groups(&[group], &AdminOptions::new()));
    for result in deleted.expect("ask Kafka to delete a group") {
        result.unwrap_or_else(|(group, error)| panic!("delete group {group}: {error}"));
    }
}
