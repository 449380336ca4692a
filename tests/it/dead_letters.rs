//! `odometer dead-letters` on real servers: what was rejected for a wrong configuration counts once
//! after it is mended, however often and however rudely it is sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::await_received;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::wait::wait_until;

const EVENTS: u64 = 3_000;
const ORGANIZATIONS: u64 = 7;
/// 2024-02-29T12:00:00Z
const LEAP_DAY_MS: i64 = 1_709_208_000_000;

fn event(number: u64, time: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e{number}","source":"/gateway","type":"api.request","time":"{time}",
            "subject":"org-{}","data":{{"quantity":{}}}}}"#,
        number % ORGANIZATIONS,
        number % 5
    )
}

/// Events of long ago whose records were of then; some have no time of their own, some share a record.
fn send(topic: &str) -> u64 {
    let producer = KafkaProducer::new();
    let record = |partition, timestamp_ms, value: String| KafkaRecord {
        partition,
        timestamp_ms: Some(timestamp_ms),
        key: Some(b"key".to_vec()),
        value: Some(value.into_bytes()),
        headers: vec![("trace".to_owned(), b"abc".to_vec())],
        ..KafkaRecord::default()
    };
    let mut number = 0;
    while number < EVENTS {
        let partition = i32::try_from(number % 2).unwrap();
        let (timestamp_ms, time, together) = match number % 10 {
            0 => (-1, "2001-05-05T05:05:05Z", 1),
            1 => (LEAP_DAY_MS, "2024-02-29T11:00:00Z", 3),
            _ => (LEAP_DAY_MS, "2024-02-29T10:30:00Z", 1),
        };
        let events: Vec<String> = (number..number + together).map(|number| event(number, time)).collect();
        let value = if together == 1 { events[0].clone() } else { format!("[{}]", events.join(",")) };
        producer.send(topic, &record(partition, timestamp_ms, value));
        number += together;
    }
    producer.send(topic, &record(0, LEAP_DAY_MS, "no JSON".to_owned()));
    producer.flush();
    number
}

fn letters(deployment: &Deployment, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> =
        ["dead-letters", "--output", "json"].iter().chain(arguments).copied().collect();
    let ended = deployment.run(&arguments).expect_code(0);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

/// Compressed it is no large record to the broker.
#[test]
fn a_record_that_no_queue_has_room_for_is_buried_cut_and_the_lane_goes_on() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("large_letter", &topics, &json!({}));
    let topic = deployment.topic("events");
    kafka::create_topic(&topic, 1);
    let producer = KafkaProducer::new();
    for value in [vec![0; 40 << 20], event(1, "2024-02-29T10:30:00Z").into_bytes()] {
        let timestamp_ms = Some(LEAP_DAY_MS);
        producer.send(&topic, &KafkaRecord { timestamp_ms, value: Some(value), ..KafkaRecord::default() });
    }
    producer.flush();
    let mut ingest = deployment.start("ingest", &["ingest"]);
    await_received(&deployment, &mut ingest, 2);
    ingest.stop(Duration::from_secs(30));
    assert_eq!(letters(&deployment, &["list"])["by_reason"], json!({ "too_large": 1 }));
    let letter = letters(&deployment, &["show", &format!("{topic}/0/0/0")]);
    assert_eq!(letter["truncated"], json!(true), "{}", letter.to_string().len());
}

#[test]
fn rejected_events_count_once_after_a_fix_however_often_they_are_sent_again() {
    // The organization is not where the configuration says.
    let topics = [json!({ "name": "events", "format": "cloudevents", "organization": "tenant" })];
    let deployment = Deployment::new("letters", &topics, &json!({}));
    let topic = deployment.topic("events");
    kafka::create_topic(&topic, 2);
    let events = send(&topic);
    let mut ingest = deployment.start("before", &["ingest"]);
    await_received(&deployment, &mut ingest, u128::from(events + 1));
    ingest.stop(Duration::from_secs(30));

    let listed = letters(&deployment, &["list", "--limit", "5"]);
    assert_eq!(listed["total"], json!(events + 1), "{listed}");
    assert_eq!(listed["by_reason"], json!({ "malformed": 1, "missing_organization": events }));
    assert_eq!(listed["data"].as_array().unwrap().len(), 5);
    assert!(!listed.to_string().contains("gateway"), "a list quotes no content: {listed}");
    check_one(&deployment, &topic);
    deployment.run(&["dead-letters", "retry"]).expect_code(2);
    deployment.run(&["dead-letters", "show", &format!("{topic}/0/999999/0")]).expect_code(1);

    // The fix.
    let file = deployment.folder().join("odometer.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["kafka"]["topics"][0].as_object_mut().unwrap().remove("organization");
    std::fs::write(&file, config.to_string()).unwrap();

    // Killed on the way, twice; two at once; and then once more than needed.
    let dead_letters = deployment.topic("dead-letters");
    let before: i64 = kafka::ends(&dead_letters).values().sum();
    for kill in 1..=2 {
        let retry = deployment
            .start(&format!("retry-{kill}"), &["dead-letters", "retry", "--reason", "missing_organization"]);
        wait_until("a retry to have begun", Duration::from_secs(30), || {
            let marks = kafka::ends(&dead_letters).values().sum::<i64>() - before;
            if marks >= kill * 400 { Ok(()) } else { Err(format!("{marks} marks")) }
        });
        retry.kill();
    }
    let retried = letters(&deployment, &["retry", "--reason", "missing_organization"]);
    let sent = retried["sent"].as_u64().unwrap();
    assert!(sent < events, "a killed retry's letters are not sent again: {retried}");
    assert_eq!(sent + retried["already_retried"].as_u64().unwrap(), events, "{retried}");
    let again = letters(&deployment, &["retry", "--reason", "missing_organization"]);
    assert_eq!(again, json!({ "sent": 0, "already_retried": events, "not_retried": [] }));
    assert_eq!(letters(&deployment, &["list"])["total"], json!(events + 1), "marks are no letters");

    let mut ingest = deployment.start("after", &["ingest"]);
    await_received(&deployment, &mut ingest, u128::from(2 * events + 1));
    ingest.stop(Duration::from_secs(30));
    check_counts(&deployment, events);
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

fn check_one(deployment: &Deployment, topic: &str) {
    let malformed = letters(deployment, &["list", "--reason", "malformed"]);
    let id = malformed["data"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{topic}/0/")), "{id}");
    let shown = letters(deployment, &["show", &id]);
    assert_eq!(
        (&shown["value"], &shown["key"], &shown["retried"]),
        (&json!("no JSON"), &json!("key"), &json!(false))
    );
    assert_eq!(shown["headers"], json!([{ "name": "trace", "value": "abc" }]));
    assert_eq!(shown["recorded_at"], json!("2024-02-29T12:00:00Z"));
}

fn check_counts(deployment: &Deployment, events: u64) {
    let ledger = deployment.table("ledger");
    let tally =
        clickhouse::rows(&format!("SELECT sum(counted), sum(duplicate), sum(rejected) FROM {ledger}"));
    assert_eq!(tally[0], [events.to_string(), "0".to_owned(), (events + 1).to_string()]);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..events {
        *expected.entry(format!("org-{}", number % ORGANIZATIONS)).or_default() += number % 5;
    }
    let usage = deployment.table("usage_monthly");
    let found: BTreeMap<String, u64> =
        clickhouse::rows(&format!("SELECT organization, sum(value) FROM {usage} GROUP BY organization"))
            .into_iter()
            .map(|row| (row[0].clone(), row[1].parse().unwrap()))
            .collect();
    assert_eq!(found, expected);
    assert_eq!(clickhouse::value(&format!("SELECT uniqExact(month) FROM {usage}")), "2");
}

#[test]
fn a_letter_whose_value_was_cut_or_whose_topic_is_gone_is_not_sent_and_said_so() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("cut", &topics, &json!({}));
    deployment.run(&["setup"]).expect_code(0);
    let (topic, gone) = (deployment.topic("events"), deployment.topic("gone"));
    let letter = |topic: &str, offset: &str, truncated: bool| {
        let mut headers: Vec<(String, Vec<u8>)> = [
            ("odometer-reason", "malformed"),
            ("odometer-detail", "not JSON"),
            ("odometer-topic", topic),
            ("odometer-partition", "0"),
            ("odometer-offset", offset),
            ("odometer-index", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .to_vec();
        if truncated {
            headers.push(("odometer-truncated".to_owned(), b"true".to_vec()));
        }
        KafkaRecord { value: Some(b"x".to_vec()), headers, ..KafkaRecord::default() }
    };
    let producer = KafkaProducer::new();
    let dead_letters = deployment.topic("dead-letters");
    // The second is there twice, as after a crash.
    for record in [
        letter(&topic, "1", true),
        letter(&topic, "2", false),
        letter(&topic, "2", false),
        letter(&gone, "3", false),
    ] {
        producer.send(&dead_letters, &record);
    }
    producer.flush();
    assert_eq!(letters(&deployment, &["list"])["total"], json!(3));
    let ended = deployment.run(&["dead-letters", "retry", "--all", "--output", "json"]).expect_code(1);
    let retried: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(retried["sent"], json!(1), "{retried}");
    let mut refused: Vec<String> = retried["not_retried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect();
    refused.sort();
    let mut expected = [format!("{topic}/0/1/0"), format!("{gone}/0/3/0")];
    expected.sort();
    assert_eq!(refused, expected);
    let sent = kafka::read_all(&topic);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].headers, [("odometer-retry-of".to_owned(), format!("{topic}/0/2/0").into_bytes())]);
}
