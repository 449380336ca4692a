//! Where the servers are. Several tests share them, so each takes a database of its own.

use std::env;

use odometer::store::{Layout, Settings, Store};

use crate::support;

fn from_environment(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: these tests need real servers; run them with `scripts/test`")
    })
}

pub fn clickhouse_url() -> String {
    from_environment("CLICKHOUSE_URL")
}

pub fn stripe_mock_url() -> String {
    from_environment("STRIPE_MOCK_URL")
}

/// One server, or a cluster of two.
pub fn layout() -> Layout {
    match support::servers::cluster() {
        None => Layout::default(),
        Some((cluster, servers)) => Layout { cluster: Some(cluster.to_owned()), servers, replicas: 1 },
    }
}

/// A database that no other test has; it is dropped with the test's servers.
pub fn store_settings(test: &str) -> Settings {
    Settings {
        url: clickhouse_url(),
        database: format!("it_{test}_{:08x}", rand::random::<u32>()),
        user: "default".to_owned(),
        password: String::new(),
        layout: layout(),
    }
}

/// That database, set up.
pub async fn new_store(test: &str) -> (Store, Settings) {
    let settings = store_settings(test);
    let store = Store::new(&settings).expect("settings of a local server");
    store.setup().await.expect("set up a new database");
    (store, settings)
}

/// The URL of a new Postgres database that no other test has.
pub async fn new_postgres_database(test: &str) -> String {
    let server = from_environment("POSTGRES_URL");
    let name = format!("it_{test}_{:016x}", rand::random::<u64>());
    let pool = sqlx::PgPool::connect(&server).await.expect("connect to POSTGRES_URL");
    // Of a locale that orders texts otherwise than by their bytes, as many installations have.
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
    sqlx::query(&create).execute(&pool).await.expect("create a database");
    pool.close().await;
    let (base, _) = server.rsplit_once('/').expect("POSTGRES_URL names a database");
    format!("{base}/{name}")
}
