//! `odometer export`, as a process on a real ClickHouse.

use std::fs::{self, File};
use std::path::Path;

use odometer::clock::{Clock, Time};
use odometer::store::{Settings, Store};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};

use crate::http::ledger::{LaneWriter, count, service};
use crate::servers;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;

type Row = (String, String, String, u64);

const HOSTILE: &str = "a,\"b\"\r\n=c'\\\u{1F600}";

fn deployment(test: &str, changes: &Value) -> Deployment {
    let deployment = Deployment::new(test, &[json!({ "name": "events", "format": "cloudevents" })], changes);
    deployment.run(&["setup"]).expect_code(0);
    deployment
}

fn store_of(deployment: &Deployment) -> Store {
    let settings = Settings { database: deployment.name.clone(), ..servers::store_settings("export") };
    Store::new(&settings).expect("settings of a local server")
}

fn lane(deployment: &Deployment, store: &Store) -> LaneWriter {
    LaneWriter::new(store, &deployment.topic("events"), "AAAAAAAAAAAAAAAAAAAAAA", 0)
}

/// November 2025 of several organizations, with some of December.
async fn usage(deployment: &Deployment) {
    let at = "2025-11-30T23:59:59Z";
    let counts = [
        count("acme", "us", "api_calls", at, 1_200_000),
        count("acme", "eu", "api_calls", "2025-11-01T00:00:00Z", 345),
        count("acme", "us", "tokens", at, 7),
        count(HOSTILE, "us", "api_calls", at, 3),
        count("Zebra", "us", "api_calls", at, u128::from(u64::MAX) + 5),
        count("idle", "us", "api_calls", at, 0),
        count("acme", "us", "api_calls", "2025-12-01T00:00:00Z", 1_000),
        count("late", "us", "api_calls", "2025-12-01T00:00:00Z", 1_000),
    ];
    let services = [
        service("acme", "billing", "2025-11-03T00:00:00Z", true, true),
        service("acme", "billing", "2025-12-01T00:00:00Z", false, false),
        service("acme", "search", "2025-11-04T00:00:00Z", true, false),
        service("catalog-only", "one", "2025-10-01T00:00:00Z", true, false),
        service("gone", "one", "2025-10-01T00:00:00Z", true, false),
        service("gone", "one", "2025-11-02T00:00:00Z", false, false),
    ];
    let store = store_of(deployment);
    let mut lane = lane(deployment, &store);
    lane.live(10, &counts[..4], &services[..3]).await;
    lane.live(10, &counts[4..], &services[3..]).await;
    // Looks at the log are kept for weeks, not for a year.
    lane.see(20, &Time(Clock::System.now_ms()).to_string()).await;
}

fn expected() -> Vec<Row> {
    let row = |organization: &str, region: &str, meter: &str, value| {
        (organization.to_owned(), region.to_owned(), meter.to_owned(), value)
    };
    vec![
        row("Zebra", "us", "api_calls", u64::MAX),
        row(HOSTILE, "us", "api_calls", 3),
        row("acme", "eu", "api_calls", 345),
        row("acme", "us", "api_calls", 1_200_000),
        row("acme", "us", "published_services", 1),
        row("acme", "us", "services", 2),
        row("acme", "us", "tokens", 7),
        row("catalog-only", "us", "services", 1),
        row("idle", "us", "api_calls", 0),
    ]
}

fn export(deployment: &Deployment, format: &str, out: &str) -> Value {
    let arguments = ["export", "--month", "2025-11", "--format", format, "--out", out, "--output", "json"];
    let ended = deployment.run(&arguments).expect_code(0);
    assert_eq!(ended.stderr, "", "no progress off a terminal");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn parquet_rows(file: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(file).expect("open")).expect("Parquet");
    for group in reader.metadata().row_groups() {
        assert!(group.columns().iter().all(|column| column.statistics().is_some()));
    }
    let read = |row: &parquet::record::Row, column| row.get_string(column).expect("text").clone();
    let rows = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row"));
    rows.map(|row| {
        assert_eq!(read(&row, 3), "2025-11");
        (read(&row, 0), read(&row, 1), read(&row, 2), row.get_ulong(4).expect("value"))
    })
    .collect()
}

fn ndjson_rows(file: &Path) -> Vec<Row> {
    let text = fs::read_to_string(file).expect("read");
    let text_of = |row: &Value, column: &str| row[column].as_str().expect("text").to_owned();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| {
        assert_eq!(row["month"], "2025-11");
        let value = row["value"].as_u64().expect("a value");
        (text_of(&row, "organization"), text_of(&row, "region"), text_of(&row, "meter"), value)
    })
    .collect()
}

#[tokio::test]
async fn a_month_comes_out_the_same_in_every_format() {
    let deployment = deployment("export_formats", &json!({}));
    usage(&deployment).await;
    let summary = export(&deployment, "parquet", "usage.parquet");
    assert_eq!((&summary["rows"], &summary["organizations"]), (&json!(9), &json!(5)));
    assert_eq!((&summary["complete"], &summary["format"]), (&json!(true), &json!("parquet")));
    export(&deployment, "ndjson", "usage.ndjson");
    export(&deployment, "csv", "usage.csv");
    let file = |name: &str| deployment.folder().join(name);
    assert_eq!(parquet_rows(&file("usage.parquet")), expected());
    assert_eq!(ndjson_rows(&file("usage.ndjson")), expected());
    let csv = fs::read_to_string(file("usage.csv")).expect("read");
    let mut wanted = "organization,region,meter,month,value\r\n".to_owned();
    for (organization, region, meter, value) in expected() {
        let organization = match organization.contains(',') {
            true => format!("\"{}\"", organization.replace('"', "\"\"")),
            false => organization,
        };
        wanted += &format!("{organization},{region},{meter},2025-11,{value}\r\n");
    }
    assert_eq!(csv, wanted);
    let question = format!(
        "SELECT hex(organization), region, meter, value FROM {} WHERE month = '2025-11-01' \
         ORDER BY organization, region, meter",
        deployment.table("usage_monthly")
    );
    let view = tokio::task::spawn_blocking(move || clickhouse::rows(&question)).await.expect("ask");
    let events = expected().into_iter().filter(|row| !row.2.ends_with("services"));
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    let events: Vec<Vec<String>> =
        events.map(|row| vec![hex(&row.0), row.1, row.2, row.3.to_string()]).collect();
    assert_eq!(view, events);
    let table = ["export", "--month", "2025-10", "--format", "csv", "--out", "usage.csv"];
    let ended = deployment.run(&table).expect_code(0);
    assert!(ended.stdout.contains("2 rows of 2 organizations in 2025-10"), "{}", ended.stdout);
    let files =
        fs::read_dir(deployment.folder()).expect("list").map(|file| file.expect("a file").file_name());
    let left: Vec<_> = files.filter(|name| name.to_string_lossy().contains(".part")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn other_regions_are_in_it_too() {
    let other = deployment("export_other", &json!({ "region": "eu" }));
    let cluster = servers::layout().cluster;
    let changes = json!({ "regions": { "eu": { "clickhouse":
        { "url": servers::clickhouse_url(), "database": other.name, "cluster": cluster } } } });
    let local = deployment("export_local", &changes);
    let at = "2025-11-20T10:00:00Z";
    for (deployment, region, organizations) in [(&local, "us", ["a", "c"]), (&other, "eu", ["b", "c"])] {
        let store = store_of(deployment);
        let counts = organizations.map(|organization| count(organization, region, "api_calls", at, 2));
        let mut lane = lane(deployment, &store);
        lane.live(2, &counts, &[]).await;
    }
    let summary = export(&local, "ndjson", "usage.ndjson");
    assert_eq!(summary["complete"], json!(false), "nobody saw the lanes read to their ends");
    let rows = ndjson_rows(&local.folder().join("usage.ndjson"));
    let found: Vec<(&str, &str)> = rows.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    assert_eq!(found, [("a", "us"), ("b", "eu"), ("c", "eu"), ("c", "us")]);
}

#[test]
fn wrong_usage_and_absent_servers_leave_the_old_file() {
    let nowhere = json!({ "clickhouse": { "url": "http://127.0.0.1:1" } });
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("export_nowhere", &topics, &nowhere);
    let place = deployment.folder().join("usage.csv");
    fs::write(&place, "old").expect("write");
    let good = ["export", "--month", "2025-11", "--format", "csv", "--out", "usage.csv"];
    for (flag, value) in [("--month", "2025-13"), ("--format", "xlsx"), ("--out", ".")] {
        let at = good.iter().position(|part| *part == flag).expect("a flag") + 1;
        let mut wrong = good;
        wrong[at] = value;
        let ended = deployment.run(&wrong).expect_code(2);
        assert_eq!(ended.stdout, "");
    }
    deployment.run(&["export", "--month", "2025-11"]).expect_code(2);
    let ended = deployment.run(&good).expect_code(69);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&place).expect("read"), "old");
    let files = fs::read_dir(deployment.folder()).expect("list").count();
    assert_eq!(files, 2, "the configuration and the old file");
}
