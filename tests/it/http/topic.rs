//! The snapshots topic on a real Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use odometer::clock::Time;
use odometer::snapshot::{Publisher, TopicSettings};
use serde_json::Value;

use super::ledger::calls;
use super::{PATIENCE, Service, Wish, eventually};
use crate::support::kafka::{self, KafkaRecord};
use crate::support::{servers as environment, unique};

/// What was read of the topic so far: by key, the snapshots in order.
fn by_key(records: &[KafkaRecord]) -> BTreeMap<String, Vec<Value>> {
    let mut snapshots: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("a text");
        let value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        snapshots.entry(key).or_default().push(value);
    }
    snapshots
}

async fn read(topic: &str) -> BTreeMap<String, Vec<Value>> {
    let topic = topic.to_owned();
    let records = tokio::task::spawn_blocking(move || kafka::read_all(&topic)).await;
    by_key(&records.expect("records are read"))
}

#[tokio::test]
async fn what_changes_is_published_by_organization() {
    let topic = unique("snapshots");
    let made = topic.clone();
    tokio::task::spawn_blocking(move || kafka::create_topic(&made, 2)).await.expect("a topic is made");
    let service = Service::with("topic", Wish { collect: true, ..Wish::default() }).await;
    let publisher = Publisher::new(TopicSettings {
        properties: vec![("bootstrap.servers".to_owned(), environment::kafka_brokers())],
        topic: topic.clone(),
        interval: Duration::from_millis(500),
    })
    .expect("a producer");
    let publishing = tokio::spawn(publisher.run(service.snapshots.clone(), service.shutdown.clone()));
    let mut lane = service.lane(0);
    lane.live(2, &[calls("acme", 1), calls("other", 7)], &[]).await;
    let latest = |snapshots: &BTreeMap<String, Vec<Value>>, organization: &str| {
        snapshots.get(organization).and_then(|all| all.last().cloned()).unwrap_or_default()
    };
    let value_of = |snapshot: &Value| snapshot["usage"]["api_calls"].clone();
    eventually("the first snapshots", || async {
        let snapshots = read(&topic).await;
        let found = ["acme", "other"].map(|organization| value_of(&latest(&snapshots, organization)));
        if found == [1, 7] { Ok(()) } else { Err(format!("{snapshots:?}")) }
    })
    .await;
    // Many changes within an interval are told in one or two.
    for _ in 0..10 {
        lane.live(1, &[calls("acme", 1)], &[]).await;
    }
    let mut expected = service.usage_once("acme", "/usage/api_calls", 11).await;
    let snapshots = eventually("the last snapshot", || async {
        let snapshots = read(&topic).await;
        if value_of(&latest(&snapshots, "acme")) == 11 {
            Ok(snapshots)
        } else {
            Err(format!("{snapshots:?}"))
        }
    })
    .await;
    // The clock stands still, yet readers who keep the greatest `as_of` must end with the last.
    let as_of = |value: &Value| value["as_of"].as_str().unwrap().parse::<Time>().unwrap();
    let told: Vec<Time> = snapshots["acme"].iter().map(as_of).collect();
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    let mut last = latest(&snapshots, "acme");
    assert!(as_of(&last) >= as_of(&expected));
    for usage in [&mut last, &mut expected] {
        usage.as_object_mut().unwrap().remove("as_of");
    }
    assert_eq!(last, expected, "the value is the usage answer");
    let values: Vec<u64> = snapshots["acme"].iter().map(|value| value_of(value).as_u64().unwrap()).collect();
    assert!(values.is_sorted() && values.len() < 11, "{values:?}");
    assert_eq!(snapshots["other"].len(), 1, "what did not change is not told again");
    service.shutdown.cancel();
    tokio::time::timeout(PATIENCE, publishing).await.expect("it stops").expect("and does not panic");
    assert!(service.changes.drain().is_empty());
}
