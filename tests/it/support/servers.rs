//! Where the servers are: `scripts/test` starts them and says so in the environment.

use std::env;

pub fn kafka_brokers() -> String {
    from_environment("KAFKA_BROKERS")
}

pub fn clickhouse_url() -> String {
    from_environment("CLICKHOUSE_URL")
}

fn from_environment(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: this test needs real servers; run it with `scripts/test`")
    })
}
