use odometer::snapshot::watch_partitions;
use serde_json::{Value, json};

use super::ledger::{LaneWriter, calls, count};
use super::{Service, Wish};
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::{servers as environment, unique};

async fn standing(service: &Service, month: &str) -> (Value, Value) {
    let answer = service.get(&format!("/v1/organizations/acme/usage?month={month}")).await.json();
    (answer["complete_through"].clone(), answer["complete"].clone())
}

#[tokio::test]
async fn the_lane_that_is_furthest_behind_decides() {
    let service = Service::new("complete_behind").await;
    let (mut first, mut second) = (service.lane(0), service.lane(1));
    first.live(10, &[calls("acme", 1)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 1).await;
    assert_eq!(standing(&service, "2026-11").await, (json!(null), json!(false)), "nobody saw the log's end");
    second.live(0, &[], &[]).await;
    first.see(10, "2026-11-23T17:59:50Z").await;
    second.see(0, "2026-11-23T17:59:55Z").await;
    service.usage_once("acme", "/complete_through", "2026-11-23T17:59:50Z").await;
    // The second lane grows, the first is idle.
    second.see(5, "2026-11-23T17:59:58Z").await;
    first.see(10, "2026-11-23T17:59:59Z").await;
    service.usage_once("acme", "/complete_through", "2026-11-23T17:59:55Z").await;
    second.see(9, "2026-11-23T17:59:59Z").await;
    second.live(5, &[calls("acme", 1)], &[]).await;
    let answer = service.usage_once("acme", "/complete_through", "2026-11-23T17:59:58Z").await;
    assert_eq!(answer["usage"]["api_calls"], 2);
    assert_eq!(answer["complete"], true);
}

#[tokio::test]
async fn a_past_month_is_complete_once_its_end_was_read() {
    let service = Service::new("complete_month").await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 1), count("acme", "us", "api_calls", "2026-10-31T23:00:00Z", 1)], &[]).await;
    lane.see(1, "2026-10-31T23:59:59.999Z").await;
    service.usage_once("acme", "/complete_through", "2026-10-31T23:59:59.999Z").await;
    assert_eq!(standing(&service, "2026-10").await.1, false);
    assert_eq!(standing(&service, "2026-09").await.1, true);
    assert_eq!(standing(&service, "2026-11").await.1, false, "weeks behind");
    lane.see(1, "2026-11-01T00:00:00Z").await;
    service.usage_once("acme", "/complete_through", "2026-11-01T00:00:00Z").await;
    assert_eq!(standing(&service, "2026-10").await.1, true);
    assert_eq!(standing(&service, "2026-11").await.1, false);
}

#[tokio::test]
async fn figures_that_get_old_are_incomplete() {
    let service = Service::new("complete_old").await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 1)], &[]).await;
    lane.see(1, "2026-11-23T18:00:00Z").await;
    service.usage_once("acme", "/complete", true).await;
    service.set_now("2026-11-23T18:01:00Z");
    service.usage_once("acme", "/as_of", "2026-11-23T18:01:00Z").await;
    assert_eq!(standing(&service, "2026-11").await, (json!("2026-11-23T18:00:00Z"), json!(true)));
    service.set_now("2026-11-23T18:01:00.001Z");
    let answer = service.usage_once("acme", "/complete", false).await;
    assert_eq!(answer["as_of"], "2026-11-23T18:01:00.001Z");
}

#[tokio::test]
async fn a_loss_makes_the_months_incomplete_that_it_may_concern() {
    let service = Service::new("complete_loss").await;
    let mut lane = service.lane(0);
    lane.live(1, &[count("acme", "us", "api_calls", "2026-11-10T00:00:00Z", 1)], &[]).await;
    lane.see(1, "2026-11-23T18:00:00Z").await;
    service.usage_once("acme", "/complete", true).await;
    lane.lose(1000).await;
    lane.see(1001, "2026-11-23T18:00:01Z").await;
    let answer = service.usage_once("acme", "/complete", false).await;
    assert_eq!(answer["usage"]["api_calls"], 1);
    service.usage_once("acme", "/complete_through", "2026-11-23T18:00:01Z").await;
    // Events were accepted up to 35 days late.
    assert_eq!(standing(&service, "2026-10").await.1, false);
    assert_eq!(standing(&service, "2026-09").await.1, true);
}

#[tokio::test]
async fn a_topic_that_is_configured_no_more_holds_nothing_back() {
    let service = Service::new("complete_topics").await;
    // Of another topic, and of one that had this one's name before: their counts stay.
    let mut removed = LaneWriter::new(&service.store, "removed", "BAAAAAAAAAAAAAAAAAAAAA", 0);
    removed.live(1, &[calls("acme", 1)], &[]).await;
    removed.see(100, "2026-11-01T00:00:00Z").await;
    let mut old = LaneWriter::new(&service.store, super::TOPIC, "CAAAAAAAAAAAAAAAAAAAAA", 0);
    old.live(1, &[calls("acme", 1)], &[]).await;
    old.see(100, "2026-11-02T00:00:00Z").await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 1)], &[]).await;
    lane.see(1, "2026-11-23T18:00:01Z").await;
    let answer = service.usage_once("acme", "/complete_through", "2026-11-23T18:00:01Z").await;
    assert_eq!(answer["complete"], true);
    service.usage_once("acme", "/usage/api_calls", 3).await;
}

#[tokio::test]
async fn a_partition_that_was_never_read_is_known_from_the_broker() {
    let topic = unique("partitions");
    let made = topic.clone();
    let filling = tokio::task::spawn_blocking(move || {
        kafka::create_topic(&made, 2);
        // One that nothing ever reached would be complete without being read.
        let producer = KafkaProducer::new();
        for partition in 0..2 {
            producer.send(
                &made,
                &KafkaRecord { partition, value: Some(b"{}".to_vec()), ..KafkaRecord::default() },
            );
        }
        producer.flush();
    });
    filling.await.expect("a topic is made");
    let service =
        Service::with("complete_partitions", Wish { topics: vec![topic.clone()], ..Wish::default() }).await;
    let properties = vec![("bootstrap.servers".to_owned(), environment::kafka_brokers())];
    tokio::spawn(watch_partitions(service.deployment.clone(), properties, service.shutdown.clone()));
    let mut first = LaneWriter::new(&service.store, &topic, "DAAAAAAAAAAAAAAAAAAAAA", 0);
    let mut second = LaneWriter::new(&service.store, &topic, "DAAAAAAAAAAAAAAAAAAAAA", 1);
    first.live(1, &[calls("acme", 1)], &[]).await;
    first.see(1, "2026-11-23T18:00:00Z").await;
    service.usage_once("acme", "/complete_through", json!(null)).await;
    second.live(1, &[], &[]).await;
    second.see(1, "2026-11-23T17:59:59Z").await;
    service.usage_once("acme", "/complete_through", "2026-11-23T17:59:59Z").await;
}
