//! The same tests with ClickHouse as a cluster of two servers. What only a cluster can get wrong is
//! in `store::cluster`.

use std::env;
use std::process::Command;

use crate::support::servers::{ON_CLUSTER, clickhouse_2_url};

/// Blocks, rolls, recounts, garbage; kills of the process, of Kafka and of each ClickHouse; an owner
/// that is stopped and wakes up. `ODOMETER_TEST_ON_CLUSTER=1 scripts/test` runs all tests so.
const THE_SAME: [&str; 8] = [
    "store::blocks",
    "store::services",
    "store::reading",
    "store::schema",
    "store::garbage::hidden",
    "spine::",
    "killed::",
    "paused::",
];

#[test]
fn the_same_tests_hold_on_two_servers() {
    let this = env::current_exe().expect("the path of the tests");
    let status = Command::new(this)
        .args(THE_SAME)
        .args(["--test-threads", "2"])
        .env(ON_CLUSTER, "1")
        .env("CLICKHOUSE_2_URL", clickhouse_2_url())
        .status()
        .expect("run the tests again");
    assert!(status.success(), "on a cluster: {status}");
}
