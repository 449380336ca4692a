use std::sync::{Arc, Mutex};

use futures::future::try_join_all;
use odometer::store::{Settings, Store, Watermark};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{NOVEMBER_MS, Writer, calls, number, servers, user};
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

/// An insert is one act of the server and answered when it is done, on every shard, whatever the user's
/// profile says: each one says so itself.
#[tokio::test]
async fn every_insert_asks_to_be_done_when_it_is_answered() {
    let (_, settings) = servers::new_store("synchronous").await;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let url = record_requests(&settings.url, sent.clone()).await;
    let store = Store::new(&Settings { url, ..settings }).unwrap();
    let mut writer = Writer::new(&store, "topic", 0);
    let mut covered = Vec::new();
    for value in 1..=2 {
        let row = writer.live(&[calls("acme", value)]).await;
        covered.push(row);
    }
    writer.roll(&covered).await;
    let mark = Watermark { lane: writer.lane.clone(), high: 20, observed_at_ms: NOVEMBER_MS };
    store.write_watermarks(&[mark]).await.unwrap();

    let sent = String::from_utf8_lossy(&sent.lock().unwrap()).into_owned();
    // A statement with rows behind it is in the request's address, any other in its body.
    let inserts: Vec<&str> = sent
        .split("POST /")
        .filter(|request| request.replace(['+', '\n'], " ").contains("INSERT INTO"))
        .collect();
    for table in ["counts", "prepared", "published", "watermarks"] {
        assert!(inserts.iter().any(|insert| insert.contains(table)), "nothing was inserted into {table}");
    }
    for insert in inserts {
        let address = insert.lines().next().unwrap_or_default();
        for setting in ["async_insert=0", "distributed_foreground_insert=1", "insert_deduplicate=0"] {
            assert!(address.contains(setting), "{setting} is missing: {address}");
        }
    }
}

/// Passes everything on to `url` and keeps what is sent there; answers with its own address.
async fn record_requests(url: &str, sent: Arc<Mutex<Vec<u8>>>) -> String {
    let target = url.strip_prefix("http://").expect("an address without TLS").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            let ((mut requests, mut answers), (mut answered, mut asked)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answered, &mut answers).await });
            let sent = sent.clone();
            tokio::spawn(async move {
                let mut part = vec![0; 1 << 16];
                while let Ok(read @ 1..) = requests.read(&mut part).await {
                    sent.lock().unwrap().extend_from_slice(&part[..read]);
                    asked.write_all(&part[..read]).await.unwrap();
                }
            });
        }
    });
    format!("http://{address}")
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
