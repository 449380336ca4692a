//! The cache has no room for a window that must grow, by its budget or because the disk is full: the
//! lane waits, the process says so, and nothing is lost; with room it counts on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{self, Sent};
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

const EVENTS: u64 = 60_000;
const PARTITIONS: i32 = 1;
/// Of the least memory that may be configured windows have a half: at most 21,000 keys of 24 bytes. As
/// many find room on disk, where the journal does not take it first.
const MEMORY: &str = "1MiB";
const DISK_KIB: u32 = 512;
/// The keys on disk lie in one file, which the journal does not share.
const FILE_KIB: u32 = 512;

/// What comes to another topic meanwhile.
const FEW: u64 = 500;

/// A deployment one of whose topics holds more keys than there is room for.
fn deployment(test: &str, changes: &Value) -> (Deployment, Sent, Sender) {
    let topics = ["events", "few"].map(|name| json!({ "name": name, "format": "cloudevents" }));
    let mut configuration = spine::configuration();
    configuration["memory"] = json!(MEMORY);
    configuration["cache"] = changes.clone();
    let deployment = Deployment::new(test, &topics, &configuration);
    let sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    let few = Sender::new(&deployment, "few", Format::CloudEvents, FEW, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    (deployment, sender.finish(), few)
}

fn await_wait(deployment: &Deployment, odometer: &mut Odometer) {
    let http = deployment.http();
    wait_until("the process to say that its cache is full", Duration::from_secs(60), || {
        odometer.assert_runs();
        match http.get("/readyz")? {
            (503, report) if report.to_string().contains("cache.budget") => Ok(()),
            (status, report) => Err(format!("{status} {report}")),
        }
    });
    let received = received(deployment, "events");
    assert!(received < EVENTS, "{received} events found room");
}

fn received(deployment: &Deployment, topic: &str) -> u64 {
    let (ledger, topic) = (deployment.table("ledger"), deployment.topic(topic));
    let sum = clickhouse::value(&format!("SELECT sum(received) FROM {ledger} WHERE topic = '{topic}'"));
    sum.parse().expect("a sum")
}

/// The lanes that have room are counted.
fn check_others_go_on(deployment: &Deployment, odometer: &mut Odometer, few: Sender) -> Sent {
    let sent = few.finish();
    wait_until("another lane to be counted", Duration::from_secs(60), || {
        odometer.assert_runs();
        match received(deployment, "few") {
            received if received == sent.totals.received() => Ok(()),
            received => Err(format!("{received} events")),
        }
    });
    let (status, report) = deployment.http().get("/readyz").expect("it answers");
    assert_eq!(status, 503, "{report}");
    sent
}

fn check(deployment: &Deployment, odometer: &mut Odometer, sent: &Sent) {
    figures::await_received(deployment, odometer, sent.totals.received().into());
    figures::check_ledger(deployment, sent);
    figures::check_usage(deployment, &sent.totals);
    figures::check_dead_letters(deployment, sent);
    let http = deployment.http();
    wait_until("the process to be ready", Duration::from_secs(30), || http.get_ok("/readyz"));
}

#[test]
fn a_lane_waits_for_a_greater_budget() {
    let (deployment, mut sent, few) = deployment("budget", &json!({ "budget": format!("{DISK_KIB}KiB") }));
    let mut odometer = deployment.start("small", &["run"]);
    await_wait(&deployment, &mut odometer);
    sent.add(check_others_go_on(&deployment, &mut odometer, few));
    odometer.stop(Duration::from_secs(25));

    let roomy = [("ODOMETER__CACHE__BUDGET", "1GiB")];
    let mut odometer = Odometer::start(deployment.folder(), "large", &["run"], &roomy);
    check(&deployment, &mut odometer, &sent);
    odometer.stop(Duration::from_secs(25));
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

#[test]
fn a_lane_waits_for_room_on_a_full_disk() {
    let (deployment, sent, few) = deployment("disk", &json!({}));
    let folder = deployment.folder();
    let Some(odometer) = Odometer::start_on_small_disk(folder, "run", &["run"], DISK_KIB) else {
        // No disk of its own can be mounted here (unshare, mount): the test below needs none.
        return;
    };
    let make_room = |_: &Odometer| std::fs::write(folder.join("room"), "").expect("make room");
    check_full_disk(&deployment, odometer, sent, few, make_room);
}

/// Everywhere, also where nothing may be mounted: the system refuses to let a file grow.
#[test]
fn a_lane_waits_while_its_files_may_not_grow() {
    let (deployment, sent, few) = deployment("files", &json!({}));
    // Without accounts, whose files would not grow either.
    let address = deployment.url().replace("http://", "");
    let listen = [("ODOMETER__INGEST__LISTEN", &*address)];
    let folder = deployment.folder();
    let odometer = Odometer::start_with_small_files(folder, "ingest", &["ingest"], &listen, FILE_KIB);
    check_full_disk(&deployment, odometer, sent, few, Odometer::let_files_grow);
}

fn check_full_disk(
    deployment: &Deployment,
    mut odometer: Odometer,
    mut sent: Sent,
    few: Sender,
    make_room: impl FnOnce(&Odometer),
) {
    await_wait(deployment, &mut odometer);
    sent.add(check_others_go_on(deployment, &mut odometer, few));
    make_room(&odometer);
    check(deployment, &mut odometer, &sent);
    odometer.stop(Duration::from_secs(25));
    deployment.run(&["audit", "--recount"]).expect_code(0);
}
