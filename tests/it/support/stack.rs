//! Servers of a test's own, for killing them: the others that run share the stack of all tests.

use std::process::Command;

use tempfile::TempDir;

use super::servers::{self, Servers};

pub struct Stack {
    folder: TempDir,
    pub servers: Servers,
}

/// Small, since they run beside those that all tests share.
const SIZES: [(&str, &str); 2] =
    [("ODOMETER_KAFKA_HEAP", "256m"), ("ODOMETER_CLICKHOUSE_MEMORY", "1500000000")];
const PORTS: [&str; 6] = [
    "ODOMETER_KAFKA_PORT",
    "ODOMETER_KAFKA_CONTROLLER_PORT",
    "ODOMETER_CLICKHOUSE_PORT",
    "ODOMETER_CLICKHOUSE_TCP_PORT",
    "ODOMETER_CLICKHOUSE_2_PORT",
    "ODOMETER_CLICKHOUSE_2_TCP_PORT",
];

impl Stack {
    /// Starts Kafka and ClickHouse, two servers of it where tests run on a cluster; this thread's test
    /// means them from now on.
    pub fn start() -> Self {
        Self::start_with(if servers::is_cluster() { &["clickhouse-2"] } else { &[] })
    }

    /// The same with more servers.
    pub fn start_with(more: &[&str]) -> Self {
        let folder = TempDir::with_prefix("odometer-stack").expect("make a folder");
        let mut stack = Self { folder, servers: Servers::default() };
        let with: Vec<&str> = more.iter().flat_map(|name| ["--with", name]).collect();
        for line in stack.run("start", &with).lines() {
            match line.split_once('=') {
                Some(("KAFKA_BROKERS", brokers)) => stack.servers.kafka_brokers = brokers.to_owned(),
                Some(("CLICKHOUSE_URL", url)) => stack.servers.clickhouse_url = url.to_owned(),
                Some(("CLICKHOUSE_2_URL", url)) => stack.servers.clickhouse_2_url = Some(url.to_owned()),
                _ => panic!("scripts/stack start printed {line:?}"),
            }
        }
        servers::enter(&stack.servers);
        stack
    }

    /// kill -9. `names`: `kafka`, `clickhouse`, `clickhouse-2`.
    pub fn kill(&self, names: &[&str]) {
        if names.is_empty() {
            return;
        }
        self.run("kill", names);
    }

    /// Returns when they answer.
    pub fn start_again(&self, names: &[&str]) {
        self.run("start", names);
    }

    #[track_caller]
    fn run(&self, command: &str, names: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack");
        let output = Command::new(script)
            .arg(command)
            .args(names)
            .arg("--dir")
            .arg(self.folder.path())
            .envs(SIZES)
            .envs(PORTS.map(|port| (port, "0")))
            .output()
            .unwrap_or_else(|error| panic!("run {script}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/stack {command} {names:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the servers of this test were at {:?}", self.servers);
        }
        self.run("kill", &[]);
    }
}
