//! ClickHouse that is away, slow, or in doubt, while events stream in: nothing is lost or doubled,
//! the process says that it is not ready, and it holds no more in memory than it may.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::figures;
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::deployment::Deployment;
use crate::support::process::Odometer;
use crate::support::proxy::{Fault, Proxy};
use crate::support::wait::wait_until;

const PARTITIONS: i32 = 2;
/// More than trickle in while the faults last; the rest comes at the end, or in the worst moment.
const EVENTS: u64 = 60_000;
const TRICKLE: (usize, Duration) = (20, Duration::from_millis(20));
/// Of `memory`; what the process takes on top, whatever it holds.
const MEMORY: u64 = 16 << 20;
const MEMORY_BESIDE: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(40);

/// A process that counts and serves while records trickle in, with a proxy before its ClickHouse.
struct Outage<'a> {
    deployment: &'a Deployment,
    proxy: &'a Proxy,
    odometer: Odometer,
    /// Everything that is left may come at once.
    burst: &'a AtomicBool,
}

/// Tells a story to a process on which `faults` fall, and checks every figure.
fn through(test: &str, faults: impl FnOnce(&mut Outage<'_>)) {
    let proxy = Proxy::new();
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let mut configuration = spine::configuration();
    configuration["clickhouse"] = json!({ "url": proxy.url() });
    configuration["memory"] = json!(format!("{}MiB", MEMORY >> 20));
    let deployment = Deployment::new(test, &topics, &configuration);
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    let burst = AtomicBool::new(false);
    // A start in the middle of trouble waits, too.
    proxy.set(Fault::RefuseInserts);
    let odometer = deployment.start("run", &["run"]);
    wait_until("an insert of the start to be refused", PATIENCE, || {
        if proxy.struck() > 1 { Ok(()) } else { Err("none was") }
    });
    proxy.set(Fault::None);
    let mut outage = Outage { deployment: &deployment, proxy: &proxy, odometer, burst: &burst };
    let sent = thread::scope(|scope| {
        // However this ends, the trickle does too.
        let _end = SetOnDrop(&burst);
        let trickle = scope.spawn(|| {
            while !burst.load(Ordering::Relaxed) {
                sender.send(TRICKLE.0);
                thread::sleep(TRICKLE.1);
            }
            sender.finish()
        });
        outage.await_ready();
        faults(&mut outage);
        burst.store(true, Ordering::Relaxed);
        trickle.join().expect("the trickle ends well")
    });
    proxy.set(Fault::None);
    let Outage { mut odometer, .. } = outage;
    figures::await_received(&deployment, &mut odometer, sent.totals.received().into());
    figures::check_ledger(&deployment, &sent);
    figures::check_usage(&deployment, &sent.totals);
    figures::check_register(&deployment, &sent.totals);
    figures::check_dead_letters(&deployment, &sent);
    odometer.stop(Duration::from_secs(30));
    deployment.run(&["audit", "--recount"]).expect_code(0);
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Outage<'_> {
    fn await_ready(&mut self) {
        let http = self.deployment.http();
        wait_until("the process to be ready", PATIENCE, || {
            self.odometer.assert_runs();
            http.get_ok("/readyz")
        });
    }

    /// The process is alive, and says which of its checks does not hold.
    fn await_not_ready(&mut self) {
        let http = self.deployment.http();
        let report = wait_until("the process to be not ready", PATIENCE, || {
            self.odometer.assert_runs();
            match http.get("/readyz")? {
                (503, report) => Ok(report),
                (status, report) => Err(format!("{status} {report}")),
            }
        });
        let checks = report["checks"].as_array().expect("checks");
        assert!(checks.iter().any(|check| check["reason"].is_string()), "{report}");
        let (status, health) = http.get("/healthz").expect("it answers");
        assert_eq!(status, 200, "{health}");
    }

    /// Lets a fault strike for a while, then waits until all is well again.
    fn strike(&mut self, fault: Fault, during: Duration) {
        self.proxy.set(fault);
        let started = Instant::now();
        wait_until(&format!("{fault:?} to strike"), PATIENCE, || {
            let struck = self.proxy.struck();
            if struck > 0 { Ok(()) } else { Err("it has not") }
        });
        thread::sleep(during.saturating_sub(started.elapsed()));
        self.proxy.set(Fault::None);
        self.await_ready();
        self.odometer.assert_runs();
    }
}

#[test]
fn a_database_that_is_away_is_waited_for_in_bounded_memory() {
    through("away", |outage| {
        outage.proxy.set(Fault::Refuse);
        outage.await_not_ready();
        outage.proxy.set(Fault::None);
        outage.await_ready();

        outage.proxy.set(Fault::BlackHole);
        outage.await_not_ready();
        // Everything that is left comes while nothing can be written.
        let before = outage.odometer.resident_bytes();
        outage.burst.store(true, Ordering::Relaxed);
        let mut most = before;
        for _ in 0..40 {
            thread::sleep(Duration::from_millis(200));
            most = most.max(outage.odometer.resident_bytes());
        }
        assert!(most - before <= MEMORY + MEMORY_BESIDE, "{before} bytes became {most}");
    });
}

#[test]
fn an_insert_in_doubt_counts_once() {
    through("doubt", |outage| {
        let while_ = Duration::from_secs(4);
        outage.strike(Fault::Delay(Duration::from_millis(700)), while_);
        outage.strike(Fault::TearInserts, while_);
        outage.strike(Fault::SwallowAnswers, while_);
        outage.strike(Fault::RefuseInserts, while_);
    });
}

/// Longer than the client waits for the answer to an insert.
const LATE: Duration = Duration::from_secs(33);

#[test]
fn an_answer_that_comes_after_the_client_gave_up_changes_nothing() {
    through("late", |outage| outage.strike(Fault::LateAnswers(LATE), Duration::ZERO));
}
