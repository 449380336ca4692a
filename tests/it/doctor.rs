//! `odometer doctor` on real servers: a deployment's life, and what there is to say of it.

use std::time::Duration;

use odometer::accounts::{Accounts, Caller, Settings};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::figures::await_received;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::{block_on, process, servers};

/// How full the disk is depends on the machine that the tests run on, and is judged by a unit test.
const OF_THE_MACHINE: &str = "ClickHouse disk";

/// The names of the checks that are not good, with their health, and everything that was said.
#[track_caller]
fn doctor(deployment: &Deployment, code: i32) -> (Vec<String>, String) {
    let ended = deployment.run(&["doctor", "--output", "json"]).expect_code(code);
    read(&ended.stdout)
}

fn read(stdout: &str) -> (Vec<String>, String) {
    let answer: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    let checks = answer["checks"].as_array().expect("checks");
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let bad = checks
        .iter()
        .filter(|check| check["health"] != json!("good") && check["name"] != json!(OF_THE_MACHINE))
        .map(|check| {
            assert!(check["hint"].is_string(), "whoever says what is wrong says what to do: {check}");
            format!("{} {}", text(check, "health"), text(check, "name"))
        })
        .collect();
    (bad, stdout.to_owned())
}

fn send(topic: &str, values: impl Iterator<Item = String>) {
    let producer = KafkaProducer::new();
    for value in values {
        producer.send(topic, &KafkaRecord { value: Some(value.into_bytes()), ..KafkaRecord::default() });
    }
    producer.flush();
}

fn event(number: usize) -> String {
    let now = odometer::clock::Clock::System.now();
    format!(
        r#"{{"specversion":"1.0","id":"{number}","source":"/g","type":"api.request","time":"{now}","subject":"acme"}}"#
    )
}

#[test]
fn the_doctor_follows_a_deployment_through_its_life() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("doctor", &topics, &json!({}));
    let topic = deployment.topic("events");
    let (bad, said) = doctor(&deployment, 1);
    assert!(
        bad.contains(&format!("wrong topic {topic}")) && bad.contains(&"wrong ClickHouse tables".to_owned()),
        "{said}"
    );

    kafka::create_topic(&topic, 1);
    deployment.run(&["setup"]).expect_code(0);
    let (bad, said) = doctor(&deployment, 0);
    assert_eq!(bad, [""; 0], "{said}");
    let table = deployment.run(&["doctor"]).expect_code(0);
    assert!(table.stdout.contains("CHECK") && !table.stdout.contains("WRONG"), "{}", table.stdout);

    // Records wait, and nobody counts them.
    send(&topic, (0..200).map(event));
    let (bad, said) = doctor(&deployment, 1);
    assert_eq!(bad, ["wrong lanes"], "{said}");
    assert!(said.contains("was never counted, 200 records wait"), "{said}");

    let mut ingest = deployment.start("ingest", &["ingest"]);
    send(&topic, std::iter::once("no JSON".to_owned()));
    await_received(&deployment, &mut ingest, 201);
    std::thread::sleep(Duration::from_secs(3));
    let (bad, said) = doctor(&deployment, 0);
    assert_eq!(bad, ["doubtful dead letters"], "{said}");
    assert!(said.contains("1 malformed"), "{said}");
    ingest.stop(Duration::from_secs(30));

    check_another_group(&deployment);
    check_loss(&deployment, &topic);
    check_gap(&deployment);
}

fn check_another_group(deployment: &Deployment) {
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(deployment.folder().join("odometer.yaml")).unwrap()).unwrap();
    config["kafka"]["group"] = json!("another");
    let file = deployment.folder().join("another.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let arguments = ["doctor", "--output", "json", "--config", "another.yaml"];
    let (bad, said) = read(&process::run(deployment.folder(), &arguments).expect_code(1).stdout);
    assert!(bad.contains(&"wrong group".to_owned()), "{said}");
}

fn check_loss(deployment: &Deployment, topic: &str) {
    send(topic, (1_000..1_100).map(event));
    delete_records(topic, 0, 250);
    let (bad, said) = doctor(deployment, 1);
    assert!(bad.contains(&"wrong lanes".to_owned()), "{said}");
    assert!(said.contains("at most 49 records are gone before they were counted"), "{said}");
    let mut ingest = deployment.start("ingest-after-loss", &["ingest"]);
    await_received(deployment, &mut ingest, 201 + 51);
    std::thread::sleep(Duration::from_secs(3));
    let (bad, said) = doctor(deployment, 1);
    assert_eq!(bad, ["wrong losses", "doubtful dead letters"], "{said}");
    ingest.stop(Duration::from_secs(30));
    let audited = deployment.run(&["audit", "--recount", "--output", "json"]).expect_code(0);
    let report: Value = serde_json::from_str(&audited.stdout).unwrap();
    assert_eq!(report["losses"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (&report["losses"][0]["first_offset"], &report["losses"][0]["next_offset"]),
        (&json!(201), &json!(250))
    );
}

fn check_gap(deployment: &Deployment) {
    clickhouse::execute(&format!(
        "ALTER TABLE {} DELETE WHERE loss != '' SETTINGS mutations_sync = 2",
        deployment.table("published")
    ));
    let (bad, said) = doctor(deployment, 1);
    assert!(bad.contains(&"wrong ledger".to_owned()), "{said}");
    assert!(said.contains("[201, 250) is counted by nobody"), "{said}");
    let audited = deployment.run(&["audit"]).expect_code(1);
    assert!(audited.stdout.contains("gap"), "{}", audited.stdout);
}

#[test]
fn a_server_that_is_away_is_what_is_wrong_and_hides_nothing_else() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let nowhere = json!({ "clickhouse": { "url": "http://127.0.0.1:9" } });
    let deployment = Deployment::new("doctor_away", &topics, &nowhere);
    let (bad, said) = doctor(&deployment, 69);
    assert!(bad.contains(&"wrong ClickHouse".to_owned()), "{said}");
    assert!(bad.contains(&format!("wrong topic {}", deployment.topic("events"))), "{said}");
}

fn delete_records(topic: &str, partition: i32, before: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers::kafka_brokers())
        .create()
        .expect("a Kafka admin client");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
    futures::executor::block_on(admin.delete_records(&offsets, &AdminOptions::new()))
        .expect("delete records");
}

#[test]
fn usage_from_a_region_that_an_organization_does_not_have_is_counted_and_told() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("doctor_regions", &topics, &json!({}));
    let topic = deployment.topic("events");
    kafka::create_topic(&topic, 1);
    sign_up(&deployment, "acme");
    let of_region = |number: usize, region: &str| {
        let event = event(number);
        format!(r#"{},"data":{{"region":"{region}"}}}}"#, event.trim_end_matches('}'))
    };
    send(&topic, [of_region(1, "us"), of_region(2, "eu")].into_iter());
    let mut ingest = deployment.start("ingest", &["ingest"]);
    await_received(&deployment, &mut ingest, 2);
    std::thread::sleep(Duration::from_secs(3));
    let (bad, said) = doctor(&deployment, 0);
    ingest.stop(Duration::from_secs(30));
    assert_eq!(bad, ["doubtful regions of organizations"], "{said}");
    assert!(said.contains("acme in eu"), "{said}");
}

fn sign_up(deployment: &Deployment, organization: &str) {
    let url = format!("sqlite://{}", deployment.folder().join("odometer.db").display());
    let request = json!({ "id": organization, "name": "Acme", "email": "billing@acme.test", "region": "us" });
    block_on(async {
        let accounts = Accounts::open(&Settings::new(url)).await.expect("open accounts");
        let request = serde_json::from_value(request).expect("a sign-up");
        accounts.sign_up(&Caller::operator(), &request).await.expect("sign up");
        accounts.close().await;
    });
}
