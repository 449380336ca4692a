//! Where the servers are: `scripts/test` starts them and says so in the environment. A test that
//! kills servers starts a stack of its own, and says so for each of its threads.

use std::cell::RefCell;
use std::env;

/// Servers that are a test's own.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub kafka_brokers: String,
    pub clickhouse_url: String,
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

fn from_environment(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: this test needs real servers; run it with `scripts/test`")
    })
}
