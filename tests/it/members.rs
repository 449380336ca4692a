//! Processes of one group, each with two threads that count, that join and leave under load, the orderly
//! and the other way, and four of them restarted one after the other: whoever looks meanwhile never sees
//! a figure that is wrong. And what a lane takes along from one process of a machine to the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::figures::{self, Sent};
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

/// One for each thread of the most processes.
const PARTITIONS: i32 = 8;
const THREADS: i32 = 2;
/// More than trickle in while members come and go.
const EVENTS: u64 = 80_000;
const TRICKLE: (usize, Duration) = (30, Duration::from_millis(20));
const MEMBERS: usize = 4;
const HANDED_EVENTS: u64 = 6_000;
const HANDED_LANES: i32 = 2;
/// `shutdown_timeout`, and what the machine needs to notice.
const STOP: Duration = Duration::from_secs(25);
const LOOKED_AT: [(&str, &str); 2] = [("org-0000", "2024-02"), ("org-0001", "2024-03")];

#[test]
fn members_come_and_go_under_load_and_nobody_sees_a_wrong_figure() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let mut configuration = spine::configuration();
    configuration["ingest"]["threads"] = json!(THREADS);
    let deployment = Deployment::new("members", &topics, &configuration);
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    let serve = deployment.start("serve", &["serve"]);
    let http = deployment.http();
    wait_until("serve to be ready", Duration::from_secs(60), || http.get_ok("/readyz"));
    let done = AtomicBool::new(false);
    let (sent, mut members) = thread::scope(|scope| {
        let trickle = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sender.send(TRICKLE.0);
                thread::sleep(TRICKLE.1);
            }
            sender.finish()
        });
        let watcher = scope.spawn(|| watch(&deployment, &done));
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| come_and_go(&deployment)));
        done.store(true, Ordering::Relaxed);
        let sent = trickle.join().expect("the trickle ends well");
        watcher.join().expect("the watcher ends well");
        (sent, story.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    figures::await_received(&deployment, &mut members[0], sent.totals.received().into());
    check(&deployment, &sent);
    await_complete(&deployment);
    for member in members {
        member.stop(STOP);
    }
    serve.stop(STOP);
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

/// One, two, four; one is killed, one leaves; then four are restarted one after the other. Every other
/// one is on a machine of its own.
fn come_and_go(deployment: &Deployment) -> Vec<Odometer> {
    let mut started = 0;
    let mut start = |members: &mut Vec<Odometer>| {
        let name = format!("member-{started}");
        let is_elsewhere = started % 2 == 1;
        let start = if is_elsewhere { Deployment::start_elsewhere } else { Deployment::start };
        members.push(start(deployment, &name, &["ingest"]));
        started += 1;
        await_lanes(deployment, &name);
    };
    let mut members = Vec::new();
    (0..MEMBERS).for_each(|_| start(&mut members));
    members.remove(1).kill();
    members.remove(1).stop(STOP);
    start(&mut members);
    start(&mut members);
    for _ in 0..MEMBERS {
        members.remove(0).stop(STOP);
        start(&mut members);
    }
    members
}

/// Waits until a member has taken some over.
fn await_lanes(deployment: &Deployment, member: &str) {
    await_lanes_taken(deployment, member, 1);
}

fn await_lanes_taken(deployment: &Deployment, member: &str, least: usize) {
    wait_until("a member to own lanes", Duration::from_secs(60), || {
        match log_of(deployment, member)?.matches("took lane over").count() {
            taken if taken >= least => Ok(()),
            taken => Err(format!("{member} took {taken} lanes over")),
        }
    });
}

fn log_of(deployment: &Deployment, member: &str) -> Result<String, String> {
    let log = deployment.folder().join(format!("{member}.log"));
    std::fs::read_to_string(log).map_err(|error| error.to_string())
}

/// Two processes of one machine: what the first has counted the second knows from the first one's
/// journal, so that nothing is read again, and duplicates of it are found.
#[test]
fn a_lane_takes_its_window_along_to_another_process_of_the_machine() {
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("handed", &topics, &spine::configuration());
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, HANDED_EVENTS, HANDED_LANES);
    let mut first = deployment.start("first", &["ingest"]);
    let received = sender.send(HANDED_EVENTS as usize / 2);
    figures::await_received(&deployment, &mut first, received.into());
    let mut second = deployment.start("second", &["ingest"]);
    await_lanes_taken(&deployment, "second", 1);
    first.stop(STOP);
    await_lanes_taken(&deployment, "second", HANDED_LANES as usize);
    let sent = sender.finish();
    figures::await_received(&deployment, &mut second, sent.totals.received().into());
    second.stop(STOP);
    figures::check_ledger(&deployment, &sent);
    let log = log_of(&deployment, "second").expect("it has a log");
    assert!(!log.contains("read window again"), "{log}");
}

/// Asks until `done`; no total and no `complete_through` ever goes back.
fn watch(deployment: &Deployment, done: &AtomicBool) {
    let http = deployment.http();
    let sum = format!("SELECT sum(value) FROM {}", deployment.table("usage_monthly"));
    let mut total: u128 = 0;
    let mut seen = LOOKED_AT.map(|_| (0, String::new()));
    while !done.load(Ordering::Relaxed) {
        let now: u128 = clickhouse::value(&sum).parse().expect("a sum");
        assert!(now >= total, "all usage went from {total} down to {now}");
        total = now;
        for ((organization, month), seen) in LOOKED_AT.iter().zip(&mut seen) {
            let path = format!("/v1/organizations/{organization}/usage?month={month}");
            let (200, answer) = http.get(&path).expect("serve answers") else { continue };
            let calls = answer["usage"]["api_calls"].as_u64().unwrap_or(0);
            let through = answer["complete_through"].as_str().unwrap_or("").to_owned();
            assert!(calls >= seen.0, "{organization} went from {} down: {answer}", seen.0);
            assert!(
                instant(&through) >= instant(&seen.1),
                "complete_through went back from {}: {answer}",
                seen.1
            );
            *seen = (calls, through);
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(total > 0, "there was something to see");
}

/// Times without milliseconds have fewer digits.
fn instant(text: &str) -> String {
    let text = text.trim_end_matches('Z');
    if text.is_empty() || text.contains('.') { text.to_owned() } else { format!("{text}.000") }
}

fn check(deployment: &Deployment, sent: &Sent) {
    figures::check_ledger(deployment, sent);
    figures::check_usage(deployment, &sent.totals);
    figures::check_register(deployment, &sent.totals);
    figures::check_dead_letters(deployment, sent);
}

/// With everything counted, completeness moves on by itself.
fn await_complete(deployment: &Deployment) {
    let http = deployment.http();
    let path = format!("/v1/organizations/{}/usage", LOOKED_AT[0].0);
    let ask = || http.get_ok(&path).map(|answer| instant(answer["complete_through"].as_str().unwrap_or("")));
    let now = instant(&odometer::clock::Clock::System.now().to_string());
    wait_until("everything to be complete", Duration::from_secs(60), || match ask()? {
        through if through >= now => Ok(()),
        through => Err(format!("complete through {through} only")),
    });
}
