//! Kafka and ClickHouse are killed while events stream in, one after the other and both at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::figures;
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::process::Odometer;
use crate::support::servers;
use crate::support::stack::Stack;
use crate::support::wait::wait_until;

const PARTITIONS: i32 = 2;
const EVENTS: u64 = 40_000;
const TRICKLE: (usize, Duration) = (20, Duration::from_millis(20));
/// How long a server stays away.
const AWAY: Duration = Duration::from_secs(2);

#[test]
fn servers_that_are_killed_and_started_again_change_no_figure() {
    let stack = Stack::start();
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("killed", &topics, &spine::configuration());
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    let mut odometer = deployment.start("run", &["run"]);
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let trickle = scope.spawn(|| {
            servers::enter(&stack.servers);
            while !done.load(Ordering::Relaxed) {
                sender.send(TRICKLE.0);
                thread::sleep(TRICKLE.1);
            }
            sender.finish_with_a_broker_in_doubt()
        });
        let kills = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            await_progress(&deployment, &mut odometer);
            for names in kills() {
                stack.kill(names);
                thread::sleep(AWAY);
                stack.kill(going_down_with(names));
                stack.start_again(all());
                await_progress(&deployment, &mut odometer);
            }
        }));
        // However that ended, the trickle ends too.
        done.store(true, Ordering::Relaxed);
        let sent = trickle.join().expect("the trickle ends well");
        kills.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent
    });
    figures::await_received(&deployment, &mut odometer, sent.totals.received().into());
    figures::check_ledger(&deployment, &sent);
    figures::check_usage(&deployment, &sent.totals);
    figures::check_register(&deployment, &sent.totals);
    figures::check_dead_letters(&deployment, &sent);
    odometer.stop(Duration::from_secs(30));
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

/// One after the other, then all at once; of a cluster each server.
fn kills() -> &'static [&'static [&'static str]] {
    if servers::is_cluster() {
        return &[&["clickhouse-2"], &["clickhouse"], &["kafka", "clickhouse", "clickhouse-2"]];
    }
    &[&["clickhouse"], &["kafka"], &["kafka", "clickhouse"]]
}

/// The library that is ClickHouse here ends, now or in a moment, when the server vanishes that is
/// connected to it: the first of a cluster, which asks the second.
fn going_down_with(names: &[&str]) -> &'static [&'static str] {
    let is_first = servers::is_cluster() && names.contains(&"clickhouse");
    if is_first { &["clickhouse-2"] } else { &[] }
}

fn all() -> &'static [&'static str] {
    let kills = kills();
    kills[kills.len() - 1]
}

/// Something that was not yet counted is.
fn await_progress(deployment: &Deployment, odometer: &mut Odometer) {
    let query = format!("SELECT sum(received) FROM {}", deployment.table("ledger"));
    let mut before: Option<u128> = None;
    wait_until("the ledger to grow", Duration::from_secs(60), || {
        odometer.assert_runs();
        let now: u128 = clickhouse::ask(&query)?.trim().parse().map_err(|_| "no ledger yet")?;
        if now > *before.get_or_insert(now) { Ok(()) } else { Err(format!("{now} events")) }
    });
}
