//! Members that come and go while traffic trickles in, so that lanes are read to their very end all
//! the time: what a member keeps through a rebalance, it reads on from where it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::figures;
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::deployment::Deployment;

const PARTITIONS: i32 = 4;
/// More than are sent until the members have come and gone.
const EVENTS: u64 = 40_000;
const MEMBERS: usize = 4;
/// Four records each 4 ms: every lane is at its end several hundred times a second.
const TRICKLE: (usize, Duration) = (4, Duration::from_millis(4));

#[test]
fn a_lane_that_its_owner_keeps_through_rebalances_loses_nothing() {
    come_and_go("rebalance", true);
}

#[test]
fn nor_does_one_whose_records_are_taken_one_by_one() {
    come_and_go("rebalance_one", false);
}

fn come_and_go(test: &str, batches: bool) {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let mut configuration = spine::configuration();
    configuration["kafka"]["batches"] = json!(batches);
    let deployment = Deployment::new(test, &topics, &configuration);
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    let mut first = deployment.start_elsewhere("first", &["ingest"]);
    let received = sender.send(TRICKLE.0);
    figures::await_received(&deployment, &mut first, received.into());

    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let trickle = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sender.send(TRICKLE.0);
                thread::sleep(TRICKLE.1);
            }
            sender.finish()
        });
        let mut others = Vec::new();
        for member in 0..MEMBERS {
            others.push(deployment.start_elsewhere(&format!("other-{member}"), &["ingest"]));
            settle();
        }
        for other in others {
            other.stop(Duration::from_secs(30));
            settle();
        }
        done.store(true, Ordering::Relaxed);
        trickle.join().expect("the trickle ends well")
    });
    figures::await_received(&deployment, &mut first, sent.totals.received().into());
    figures::check_ledger(&deployment, &sent);
    figures::check_usage(&deployment, &sent.totals);
    figures::check_register(&deployment, &sent.totals);
    figures::check_dead_letters(&deployment, &sent);
    first.stop(Duration::from_secs(30));
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

/// Gives the group the time for a rebalance; where it takes longer, the test is only weaker.
fn settle() {
    thread::sleep(Duration::from_secs(2));
}
