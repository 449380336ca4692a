//! What only a cluster can get wrong: counts that are on one shard already and on another not yet,
//! a shard that is away, servers and configuration that contradict each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use odometer::aggregate::CountRow;
use odometer::store::{Layout, Settings, Store};

use super::{Writer, calls, number, total, user};
use crate::servers;
use crate::support::clickhouse as questions;
use crate::support::servers::{CLUSTER, clickhouse_2_url, clickhouse_url};
use crate::support::stack::Stack;

/// So many that every shard has some.
const ORGANIZATIONS: u128 = 16;

fn two_servers() -> Layout {
    let servers = vec![clickhouse_url(), clickhouse_2_url()];
    Layout { cluster: Some(CLUSTER.to_owned()), servers, replicas: 1 }
}

fn settings_on(test: &str, layout: Layout) -> Settings {
    Settings { url: clickhouse_url(), layout, ..servers::store_settings(test) }
}

async fn set_up(settings: &Settings) -> Store {
    let store = Store::new(settings).unwrap();
    store.setup().await.unwrap();
    store
}

async fn refusal(settings: &Settings) -> String {
    let error = Store::new(settings).unwrap().setup().await.unwrap_err();
    assert!(!error.is_unreachable(), "{error}");
    error.to_string()
}

/// One call of each organization.
fn calls_of_all() -> Vec<CountRow> {
    (0..ORGANIZATIONS).map(|number| calls(&format!("org-{number}"), 1)).collect()
}

/// How many rows of counts each server has itself.
async fn rows_of_each(settings: &Settings) -> [u128; 2] {
    let second = Settings { url: clickhouse_2_url(), ..settings.clone() };
    let sql = "SELECT count() FROM counts_local";
    [number(&user(settings), sql).await, number(&user(&second), sql).await]
}

/// Blocks come and are rolled up, while a reader holds the counts against the ledger that it read
/// just before, and against what it saw before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sees_a_ledger_row_sees_its_counts_on_every_shard() {
    let settings = settings_on("shards", two_servers());
    let store = set_up(&settings).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (client, done) = (user(&settings), done.clone());
        async move {
            let (mut reads, mut seen) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let listed = number(&client, "SELECT sum(quantity) FROM ledger").await;
                let counted = total(&client).await;
                assert!(counted >= listed, "{listed} are listed, {counted} counted");
                assert!(counted >= seen, "{seen} were counted, then {counted}");
                seen = counted;
                reads += 1;
            }
            reads
        }
    });
    let mut writer = Writer::new(&store, "topic", 0);
    for _ in 0..6 {
        let mut covered = Vec::new();
        for _ in 0..5 {
            covered.push(writer.live(&calls_of_all()).await);
        }
        writer.roll(&covered).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    done.store(true, Ordering::Relaxed);
    let reads = reader.await.unwrap();
    assert!(reads > 10, "{reads}");
    let [first, second] = rows_of_each(&settings).await;
    assert!(first > 0 && second > 0, "{first} rows and {second}");
    assert_eq!(first + second, 36 * ORGANIZATIONS, "30 live blocks and 6 rolls");
    assert_eq!(total(&user(&settings)).await, 30 * ORGANIZATIONS);
}

#[test]
fn a_shard_that_is_away_is_an_error_and_never_a_smaller_sum() {
    let stack = Stack::start_with(&["clickhouse-2"]);
    let settings = settings_on("away", two_servers());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(set_up(&settings));
    let mut writer = Writer::new(&store, "topic", 0);
    let before = runtime.block_on(writer.live(&calls_of_all()));
    let all = |setting: &str| {
        let view = format!("`{}`.usage_hourly", settings.database);
        questions::ask(&format!("SELECT sum(value) FROM {view} SETTINGS {setting}"))
    };
    assert_eq!(all("skip_unavailable_shards = 0").unwrap().trim(), ORGANIZATIONS.to_string());

    stack.kill(&["clickhouse-2"]);
    for setting in ["skip_unavailable_shards = 0", "skip_unavailable_shards = 1"] {
        assert!(all(setting).is_err(), "{setting}: {:?}", all(setting));
    }
    runtime.block_on(async {
        let row = writer.row(10, &calls_of_all());
        assert!(store.insert_block(&row, &calls_of_all(), &[]).await.is_err());
        assert!(store.publish(&row).await.is_err(), "it was never prepared");
        assert!(store.counts_of(std::slice::from_ref(&before)).unwrap().next().await.is_err());
        assert!(store.sums_by_block().await.is_err());
        // The ledger does not need the other shard.
        assert_eq!(store.history(&writer.lane).await.unwrap().rows, [before]);
        assert_eq!(store.counting_rows().await.unwrap().len(), 1);
    });

    stack.start_again(&["clickhouse-2"]);
    runtime.block_on(writer.live(&calls_of_all()));
    assert_eq!(all("skip_unavailable_shards = 0").unwrap().trim(), (2 * ORGANIZATIONS).to_string());
}

/// As docs/operations.md says it.
#[tokio::test]
async fn a_database_of_one_server_moves_onto_a_cluster() {
    let alone = settings_on("moves", Layout::default());
    let store = set_up(&alone).await;
    let mut writer = Writer::new(&store, "topic", 0);
    let first = writer.live(&calls_of_all()).await;
    let spread = Settings { layout: two_servers(), ..alone.clone() };
    let said = refusal(&spread).await;
    assert!(
        said.contains("table counts of") && said.contains("made for another clickhouse.cluster"),
        "{said}"
    );

    let client = user(&alone);
    let rename = "RENAME TABLE counts TO counts_local, service_changes TO service_changes_local";
    client.query(rename).execute().await.unwrap();
    writer.store = set_up(&spread).await;
    assert_eq!(total(&client).await, ORGANIZATIONS);
    let second = writer.live(&calls_of_all()).await;
    assert_eq!(total(&client).await, 2 * ORGANIZATIONS);
    // Rows lie where their organization's key would not look for them; nobody goes by the key.
    let by_key = client.clone().with_setting("optimize_skip_unused_shards", "1");
    let each = "SELECT uniqExact((organization, value)) FROM usage_hourly WHERE value = 2";
    assert_eq!(number(&by_key, each).await, ORGANIZATIONS);
    let one = "SELECT sum(value) FROM usage_hourly WHERE organization =
        (SELECT organization FROM counts_local LIMIT 1)";
    assert_eq!(number(&by_key, one).await, 2);
    // The roll spreads what lay on the first server alone.
    writer.roll(&[first, second]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(total(&client).await, 2 * ORGANIZATIONS);
    let [on_first, on_second] = rows_of_each(&spread).await;
    assert_eq!(on_first + on_second, 4 * ORGANIZATIONS - ORGANIZATIONS);
    assert!(on_second > 0);
    let said = refusal(&alone).await;
    assert!(said.contains("table counts is a Distributed"), "{said}");
}

/// A shard that is added takes its part of what comes; what was there stays where it was.
#[tokio::test]
async fn a_shard_is_added() {
    let first = Layout {
        cluster: Some(format!("{CLUSTER}_first")),
        servers: vec![clickhouse_url()],
        ..Layout::default()
    };
    let before = settings_on("grows", first);
    let mut writer = Writer::new(&set_up(&before).await, "topic", 0);
    let old = writer.live(&calls_of_all()).await;
    let after = Settings { layout: two_servers(), ..before };
    assert!(refusal(&after).await.contains("made for another clickhouse.cluster"));
    let client = user(&after);
    for table in ["counts", "service_changes"] {
        client.query(&format!("DROP TABLE {table} SYNC")).execute().await.unwrap();
    }
    writer.store = set_up(&after).await;
    let new = writer.live(&calls_of_all()).await;
    assert_eq!(total(&client).await, 2 * ORGANIZATIONS);
    writer.roll(&[old, new]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(total(&client).await, 2 * ORGANIZATIONS);
    let [_, on_second] = rows_of_each(&after).await;
    assert!(on_second > 0);
}

#[tokio::test]
async fn servers_that_contradict_the_configuration_are_refused() {
    let layout = two_servers();
    let servers = &layout.servers;
    let cases = [
        (Layout { cluster: Some("no_such".to_owned()), ..layout.clone() }, "knows no cluster no_such"),
        (Layout { servers: servers[..1].to_vec(), ..layout.clone() }, "lacks replica 1 of shard 2"),
        (Layout { replicas: 2, ..layout.clone() }, "shard 1 of cluster odometer has 1 replicas"),
    ];
    for (layout, says) in cases {
        let said = refusal(&settings_on("contradiction", layout)).await;
        assert!(said.contains(says), "{said}");
    }
    let second = Settings { url: clickhouse_2_url(), ..settings_on("contradiction", layout.clone()) };
    let said = refusal(&second).await;
    assert!(said.contains("clickhouse.url is a server of shard 2"), "{said}");
}

#[tokio::test]
async fn doctor_s_look_goes_to_every_server() {
    let settings = settings_on("looks", two_servers());
    let store = set_up(&settings).await;
    let sound = store.inspect().await.unwrap();
    assert_eq!((sound.missing, sound.not_durable), (Vec::new(), Vec::new()));
    let second = user(&Settings { url: clickhouse_2_url(), ..settings });
    second.query("DROP TABLE service_changes_local SYNC").execute().await.unwrap();
    second.query("ALTER TABLE counts_local MODIFY SETTING fsync_after_insert = 0").execute().await.unwrap();
    let damaged = store.inspect().await.unwrap();
    let of_second = |table: &str| format!("{table} of {}", clickhouse_2_url());
    assert_eq!(damaged.missing, [of_second("service_changes_local")]);
    assert_eq!(damaged.not_durable, [(of_second("counts_local"), "fsync_after_insert = 1".to_owned())]);
}
