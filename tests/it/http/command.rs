//! `odometer usage`, as a process.

use odometer::clock::{Clock, Time};
use odometer::store::{Settings, Store};
use serde_json::{Value, json};

use super::ledger::{LaneWriter, count};
use crate::servers;
use crate::support::deployment::Deployment;

#[tokio::test]
async fn a_month_is_printed_for_people_and_for_programs() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("usage_command", &topics, &json!({}));
    deployment.run(&["setup"]).expect_code(0);
    let settings = Settings { database: deployment.name.clone(), ..servers::store_settings("usage_command") };
    let store = Store::new(&settings).unwrap();
    let topic = deployment.topic("events");
    let mut lane = LaneWriter::new(&store, &topic, "AAAAAAAAAAAAAAAAAAAAAA", 0);
    let counts = [
        count("acme", "us", "api_calls", "2025-11-20T10:00:00Z", 1_200_000),
        count("acme", "eu", "api_calls", "2025-11-20T10:00:00Z", 345),
    ];
    lane.live(10, &counts, &[]).await;
    // Looks at the log are kept for weeks, not for a year.
    let seen = Time(Clock::System.now_ms()).to_string();
    lane.see(10, &seen).await;
    let json = deployment.run(&["usage", "acme", "--month", "2025-11", "--output", "json"]).expect_code(0);
    let mut answer: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert!(answer["as_of"].take().is_string());
    let expected = json!({
        "organization": "acme", "month": "2025-11", "plan": null, "trial": null,
        "usage": { "api_calls": 1_200_345, "services": 0, "published_services": 0, "regions": 2 },
        "by_region": {
            "eu": { "api_calls": 345, "services": 0, "published_services": 0 },
            "us": { "api_calls": 1_200_000, "services": 0, "published_services": 0 },
        },
        "estimated_cost": null,
        "as_of": null, "complete_through": seen, "complete": true,
    });
    assert_eq!(answer, expected);
    let table = deployment.run(&["usage", "acme", "--month", "2025-11"]).expect_code(0);
    assert!(table.stdout.contains("api_calls           all     1,200,345"), "{}", table.stdout);
    let unknown = deployment.run(&["usage", "nobody"]).expect_code(1);
    assert!(unknown.stderr.contains("\"nobody\" is not known"), "{}", unknown.stderr);
    assert!(unknown.stdout.is_empty());
    deployment.run(&["usage", "acme", "--month", "2025-13"]).expect_code(2);
    deployment.run(&["usage"]).expect_code(2);
}
