//! Where the servers are: `scripts/test` starts them and says so in the environment. A test that
//! kills servers starts a stack of its own, and says so for each of its threads.
//!
//! Where the environment names the servers of a cluster, every database lies on all of them.

use std::cell::RefCell;
use std::env;

/// Servers that are a test's own.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub kafka_brokers: String,
    pub clickhouse_url: String,
    /// The cluster's second server, where there is a cluster.
    pub clickhouse_2_url: Option<String>,
}

thread_local! {
    static OWN: RefCell<Option<Servers>> = const { RefCell::new(None) };
}

/// From now on this thread means these servers.
pub fn enter(servers: &Servers) {
    OWN.set(Some(servers.clone()));
}

pub fn kafka_brokers() -> String {
    let own = OWN.with_borrow(|own| own.as_ref().map(|own| own.kafka_brokers.clone()));
    own.unwrap_or_else(|| from_environment("KAFKA_BROKERS"))
}

pub fn clickhouse_url() -> String {
    let own = OWN.with_borrow(|own| own.as_ref().map(|own| own.clickhouse_url.clone()));
    own.unwrap_or_else(|| from_environment("CLICKHOUSE_URL"))
}

/// The cluster that `scripts/stack` makes of two servers.
pub const CLUSTER: &str = "odometer";
/// Set where the tests are to run on it.
pub const ON_CLUSTER: &str = "ODOMETER_TEST_ON_CLUSTER";

pub fn is_cluster() -> bool {
    env::var_os(ON_CLUSTER).is_some()
}

/// The cluster's name and the URLs of its servers; `None`: one server is all.
pub fn cluster() -> Option<(&'static str, Vec<String>)> {
    is_cluster().then(|| (CLUSTER, vec![clickhouse_url(), clickhouse_2_url()]))
}

pub fn clickhouse_2_url() -> String {
    let own = OWN.with_borrow(|own| own.as_ref().map(|own| own.clickhouse_2_url.clone()));
    own.flatten().unwrap_or_else(|| from_environment("CLICKHOUSE_2_URL"))
}

fn from_environment(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: this test needs real servers; run it with `scripts/test`")
    })
}
