//! The whole way, from records in Kafka to figures in ClickHouse and over HTTP: a million events of
//! all formats, with `odometer ingest` killed five times on the way. Every figure has to equal
//! that of an oracle that reads the same records by itself.

mod formats;
mod sender;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::{self, Sent};
use crate::oracle::{Format, Totals};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::http::Http;
use crate::support::servers;
use crate::support::wait::wait_until;

pub use sender::{Sender, rules};
use story::MONTHS;
pub use story::Story;

const PARTITIONS: i32 = 4;
/// Of every deployment that counts a story.
pub const DEDUP_WINDOW: i64 = 20_000;
const MAX_EVENT_BYTES: usize = 32_768;
/// Topic, format, events.
const TOPICS: [(&str, Format, u64); 3] = [
    ("events", Format::CloudEvents, 700_000),
    ("logs", Format::KafkaLog, 150_000),
    ("batches", Format::Batch, 150_000),
];
/// How often the process is killed: once in each of so many parts of what comes, at a random moment.
const KILLS: u64 = 5;
/// They lie within the first so many percent, so that something is left to go on with.
const KILLED_WITHIN: u64 = 80;
/// Organizations whose figures are also asked for over HTTP: each tenth.
const ASKED_EVERY: usize = 10;

#[test]
fn a_million_events_are_counted_exactly_through_five_kills() {
    let deployment = deployment();
    let senders =
        topics().map(|(topic, format, events)| Sender::new(&deployment, topic, format, events, PARTITIONS));
    deployment.run(&["setup"]).expect_code(0);
    let (sent, ingest) = thread::scope(|scope| {
        let deployment = &deployment;
        let senders = senders.map(|sender| scope.spawn(move || sender.finish()));
        let mut ingest = deployment.start("ingest-0", &["ingest"]);
        let events: u64 = topics().iter().map(|(_, _, events)| events).sum();
        for kill in 0..KILLS {
            let part = events * KILLED_WITHIN / 100 / KILLS;
            let at = kill * part + rand::random_range(1..part);
            eprintln!("killed when {at} of {events} events are received");
            figures::await_received(deployment, &mut ingest, u128::from(at));
            ingest.kill();
            ingest = deployment.start(&format!("ingest-{}", kill + 1), &["ingest"]);
        }
        let mut sent = Sent::default();
        for sender in senders {
            sent.add(sender.join().expect("a sender ends well"));
        }
        figures::await_received(deployment, &mut ingest, u128::from(sent.totals.received()));
        (sent, ingest)
    });
    check_story(&sent.totals);

    figures::check_ledger(&deployment, &sent);
    figures::check_usage(&deployment, &sent.totals);
    figures::check_register(&deployment, &sent.totals);
    figures::check_dead_letters(&deployment, &sent);
    check_http(&deployment, &sent.totals);

    ingest.stop(Duration::from_secs(30));
    check_audit(&deployment);
}

/// Everything that the story is to hold happened in it.
fn check_story(totals: &Totals) {
    let events: u64 = topics().iter().map(|(_, _, events)| events).sum();
    assert!(totals.received() >= events, "{}", totals.received());
    assert_eq!(totals.reasons().len(), 11, "every reason: {:?}", totals.reasons());
    assert_eq!(totals.ignored.len(), 3, "every kind of ignored event: {:?}", totals.ignored);
    let organizations: BTreeSet<&String> = totals.usage.keys().map(|key| &key.0).collect();
    assert_eq!(organizations.len(), story::ORGANIZATIONS);
    let months: BTreeSet<&str> = totals.usage.keys().map(|key| &*key.3).collect();
    assert_eq!(months, BTreeSet::from(MONTHS));
}

/// On a cluster a shorter story: the whole one is told to a single server in the same run.
fn topics() -> [(&'static str, Format, u64); 3] {
    let part = if servers::is_cluster() { 10 } else { 1 };
    TOPICS.map(|(topic, format, events)| (topic, format, events / part))
}

fn deployment() -> Deployment {
    let topics = [
        json!({ "name": "events", "format": "cloudevents" }),
        json!({ "name": "logs", "format": "kafka-log", "organization": "konnect.org_id", "region": "konnect.geo" }),
        json!({ "name": "batches", "format": "batch" }),
    ];
    Deployment::new("spine", &topics, &configuration())
}

/// What a story needs of a deployment.
pub fn configuration() -> Value {
    json!({
        "metering": {
            "dedup_window": DEDUP_WINDOW,
            "max_event_bytes": MAX_EVENT_BYTES,
            // Rolls happen in the middle, too.
            "roll_interval": "5s",
        },
        "meters": [{ "name": "tokens", "type": "ai.completion", "value": "data.value", "aggregation": "sum" }],
    })
}

fn check_http(deployment: &Deployment, totals: &Totals) {
    let serve = deployment.start("serve", &["serve"]);
    let http = deployment.http();
    wait_until("serve to be ready", Duration::from_secs(60), || http.get_ok("/readyz"));
    let organizations: BTreeSet<&str> = totals.usage.keys().map(|key| &*key.0).collect();
    await_complete(&http, organizations.first().expect("an organization"));
    for month in MONTHS {
        let expected = expected_answers(totals, month);
        for organization in organizations.iter().step_by(ASKED_EVERY) {
            let none = BTreeMap::new();
            let expected = expected.get(*organization).unwrap_or(&none);
            check_answer(&http, organization, month, expected);
        }
    }
    let (status, problem) = http.get("/v1/organizations/nobody-we-know/usage").expect("serve answers");
    assert_eq!((status, problem["type"].as_str().is_some()), (404, true), "{problem}");
    serve.stop(Duration::from_secs(30));
}

/// A lane says that it was read to its end after the block in which its last event is counted.
fn await_complete(http: &Http, organization: &str) {
    let path = format!("/v1/organizations/{organization}/usage?month={}", MONTHS[0]);
    wait_until("complete figures", Duration::from_secs(30), || {
        http.get_ok(&path).and_then(|answer| match answer["complete"] == json!(true) {
            true => Ok(()),
            false => Err(answer.to_string()),
        })
    });
}

/// Organization → (region, meter) → value.
type Answers = BTreeMap<String, BTreeMap<(String, String), u64>>;

fn expected_answers(totals: &Totals, month: &str) -> Answers {
    let mut answers = Answers::new();
    let mut set = |organization: &str, region: &str, meter: &str, value: u64| {
        let answer = answers.entry(organization.to_owned()).or_default();
        answer.insert((region.to_owned(), meter.to_owned()), value);
    };
    for ((organization, region, meter, _), &value) in totals.usage.iter().filter(|(key, _)| key.3 == month) {
        set(organization, region, meter, value);
    }
    for ((organization, region), (services, published)) in totals.register.counts(story::bounds(month).1) {
        set(&organization, &region, "services", services);
        if published > 0 {
            set(&organization, &region, "published_services", published);
        }
    }
    answers
}

fn check_answer(http: &Http, organization: &str, month: &str, expected: &BTreeMap<(String, String), u64>) {
    let answer = http.get_ok(&format!("/v1/organizations/{organization}/usage?month={month}")).unwrap();
    let about = format!("{organization} {month}: {answer}");
    let mut found = BTreeMap::new();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (region, meters) in answer["by_region"].as_object().expect(&about) {
        for (meter, value) in meters.as_object().expect(&about) {
            let value = value.as_u64().expect(&about);
            *sums.entry(meter).or_default() += value;
            if value > 0 {
                found.insert((region.clone(), meter.clone()), value);
            }
        }
    }
    assert_eq!(&found, expected, "{about}");
    for (meter, value) in sums {
        assert_eq!(answer["usage"][meter], json!(value), "{about}");
    }
    assert_eq!((&answer["organization"], &answer["month"]), (&json!(organization), &json!(month)));
    assert_eq!(answer["plan"], Value::Null, "{about}");
    assert_eq!(answer["complete"], json!(true), "{about}");
}

/// 0 as it stands; 1 after a ledger row or a stored count is changed by hand, and 0 again after.
fn check_audit(deployment: &Deployment) {
    deployment.run(&["audit"]).expect_code(0);
    let block = clickhouse::value(&format!(
        "SELECT block FROM {} WHERE counted > 0 ORDER BY topic, partition, first_offset LIMIT 1",
        deployment.table("ledger")
    ));
    let changes = [
        ("published", "counted", "1"),
        ("published", "quantity", "toUInt128(1)"),
        ("published", "received", "1"),
        ("published", "next_offset", "1"),
        ("counts", "value", "toUInt128(1)"),
    ];
    for (table, column, one) in changes {
        // A count is changed in one row alone.
        let row = match table {
            "counts" => {
                let key = clickhouse::value(&format!(
                    "SELECT toString((organization, meter, region, hour)) FROM {} \
                     WHERE block = reinterpretAsUInt128(reverse(unhex('{block}'))) LIMIT 1",
                    deployment.table("counts")
                ));
                format!(" AND (organization, meter, region, hour) = {key}")
            }
            _ => String::new(),
        };
        let change = |sign: &str| {
            let change = format!(
                "UPDATE {column} = {column} {sign} {one} \
                 WHERE block = reinterpretAsUInt128(reverse(unhex('{block}'))){row}"
            );
            clickhouse::change_rows(&deployment.name, table, &change);
        };
        change("+");
        let ended = deployment.run(&["audit"]);
        assert_eq!(ended.code, Some(1), "{table}.{column} was changed: {ended:?}");
        change("-");
    }
    deployment.run(&["audit", "--recount"]).expect_code(0);
}
