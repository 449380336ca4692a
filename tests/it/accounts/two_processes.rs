//! Two processes of one installation: what is changed at one of them holds at the other, and whoever
//! reads the snapshots topic learns of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::database::Database;
use super::world::at;
use crate::support::deployment::{Deployment, free_address};
use crate::support::http::Http;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::process::Odometer;
use crate::support::wait::wait_until;
use crate::support::{block_on, unique};

const PATIENCE: Duration = Duration::from_secs(60);
const NOW: &str = "2026-11-02T00:00:00Z";
const LATER: &str = "2026-11-03T00:00:00Z";
const ORGANIZATION: &str = "/v1/organizations/acme";
const USAGE: &str = "/v1/organizations/acme/usage";

#[test]
fn what_is_changed_at_one_holds_at_the_other_on_sqlite() {
    two_processes(Database::Sqlite);
}

#[test]
fn what_is_changed_at_one_holds_at_the_other_on_postgres() {
    two_processes(Database::Postgres);
}

struct Pair {
    // They end before the deployment does, whose folder has their logs.
    one: Odometer,
    two: Odometer,
    deployment: Deployment,
    /// Where each of them listens.
    addresses: [String; 2],
}

impl Pair {
    fn start(accounts: &str) -> Self {
        let topics = [json!({ "name": "events", "format": "cloudevents" })];
        let changes = json!({ "clock": "test", "accounts": { "url": accounts } });
        let deployment = Deployment::new("two_processes", &topics, &changes);
        kafka::create_topic(&deployment.topic("events"), 1);
        deployment.run(&["setup"]).expect_code(0);
        let addresses = [deployment.address().to_owned(), free_address()];
        let start = |name: &str, command: &str, address: &str| {
            let environment = [("ODOMETER_LOG", "trace"), ("ODOMETER__HTTP__LISTEN", address)];
            deployment.start_with(name, &[command], &environment)
        };
        let (one, two) = (start("one", "run", &addresses[0]), start("two", "serve", &addresses[1]));
        let mut pair = Self { one, two, deployment, addresses };
        for http in pair.operator() {
            wait_until("both to be ready", PATIENCE, || {
                pair.one.assert_runs();
                pair.two.assert_runs();
                http.get_ok("/readyz")
            });
        }
        pair
    }

    fn with(&self, token: &str) -> [Http; 2] {
        [0, 1].map(|process| Http::new(&self.addresses[process], token))
    }

    fn operator(&self) -> [Http; 2] {
        self.with(self.deployment.token())
    }

    /// What readers of the topic hold: of the organization's snapshots the one of the greatest `as_of`.
    fn told(&self) -> Value {
        let records = kafka::read_all(&format!("{}.snapshots", self.deployment.name));
        let own = records.iter().filter(|record| record.key.as_deref() == Some(b"acme"));
        let snapshots = own.map(|record| -> Value {
            serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON")
        });
        let as_of = |snapshot: &Value| at(snapshot["as_of"].as_str().expect("a time"));
        snapshots.max_by_key(as_of).unwrap_or_default()
    }
}

fn two_processes(database: Database) {
    let (accounts, _folder) = block_on(database.create("two_processes"));
    let pair = Pair::start(&accounts);
    let [here, there] = pair.operator();
    here.change("PUT", "/v1/test-clock", &json!({ "now": NOW }));
    let sign_up = json!({ "id": "acme", "name": "Acme", "email": "a@acme.example", "region": "us" });
    here.change("POST", "/v1/organizations", &sign_up);
    once(&there, ORGANIZATION, |organization| organization["status"] == "trialing");

    let key = a_key_is_refused_everywhere_once_it_is_revoked(&pair);
    the_topic_has_plan_and_estimate(&pair);

    // A clock of all processes, and of commands.
    here.change("PUT", "/v1/test-clock", &json!({ "now": LATER }));
    once(&there, USAGE, |usage| usage["as_of"] == LATER);
    let printed = pair.deployment.run(&["usage", "acme", "--output", "json"]).expect_code(0).stdout;
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&printed["plan"], &printed["as_of"]), (&json!("plus"), &json!(LATER)));
    pair.deployment.run(&["audit"]).expect_code(0);
    let doctor = pair.deployment.run(&["doctor"]).stdout;
    assert!(doctor.contains("acme in ap"), "{doctor}");

    let Pair { deployment, one, two, .. } = pair;
    one.stop(PATIENCE);
    two.stop(PATIENCE);
    for name in ["one", "two"] {
        let log = std::fs::read(deployment.folder().join(format!("{name}.log"))).expect("read a log");
        let log = String::from_utf8_lossy(&log);
        assert!(log.contains("TRACE"), "everything is logged");
        let secret_part = key.rsplit('_').next().expect("a secret");
        for secret in [secret_part, deployment.token(), "tok_kept_to_itself"] {
            assert!(!log.contains(secret), "{secret} stands in the log of {name}");
        }
    }
}

fn a_key_is_refused_everywhere_once_it_is_revoked(pair: &Pair) -> String {
    let [here, there] = pair.operator();
    let keys = format!("{ORGANIZATION}/api-keys");
    let created = here.change("POST", &keys, &json!({ "role": "viewer", "name": "dashboard" }));
    let key = created["key"].as_str().expect("a key");
    let [holder_here, holder_there] = pair.with(key);
    assert_eq!(status(&holder_here), 200, "at once where it was made");
    wait_until("the other one to know the key", PATIENCE, || is(200, &holder_there));
    there.change("DELETE", &format!("{keys}/{}", created["id"].as_str().expect("an id")), &Value::Null);
    assert_eq!(status(&holder_there), 401, "at once where it was revoked");
    wait_until("the other one to refuse the key", PATIENCE, || is(401, &holder_here));
    key.to_owned()
}

fn the_topic_has_plan_and_estimate(pair: &Pair) {
    let [here, there] = pair.operator();
    wait_until("the trial in the topic", PATIENCE, || {
        let told = pair.told();
        let is_trial = told["plan"] == "plus" && told["trial"]["ends_at"] == "2026-12-02T00:00:00Z";
        if is_trial && told["estimated_cost"].is_null() { Ok(()) } else { Err(told) }
    });
    use_two_services(&pair.deployment.topic("events"));
    there.change("PUT", &format!("{ORGANIZATION}/plan"), &json!({ "plan": "free" }));
    let card = json!({ "token": "tok_kept_to_itself", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    there.change("POST", &format!("{ORGANIZATION}/payment-methods"), &card);
    there.change("PUT", &format!("{ORGANIZATION}/plan"), &json!({ "plan": "plus" }));
    // 2 services × 105 × 29 of 30 days, and 2.000001 × 34.25.
    let usage = once(&here, USAGE, |usage| usage["estimated_cost"]["amount"] == "271.50");
    assert_eq!((&usage["plan"], &usage["trial"]), (&json!("plus"), &Value::Null));
    wait_until("the plan and its estimate in the topic", PATIENCE, || {
        let told = pair.told();
        let same = ["organization", "plan", "trial", "usage", "by_region", "estimated_cost"]
            .iter()
            .all(|member| told[member] == usage[member]);
        if same { Ok(()) } else { Err(told) }
    });
}

fn use_two_services(topic: &str) {
    let producer = KafkaProducer::new();
    let send = |event_type: &str, data: Value| {
        let event = json!({
            "specversion": "1.0", "id": unique("event"), "source": "two-processes", "type": event_type,
            "subject": "acme", "time": NOW, "data": data,
        });
        let value = Some(event.to_string().into_bytes());
        let timestamp_ms = Some(at(NOW));
        producer.send(topic, &KafkaRecord { value, timestamp_ms, ..KafkaRecord::default() });
    };
    for service in ["one", "two"] {
        send("service.created", json!({ "service": service }));
    }
    send("api.request", json!({ "quantity": 2_000_000 }));
    // From a region that the organization does not have.
    send("api.request", json!({ "region": "ap" }));
    producer.flush();
}

fn status(http: &Http) -> u16 {
    http.get(ORGANIZATION).expect("an answer").0
}

fn is(expected: u16, http: &Http) -> Result<(), String> {
    let found = status(http);
    if found == expected { Ok(()) } else { Err(format!("it answers {found}")) }
}

/// An answer that is as it should be.
#[track_caller]
fn once(http: &Http, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_until(path, PATIENCE, || {
        let answer = http.get_ok(path)?;
        if holds(&answer) { Ok(answer) } else { Err(answer.to_string()) }
    })
}
