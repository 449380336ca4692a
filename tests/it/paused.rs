//! A process that stands still past its session, and wakes when another owns its lanes: what it
//! then still does must change nothing.

use std::time::Duration;

use serde_json::json;

use crate::figures;
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::deployment::Deployment;

const EVENTS: u64 = 90_000;
const THIRD: usize = 30_000;
const PARTITIONS: i32 = 2;

#[test]
fn an_owner_that_wakes_after_its_lanes_were_taken_over_counts_nothing_twice() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("paused", &topics, &spine::configuration());
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);

    let mut sleeper = deployment.start_elsewhere("sleeper", &["ingest"]);
    let received = sender.send(THIRD);
    figures::await_received(&deployment, &mut sleeper, received.into());

    // It stops in the middle of something, most likely.
    let received = sender.send(THIRD);
    std::thread::sleep(Duration::from_millis(300));
    sleeper.pause();
    let mut heir = deployment.start_elsewhere("heir", &["ingest"]);
    figures::await_received(&deployment, &mut heir, received.into());

    sleeper.wake();
    let sent = sender.finish();
    figures::await_received(&deployment, &mut heir, sent.totals.received().into());
    figures::check_ledger(&deployment, &sent);
    figures::check_usage(&deployment, &sent.totals);
    figures::check_register(&deployment, &sent.totals);
    figures::check_dead_letters(&deployment, &sent);

    sleeper.stop(Duration::from_secs(30));
    heir.stop(Duration::from_secs(30));
    figures::check_ledger(&deployment, &sent);
    deployment.run(&["audit", "--recount"]).expect_code(0);
}
