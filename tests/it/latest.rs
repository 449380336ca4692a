//! `start: latest`: what lies in a topic before its first start is passed over, and nothing later.

use std::time::Duration;

use odometer::clock::Clock;
use serde_json::json;

use crate::figures::await_received;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

const PARTITIONS: i32 = 4;

#[test]
fn several_processes_start_at_the_end_and_later_partitions_at_their_beginning() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("latest", &topics, &json!({ "kafka": { "start": "latest" } }));
    let topic = deployment.topic("events");
    kafka::create_topic(&topic, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    send(&topic, 0..PARTITIONS, "old", 40);

    let mut processes =
        [deployment.start_elsewhere("one", &["ingest"]), deployment.start_elsewhere("two", &["ingest"])];
    await_lanes(&deployment, &mut processes, PARTITIONS);
    send(&topic, 0..PARTITIONS, "new", 40);
    await_received(&deployment, &mut processes[0], 40);

    let [one, two] = processes;
    one.stop(Duration::from_secs(30));
    two.kill();
    kafka::add_partitions(&topic, PARTITIONS + 1);
    send(&topic, PARTITIONS..PARTITIONS + 1, "later", 7);
    let mut heir = deployment.start_elsewhere("heir", &["ingest"]);
    await_lanes(&deployment, std::slice::from_mut(&mut heir), PARTITIONS + 1);
    await_received(&deployment, &mut heir, 47);
    heir.stop(Duration::from_secs(30));
    let used = format!("SELECT sum(value) FROM {}", deployment.table("usage_hourly"));
    assert_eq!(clickhouse::value(&used), "47");
}

fn await_lanes(deployment: &Deployment, processes: &mut [Odometer], lanes: i32) {
    let query = format!("SELECT uniqExact(partition) FROM {}", deployment.table("published"));
    wait_until("every lane to have started", Duration::from_secs(60), || {
        processes.iter_mut().for_each(Odometer::assert_runs);
        let started = clickhouse::ask(&query)?;
        if started.trim() == lanes.to_string() { Ok(()) } else { Err(started) }
    });
}

/// `count` events, over the partitions in turn.
fn send(topic: &str, partitions: std::ops::Range<i32>, ids: &str, count: usize) {
    let producer = KafkaProducer::new();
    let now = Clock::System.now();
    for (number, partition) in partitions.cycle().take(count).enumerate() {
        let value = format!(
            r#"{{"specversion":"1.0","id":"{ids}-{number}","source":"/g","type":"api.request","time":"{now}","subject":"acme"}}"#
        );
        producer.send(
            topic,
            &KafkaRecord { partition, value: Some(value.into_bytes()), ..KafkaRecord::default() },
        );
    }
    producer.flush();
}
