use futures::future::try_join_all;
use odometer::store::{Settings, Store};

use super::{number, servers, user};
use crate::support::clickhouse;

#[tokio::test]
async fn setup_may_run_again_and_at_once() {
    let settings = servers::store_settings("setup");
    let stores: Vec<Store> = (0..8).map(|_| Store::new(&settings).unwrap()).collect();
    try_join_all(stores.iter().map(Store::setup)).await.unwrap();
    stores[0].setup().await.unwrap();
    let client = user(&settings);
    for view in ["usage_hourly", "usage_monthly", "ledger", "services"] {
        assert_eq!(number(&client, &format!("SELECT count() FROM {view}")).await, 0, "{view}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (store, settings) = servers::new_store("newer").await;
    user(&settings).query("INSERT INTO schema_version (version) VALUES (1000)").execute().await.unwrap();
    let error = store.setup().await.unwrap_err();
    assert!(error.to_string().contains("newer odometer"), "{error}");
    assert!(!error.is_unreachable());
}

#[tokio::test]
async fn views_have_the_columns_that_the_contract_names() {
    let (_, settings) = servers::new_store("columns").await;
    let client = user(&settings);
    let columns = async |view: &str| -> Vec<String> {
        let sql = "SELECT concat(name, ' ', type) FROM system.columns WHERE database = ? AND table = ? ORDER BY position";
        client.query(sql).bind(&settings.database).bind(view).fetch_all().await.unwrap()
    };
    assert_eq!(
        columns("usage_hourly").await,
        [
            "organization String",
            "region LowCardinality(String)",
            "meter LowCardinality(String)",
            "hour DateTime('UTC')",
            "value UInt128",
        ]
    );
    assert_eq!(
        columns("usage_monthly").await,
        [
            "organization String",
            "region LowCardinality(String)",
            "meter LowCardinality(String)",
            "month Date",
            "value UInt64",
        ]
    );
    let names = |columns: Vec<String>| -> String {
        let names: Vec<&str> = columns.iter().map(|column| column.split(' ').next().unwrap()).collect();
        names.join(", ")
    };
    assert_eq!(
        names(columns("ledger").await),
        "topic, topic_id, partition, token, block, kind, first_offset, next_offset, received, counted, duplicate, \
         rejected, ignored, quantity, min_time, max_time, window_from, digest, config, loss, published_at"
    );
    assert_eq!(
        names(columns("services").await),
        "organization, region, service, name, published, created_at, deleted_at"
    );
}

/// The ledger must not survive its counts at a power cut, and an answer must mean that it is done.
#[tokio::test]
async fn what_is_acknowledged_is_durable() {
    let (_, settings) = servers::new_store("durable").await;
    let client = user(&settings);
    for table in ["counts", "service_changes", "prepared", "published", "claims", "rules"] {
        let sql = "SELECT engine_full FROM system.tables WHERE database = ? AND name = ?";
        let stored = clickhouse::stored(&settings.database, table);
        let name = stored.rsplit('`').nth(1).unwrap();
        let engine: String = client.query(sql).bind(&settings.database).bind(name).fetch_one().await.unwrap();
        for setting in ["fsync_after_insert = 1", "fsync_part_directory = 1"] {
            assert!(engine.contains(setting), "{table}: {engine}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_server_is_told_from_one_that_refuses() {
    let nobody = Settings { url: "http://127.0.0.1:1".to_owned(), ..servers::store_settings("nobody") };
    let error = Store::new(&nobody).unwrap().ping().await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().starts_with("ping ClickHouse: "), "{error}");
    assert!(error.to_string().contains("onnection refused"), "{error}");
    let stranger = Settings { user: "nobody".to_owned(), ..servers::store_settings("stranger") };
    let error = Store::new(&stranger).unwrap().ping().await.unwrap_err();
    assert!(!error.is_unreachable(), "{error}");
}
