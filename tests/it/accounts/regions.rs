//! Regions as they are run: each has an ingest of its own, with its own topics and its own ClickHouse
//! database; one `serve` reads them all, and says which one does not answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::servers;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const ORGANIZATION: &str = "/v1/organizations/acme";

fn region(name: &str, changes: &Value) -> Deployment {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new(&format!("region_{name}"), &topics, changes);
    kafka::create_topic(&deployment.topic("events"), 1);
    deployment.run(&["setup"]).expect_code(0);
    deployment
}

/// Uses one service and so many calls now.
fn send(deployment: &Deployment, calls: u64) {
    let producer = KafkaProducer::new();
    let events =
        [("service.created", json!({ "service": "search" })), ("api.request", json!({ "quantity": calls }))];
    for (event_type, data) in events {
        let event = json!({
            "specversion": "1.0", "id": event_type, "source": "regions", "type": event_type,
            "subject": "acme", "time": jiff::Timestamp::now().to_string(), "data": data,
        });
        let value = Some(event.to_string().into_bytes());
        producer.send(&deployment.topic("events"), &KafkaRecord { value, ..KafkaRecord::default() });
    }
    producer.flush();
}

#[test]
fn one_process_reads_every_region_and_names_the_one_that_is_silent() {
    let eu = region("eu", &json!({ "region": "eu" }));
    let others = json!({
        "eu": { "clickhouse": { "url": servers::clickhouse_url(), "database": eu.name,
                                "cluster": servers::layout().cluster } },
        "ap": { "clickhouse": { "url": "http://127.0.0.1:9" } },
    });
    let us = region("us", &json!({ "region": "us", "regions": others }));
    let (ingest, run) = (eu.start("ingest", &["ingest"]), us.start("run", &["run"]));
    let http = us.http();
    wait_until("the process to be ready, whatever is silent", PATIENCE, || http.get_ok("/readyz"));
    let sign_up = json!({ "id": "acme", "name": "Acme", "email": "a@acme.example", "region": "us" });
    http.change("POST", "/v1/organizations", &sign_up);
    http.change("PUT", &format!("{ORGANIZATION}/plan"), &json!({ "plan": "enterprise" }));
    http.change("PUT", &format!("{ORGANIZATION}/regions"), &json!({ "regions": ["us", "eu"] }));
    send(&us, 40);
    send(&eu, 2);
    let usage = wait_until("both regions' usage", PATIENCE, || {
        let usage = http.get_ok(&format!("{ORGANIZATION}/usage"))?;
        let is_whole = usage["usage"]["api_calls"] == 42 && usage["usage"]["services"] == 2;
        if is_whole { Ok(usage) } else { Err(usage.to_string()) }
    });
    assert_eq!(usage["usage"]["regions"], 2);
    for (region, calls) in [("us", 40), ("eu", 2)] {
        let used = json!({ "api_calls": calls, "services": 1, "published_services": 0 });
        assert_eq!(usage["by_region"][region], used);
    }
    assert_eq!(usage["by_region"]["ap"], json!({ "error": "region ap does not answer" }));
    assert_eq!(usage["complete"], false, "what was used in ap is not known");
    run.stop(PATIENCE);
    ingest.stop(PATIENCE);
}
