//! `odometer audit` on real servers: what was counted balances and gives the same when it is counted
//! again; whatever is changed by hand afterwards is found, with its place.

use std::time::Duration;

use odometer::accounts::database::Database;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::figures::{self, Sent};
use crate::oracle::Format;
use crate::spine::{self, Sender};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::wait::wait_until;
use crate::support::{block_on, servers};

const EVENTS: u64 = 8_000;
const TOPICS: [(&str, Format); 3] =
    [("events", Format::CloudEvents), ("logs", Format::KafkaLog), ("batches", Format::Batch)];
const PARTITIONS: i32 = 2;

fn topics() -> [Value; 3] {
    [
        json!({ "name": "events", "format": "cloudevents" }),
        json!({ "name": "logs", "format": "kafka-log", "organization": "konnect.org_id", "region": "konnect.geo" }),
        json!({ "name": "batches", "format": "batch" }),
    ]
}

/// Sends a story to each topic and counts it, with a kill on the way.
fn counted(deployment: &Deployment) -> Sent {
    let mut senders =
        TOPICS.map(|(topic, format)| Sender::new(deployment, topic, format, EVENTS, PARTITIONS));
    deployment.run(&["setup"]).expect_code(0);
    let mut ingest = deployment.start("ingest", &["ingest"]);
    let received: u64 =
        senders.iter_mut().map(|sender| sender.send(usize::try_from(EVENTS / 3).unwrap())).sum();
    figures::await_received(deployment, &mut ingest, u128::from(received / 2));
    ingest.kill();
    let mut ingest = deployment.start("ingest-again", &["ingest"]);
    let mut sent = Sent::default();
    senders.into_iter().for_each(|sender| sent.add(sender.finish()));
    figures::await_received(deployment, &mut ingest, sent.totals.received().into());
    // A roll or two.
    std::thread::sleep(Duration::from_secs(6));
    ingest.stop(Duration::from_secs(30));
    sent
}

/// The answer of an audit that ends with `code`.
#[track_caller]
fn audit(deployment: &Deployment, arguments: &[&str], code: i32) -> Value {
    let arguments: Vec<&str> = ["audit", "--output", "json"].iter().chain(arguments).copied().collect();
    let ended = deployment.run(&arguments).expect_code(code);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

fn problems(answer: &Value) -> Vec<&str> {
    let findings = answer["findings"].as_array().expect("findings");
    let mut problems: Vec<&str> =
        findings.iter().map(|it| it["problem"].as_str().expect("a problem")).collect();
    problems.sort_unstable();
    problems.dedup();
    problems
}

#[test]
fn what_was_counted_balances_and_what_is_changed_by_hand_is_found() {
    let deployment = Deployment::new("audit", &topics(), &spine::configuration());
    let sent = counted(&deployment);
    figures::check_ledger(&deployment, &sent);

    let answer = audit(&deployment, &["--recount"], 0);
    assert_eq!(answer["balanced"], true, "{answer}");
    assert_eq!(answer["received"], json!(sent.totals.received()), "{answer}");
    assert_eq!(answer["recounted"]["received"], json!(sent.totals.received()), "{answer}");
    assert_eq!(answer["lanes"], json!(6), "{answer}");
    assert_eq!(answer["not_verifiable"], json!([]), "{answer}");
    let february = audit(&deployment, &["--recount", "--month", "2024-02"], 0);
    assert!(february["rows"].as_u64() > Some(0) && february["rows"].as_u64() <= answer["rows"].as_u64());
    assert_eq!(audit(&deployment, &["--month", "2019-01"], 0)["rows"], json!(0));
    deployment.run(&["audit", "--month", "2024-13"]).expect_code(2);

    check_tampering(&deployment);
    let table = deployment.run(&["audit"]).expect_code(0);
    assert!(table.stdout.starts_with("balanced: "), "{}", table.stdout);
}

/// (table, what is set, what undoes it, the problems found without counting again, and with it)
type Tampering<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);

fn check_tampering(deployment: &Deployment) {
    let ledger = deployment.table("ledger");
    let block = clickhouse::value(&format!(
        "SELECT block FROM {ledger} WHERE counted > 100 AND topic LIKE '%events' ORDER BY first_offset LIMIT 1"
    ));
    let key = |skip: u32| {
        let counts = deployment.table("counts");
        let columns = "(organization, meter, region, hour)";
        let key = clickhouse::value(&format!(
            "SELECT toString({columns}) FROM {counts} WHERE block = {} AND meter = 'api_calls' \
             ORDER BY {columns} LIMIT 1 OFFSET {skip}",
            number(&block)
        ));
        format!("{columns} = {key}")
    };
    let (one, other) = (key(0), key(1));
    let moved = format!("value = if({one}, value + 1, if({other}, value - 1, value))");
    let moved_back = format!("value = if({one}, value - 1, if({other}, value + 1, value))");
    let cases: [Tampering<'_>; 8] = [
        ("published", "counted = counted + 1", "counted = counted - 1", &["tally"], &["outcomes", "tally"]),
        (
            "published",
            "counted = counted + 1, received = received + 1",
            "counted = counted - 1, received = received - 1",
            &[],
            &["outcomes"],
        ),
        ("published", "quantity = quantity + 1", "quantity = quantity - 1", &["quantity"], &["quantity"]),
        ("published", "digest = digest + 1", "digest = digest - 1", &[], &["digest"]),
        ("published", "min_time = min_time - 1", "min_time = min_time + 1", &[], &["times"]),
        ("counts", &moved, &moved_back, &[], &["counts"]),
        ("counts", "value = value + 1", "value = value - 1", &["quantity"], &["counts", "quantity"]),
        ("service_changes", "service = concat(service, '!')", "", &[], &["services"]),
    ];
    for (table, change, undo, without, with) in cases {
        set(deployment, table, change, &block);
        let code = i32::from(!without.is_empty());
        assert_eq!(problems(&audit(deployment, &[], code)), without, "{table}: {change}");
        let answer = audit(deployment, &["--recount"], 1);
        assert_eq!(problems(&answer), with, "{table}: {change}: {answer}");
        for finding in answer["findings"].as_array().unwrap() {
            assert_eq!(finding["block"], json!(block), "{finding}");
            assert_eq!(finding["topic"], json!(deployment.topic("events")), "{finding}");
        }
        let undo = match undo {
            "" => "service = substring(service, 1, length(service) - 1)",
            undo => undo,
        };
        set(deployment, table, undo, &block);
    }
    check_gap(deployment, &block);
    assert_eq!(audit(deployment, &["--recount"], 0)["findings"], json!([]));
}

/// A row that begins five offsets after its lane's end.
fn check_gap(deployment: &Deployment, block: &str) {
    let table = deployment.table("published");
    let block = number(block);
    clickhouse::execute(&format!(
        "INSERT INTO {table} SELECT * EXCEPT (end) REPLACE (toUInt128(7) AS block, 'live' AS kind, token + 100 AS token, \
             end + 5 AS first_offset, end + 5 AS next_offset, toUInt64(0) AS received, toUInt64(0) AS counted, \
             toUInt64(0) AS duplicate, toUInt64(0) AS rejected, toUInt64(0) AS ignored, toUInt128(0) AS quantity, \
             toUInt128(0) AS digest, NULL AS min_time, NULL AS max_time) \
         FROM (SELECT *, (SELECT max(next_offset) FROM {table} WHERE (topic, partition) IN \
             (SELECT topic, partition FROM {table} WHERE block = {block})) AS end \
         FROM {table} WHERE block = {block} LIMIT 1)"
    ));
    let answer = audit(deployment, &[], 1);
    assert_eq!(problems(&answer), ["gap"], "{answer}");
    let gap = &answer["findings"][0];
    let offset = |name: &str| gap[name].as_i64().expect("an offset");
    assert_eq!(offset("next_offset") - offset("first_offset"), 5, "{gap}");
    clickhouse::execute(&format!("DELETE FROM {table} WHERE block = 7 SETTINGS mutations_sync = 2"));
}

fn number(block: &str) -> String {
    format!("reinterpretAsUInt128(reverse(unhex('{block}')))")
}

fn set(deployment: &Deployment, table: &str, change: &str, block: &str) {
    // `service` is a part of the table's order, which nothing may change in place.
    if table == "service_changes" {
        let columns = "organization, region, service, version, time, source, id, existing, published, name, block, level, bucket";
        let stored = clickhouse::stored(&deployment.name, table);
        let table = deployment.table(table);
        let value = change.strip_prefix("service = ").expect("a change of the service");
        let changed = columns.replace("service,", &format!("{value} AS changed,"));
        let copy = deployment.table("copied_changes");
        clickhouse::execute(&format!("CREATE TABLE {copy} AS {stored}"));
        clickhouse::execute(&format!(
            "INSERT INTO {copy} ({columns}) SELECT {changed} FROM {table} WHERE block = {}",
            number(block)
        ));
        let gone = format!("DELETE WHERE block = {}", number(block));
        clickhouse::change_rows(&deployment.name, "service_changes", &gone);
        // A distributed table would take the rows now and pass them on later.
        clickhouse::execute(&format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {copy} SETTINGS distributed_foreground_insert = 1"
        ));
        clickhouse::execute(&format!("DROP TABLE {copy} SYNC"));
        return;
    }
    let change = format!("UPDATE {change} WHERE block = {}", number(block));
    clickhouse::change_rows(&deployment.name, table, &change);
}

#[test]
fn each_range_is_counted_again_as_it_was_counted_then() {
    let topic = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("audit_rules", &topic, &spine::configuration());
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, PARTITIONS);
    deployment.run(&["setup"]).expect_code(0);
    let mut ingest = deployment.start("before", &["ingest"]);
    let received = sender.send(usize::try_from(EVENTS / 2).unwrap());
    figures::await_received(&deployment, &mut ingest, received.into());
    ingest.stop(Duration::from_secs(30));

    // Another window, other events that are too old.
    let file = deployment.folder().join("odometer.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["metering"]["dedup_window"] = json!(50);
    config["metering"]["accept_past"] = json!("1d");
    std::fs::write(&file, config.to_string()).unwrap();
    let sent = sender.finish();
    let mut ingest = deployment.start("after", &["ingest"]);
    figures::await_received(&deployment, &mut ingest, sent.totals.received().into());
    ingest.stop(Duration::from_secs(30));

    let ledger = deployment.table("ledger");
    assert_eq!(clickhouse::value(&format!("SELECT uniqExact(config) FROM {ledger}")), "2");
    let answer = audit(&deployment, &["--recount"], 0);
    assert_eq!(answer["recounted"]["received"], json!(sent.totals.received()), "{answer}");

    // A configuration that is gone can't be counted by.
    clickhouse::execute(&format!("TRUNCATE TABLE {}", deployment.table("rules")));
    assert_eq!(problems(&audit(&deployment, &["--recount"], 1)), ["rules"]);
}

#[test]
fn what_the_log_no_longer_holds_is_said_to_be_not_verifiable() {
    let topic = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("audit_start", &topic, &spine::configuration());
    let mut sender = Sender::new(&deployment, "events", Format::CloudEvents, EVENTS, 1);
    deployment.run(&["setup"]).expect_code(0);
    let mut ingest = deployment.start("ingest", &["ingest"]);
    let received = sender.send(usize::try_from(EVENTS / 2).unwrap());
    figures::await_received(&deployment, &mut ingest, received.into());
    let sent = sender.finish();
    figures::await_received(&deployment, &mut ingest, sent.totals.received().into());
    ingest.stop(Duration::from_secs(30));
    assert_eq!(audit(&deployment, &["--recount"], 0)["not_verifiable"], json!([]));

    delete_records(&deployment.topic("events"), 0, 100);
    let answer = audit(&deployment, &["--recount"], 0);
    let parts = answer["not_verifiable"].as_array().unwrap();
    assert_eq!(parts.len(), 1, "{answer}");
    assert_eq!(parts[0]["reason"], json!("the log starts at 100"), "{answer}");
    assert_eq!(parts[0]["first_offset"], json!(0), "{answer}");
}

#[test]
fn a_change_of_the_account_log_is_found() {
    let topic = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("audit_accounts", &topic, &json!({}));
    deployment.run(&["setup"]).expect_code(0);
    let serve = deployment.start("serve", &["serve"]);
    let http = deployment.http();
    wait_until("serve to answer", Duration::from_secs(60), || http.get_ok("/healthz"));
    for id in ["acme", "beta", "gamma"] {
        let sign_up =
            json!({ "id": id, "name": id, "email": format!("billing@{id}.example"), "region": "us" });
        http.change("POST", "/v1/organizations", &sign_up);
    }
    serve.stop(Duration::from_secs(30));
    let log = audit(&deployment, &[], 0)["account_log"].take();
    let last = log["entries"].as_i64().expect("entries");
    assert!(last >= 3 && log["problem"].is_null(), "{log}");

    let url = format!("sqlite://{}", deployment.folder().join("odometer.db").display());
    let database = block_on(Database::open(&url, 1)).expect("open the accounts database");
    let execute = |sql: &'static str, sequence: i64| {
        let changed = block_on(database.execute(sql, &[sequence.into()])).expect(sql);
        assert_eq!(changed, 1, "{sql} of {sequence}");
    };
    let assert_found = |what: &str| {
        let answer = audit(&deployment, &[], 1);
        assert_eq!(answer["account_log"]["problem"], json!(what), "{answer}");
        assert_eq!((&answer["balanced"], &answer["findings"]), (&json!(false), &json!([])), "{answer}");
        let said = deployment.run(&["audit"]).expect_code(1).stdout;
        assert!(said.contains("NOT BALANCED") && said.contains(what), "{said}");
    };
    let middle = last - 1;
    execute("UPDATE audit_log SET actor = actor || '!' WHERE sequence = $1", middle);
    assert_found(&format!(
        "account log: entry {middle} does not have its hash: it or one before was changed"
    ));
    execute("UPDATE audit_log SET actor = substr(actor, 1, length(actor) - 1) WHERE sequence = $1", middle);
    audit(&deployment, &[], 0);
    execute("DELETE FROM audit_log WHERE sequence = $1", last);
    assert_found(&format!("account log: it ends with entry {middle}, but entry {last} was written"));
    execute("DELETE FROM audit_log WHERE sequence = $1", 1);
    assert_found("account log: entry 1 is missing, 2 follows");
}

fn delete_records(topic: &str, partition: i32, before: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers::kafka_brokers())
        .create()
        .expect("a Kafka admin client");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
    futures::executor::block_on(admin.delete_records(&offsets, &AdminOptions::new()))
        .expect("delete records");
}
