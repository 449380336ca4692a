//! What tells of a process that counts and serves nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deployment::Deployment;
use crate::support::kafka;
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

#[test]
fn ingest_alone_tells_of_its_health_and_its_metrics() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("operation", &topics, &json!({}));
    kafka::create_topic(&deployment.topic("events"), 1);
    let listen = [("ODOMETER__INGEST__LISTEN", deployment.address())];
    let mut ingest = Odometer::start(deployment.folder(), "ingest", &["ingest"], &listen);
    let http = deployment.http();
    let report = wait_until("ingest to be ready", Duration::from_secs(60), || {
        ingest.assert_runs();
        http.get_ok("/readyz")
    });
    assert_eq!(report["ready"], json!(true), "{report}");
    wait_until("its first block in the metrics", Duration::from_secs(30), || {
        let metrics = http.text("/metrics")?;
        if metrics.contains("odometer_blocks_published_total") { Ok(()) } else { Err(metrics) }
    });
    assert_eq!(http.get("/v1/organizations/acme/usage").map(|(status, _)| status), Ok(404));
    assert!(matches!(http.get("/healthz"), Ok((200, Value::Object(_)))));
    ingest.stop(Duration::from_secs(30));
}
