//! A scripted quarter: 200 organizations on every plan, plans that change in mid-month, events that
//! come late, `bill` killed again and again beside the server that bills by itself, payments that fail
//! and payments that are lost on the way. The invoices are those of an oracle, to the cent, every one
//! can be computed again, and each is charged once.

mod payments;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use odometer::accounts::{self, Accounts};
use odometer::billing::Biller;
use odometer::rating::PriceBook;
use odometer::snapshot::completeness::Acceptance;
use odometer::snapshot::{self, deployment};
use odometer::store::{self, Store};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::oracle::{Calls, HOUR_MS, Organization, Service, dollars};
use crate::accounts::world::at;
use crate::figures::await_received;
use crate::payments::face::{Proxy, SECRET_KEY};
use crate::servers;
use crate::support::block_on;
use crate::support::deployment::Deployment;
use crate::support::http::Http;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

const ORGANIZATIONS: usize = 200;
const PARTITIONS: i32 = 3;
/// Times that `bill` is killed for each month.
const KILLS: usize = 4;
const TOPIC: &str = "events";

struct Quarter {
    /// Ends before the folder that its log is in.
    serving: Odometer,
    deployment: Deployment,
    /// The same accounts that it serves.
    accounts: Arc<Accounts>,
    /// Before the payment provider.
    proxy: Proxy,
    http: Http,
    producer: KafkaProducer,
    organizations: Vec<Organization>,
    months: Vec<Range<i64>>,
    sent: u64,
    random: ChaCha8Rng,
}

#[test]
fn a_quarter_is_invoiced_to_the_cent() {
    let accounts_url = block_on(servers::new_postgres_database("quarter"));
    let mut settings = accounts::Settings::new(&accounts_url);
    settings.test_clock = true;
    let accounts = Arc::new(block_on(Accounts::open(&settings)).expect("open accounts"));
    let (proxy, provider) = payments::provider(&accounts);
    let changes = json!({
        "clock": "test", "accounts": { "url": accounts_url },
        "payments": { "provider": "stripe", "secret_key": SECRET_KEY, "base_url": provider },
    });
    let topics = [json!({ "name": TOPIC, "format": "cloudevents" })];
    let deployment = Deployment::new("quarter", &topics, &changes);
    kafka::create_topic(&deployment.topic(TOPIC), PARTITIONS);
    let serving = deployment.start("run", &["run"]);
    let months = ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]
        .map(|day| at(&format!("{day}T00:00:00Z")))
        .windows(2)
        .map(|pair| pair[0]..pair[1])
        .collect();
    let mut quarter = Quarter {
        http: deployment.http(),
        deployment,
        accounts,
        proxy,
        serving,
        producer: KafkaProducer::new(),
        organizations: Vec::new(),
        months,
        sent: 0,
        random: ChaCha8Rng::seed_from_u64(7),
    };
    quarter.run();
}

impl Quarter {
    fn run(&mut self) {
        wait_until("odometer to serve", Duration::from_secs(60), || {
            self.serving.assert_runs();
            self.http.get_ok("/readyz").map(drop)
        });
        self.set_clock("2026-01-01T00:00:00Z");
        self.sign_everyone_up();
        self.lose_payments();
        self.use_month(0);
        self.close_month(0);
        self.replace_declined_cards();
        self.send_late(0, 1);
        self.set_clock("2026-02-10T12:30:00Z");
        self.change_plans_in_february();
        self.use_month(1);
        self.close_month(1);
        self.send_late(0, 2);
        self.send_late(1, 2);
        self.set_clock("2026-03-05T06:15:20Z");
        self.leave_enterprise_in_march();
        self.use_month(2);
        self.close_month(2);
        self.check_invoices();
        self.check_payments();
        self.check_again_from_the_ledger();
        let one = self.invoices(&self.organizations[1].name)[0]["number"].as_str().unwrap().to_owned();
        self.deployment.run(&["bill", "--verify", &one, "--recount"]).expect_code(0);
    }

    fn set_clock(&self, now: &str) {
        self.http.change("PUT", "/v1/test-clock", &json!({ "now": now }));
    }

    fn change(&self, method: &str, organization: &str, what: &str, document: &Value) {
        self.http.change(method, &format!("/v1/organizations/{organization}{what}"), document);
    }

    /// By turns: a trial and then Free; Plus from the first instant; Plus after the trial; Free;
    /// Enterprise.
    fn sign_everyone_up(&mut self) {
        let start = self.months[0].start;
        let trial_end = start + 30 * 24 * HOUR_MS;
        for number in 0..ORGANIZATIONS {
            let name = format!("org-{number:03}");
            let account = json!({ "id": name, "name": name, "email": "a@b.example", "region": "us" });
            self.http.change("POST", "/v1/organizations", &account);
            let mut organization = Organization { name: name.clone(), ..Organization::default() };
            match number % 5 {
                1 => {
                    self.add_payment_method(number, &name);
                    self.change("DELETE", &name, "/plan", &Value::Null);
                    self.change("PUT", &name, "/plan", &json!({ "plan": "plus" }));
                    organization.plus.push(start..i64::MAX);
                }
                2 => {
                    self.add_payment_method(number, &name);
                    self.change("PUT", &name, "/plan", &json!({ "plan": "plus" }));
                    organization.plus.push(trial_end..i64::MAX);
                }
                3 => self.change("DELETE", &name, "/plan", &Value::Null),
                4 => self.change("PUT", &name, "/plan", &json!({ "plan": "enterprise" })),
                _ => {}
            }
            self.organizations.push(organization);
        }
    }

    fn change_plans_in_february(&mut self) {
        let now = at("2026-02-10T12:30:00Z");
        for number in 0..ORGANIZATIONS {
            let name = self.organizations[number].name.clone();
            match number % 10 {
                1 => {
                    self.change("DELETE", &name, "/plan", &Value::Null);
                    self.organizations[number].plus[0].end = now;
                }
                3 => {
                    self.add_payment_method(number, &name);
                    self.change("PUT", &name, "/plan", &json!({ "plan": "plus" }));
                    self.organizations[number].plus.push(now..i64::MAX);
                }
                _ => {}
            }
        }
    }

    fn leave_enterprise_in_march(&mut self) {
        let now = at("2026-03-05T06:15:20Z");
        for number in (4..ORGANIZATIONS).step_by(10) {
            let name = self.organizations[number].name.clone();
            self.add_payment_method(number, &name);
            self.change("PUT", &name, "/plan", &json!({ "plan": "plus" }));
            self.organizations[number].plus.push(now..i64::MAX);
        }
    }

    /// Calls all over the month, its first and its last millisecond among them, and services that
    /// come and go.
    fn use_month(&mut self, index: usize) {
        let month = self.months[index].clone();
        for number in 0..ORGANIZATIONS {
            let mut times: Vec<i64> = (0..6).map(|_| self.random.random_range(month.clone())).collect();
            times.extend([month.start, month.end - 1]);
            if let Some(change) = self.organizations[number].plus.first() {
                let near = [change.start, change.start - 1, change.end - 1, change.end];
                times.extend(near.into_iter().filter(|time| month.contains(time)));
            }
            for time_ms in times {
                let quantity = self.random.random_range(1..400_000);
                self.send_calls(number, Calls { time_ms, quantity, known: index });
            }
            let from_ms = self.random.random_range(month.clone());
            let to_ms = match self.random.random_bool(0.5) {
                true => from_ms + self.random.random_range(1..40) * 24 * HOUR_MS,
                false => i64::MAX,
            };
            self.send_service(number, Service { from_ms, to_ms, end_known: usize::MAX }, index);
        }
        self.producer.flush();
    }

    /// Of every third organization, calls and the end of a service that should have come a month or
    /// two before.
    fn send_late(&mut self, month: usize, known: usize) {
        let range = self.months[month].clone();
        let arrival = self.months[known].start + 60_000;
        // What is older than 35 days is rejected.
        let earliest = range.start.max(arrival - 34 * 24 * HOUR_MS);
        for number in (0..ORGANIZATIONS).step_by(3) {
            let time_ms = self.random.random_range(earliest..range.end);
            let quantity = self.random.random_range(1..900_000);
            self.send_calls(number, Calls { time_ms, quantity, known });
            let open = |service: &&mut Service| {
                service.end_known == usize::MAX && service.to_ms == i64::MAX && service.from_ms < earliest
            };
            if let Some(service) = self.organizations[number].services.iter_mut().find(open) {
                (service.to_ms, service.end_known) = (earliest, known);
                let (from_ms, name) = (service.from_ms, self.organizations[number].name.clone());
                self.send(
                    "service.deleted",
                    &name,
                    earliest,
                    arrival,
                    &json!({ "service": from_ms.to_string() }),
                );
            }
        }
        self.producer.flush();
    }

    fn send_calls(&mut self, number: usize, calls: Calls) {
        let name = self.organizations[number].name.clone();
        let arrival = calls.time_ms.max(self.months[calls.known].start);
        let data = json!({ "quantity": calls.quantity, "service": "any" });
        self.send("api.request", &name, calls.time_ms, arrival, &data);
        self.organizations[number].calls.push(calls);
    }

    /// Its end is sent with it where it lies before the end of the month, else it is still to come.
    fn send_service(&mut self, number: usize, service: Service, month: usize) {
        let name = self.organizations[number].name.clone();
        let id = json!({ "service": service.from_ms.to_string() });
        self.send("service.created", &name, service.from_ms, service.from_ms, &id);
        let mut service = service;
        if service.to_ms < self.months[month].end {
            self.send("service.deleted", &name, service.to_ms, service.to_ms, &id);
            service.end_known = month;
        } else {
            service.to_ms = i64::MAX;
        }
        self.organizations[number].services.push(service);
    }

    fn send(&mut self, kind: &str, organization: &str, time_ms: i64, arrival_ms: i64, data: &Value) {
        self.sent += 1;
        let event = json!({
            "specversion": "1.0", "id": self.sent.to_string(), "source": "quarter", "type": kind,
            "subject": organization, "time": odometer::clock::Time(time_ms), "data": data,
        });
        let record = KafkaRecord {
            partition: self.random.random_range(0..PARTITIONS),
            timestamp_ms: Some(arrival_ms.max(time_ms)),
            value: Some(event.to_string().into_bytes()),
            ..KafkaRecord::default()
        };
        self.producer.send(&self.deployment.topic(TOPIC), &record);
    }

    /// The clock reaches the month's end; `bill` is killed and begun again beside the server.
    fn close_month(&mut self, index: usize) {
        await_received(&self.deployment, &mut self.serving, self.sent.into());
        let end = odometer::clock::Time(self.months[index].end).to_string();
        let month = &["2026-01", "2026-02", "2026-03"][index];
        self.set_clock(&end);
        let arguments = ["bill", "--month", month, "--output", "json"];
        for attempt in 0..KILLS {
            let bill = self.deployment.start(&format!("bill-{index}-{attempt}"), &arguments);
            std::thread::sleep(Duration::from_millis(self.random.random_range(20..400)));
            // Where it was quicker it has ended, which is as well.
            drop(bill);
        }
        wait_until("the month to be finalized", Duration::from_secs(60), || {
            let ended = self.deployment.run(&arguments).expect_code(0);
            let billed: Value = serde_json::from_str(&ended.stdout).map_err(|error| error.to_string())?;
            if billed["finalized"] == true { Ok(()) } else { Err(ended.stdout) }
        });
    }

    fn invoices(&self, organization: &str) -> Vec<Value> {
        let list = self.http.get_ok(&format!("/v1/organizations/{organization}/invoices")).expect("invoices");
        list["data"].as_array().expect("a list").clone()
    }

    fn check_invoices(&self) {
        let mut numbers = BTreeSet::new();
        for (place, organization) in self.organizations.iter().enumerate() {
            if place % 5 == 4 && place % 10 != 4 {
                let path = format!("/v1/organizations/{}/invoices", organization.name);
                assert_eq!(
                    self.http.get(&path).expect("an answer").0,
                    403,
                    "enterprise is billed by contract"
                );
                continue;
            }
            let invoices = self.invoices(&organization.name);
            let told: Vec<(String, String)> = invoices
                .iter()
                .rev()
                .map(|invoice| (text(invoice, "month"), text(invoice, "total")))
                .collect();
            let expected: Vec<(String, String)> = organization
                .totals(&self.months)
                .into_iter()
                .map(|(month, cents)| (format!("2026-{:02}", month + 1), dollars(cents)))
                .collect();
            assert_eq!(told, expected, "{organization:#?}\n{invoices:#?}");
            numbers.extend(invoices.iter().map(|invoice| text(invoice, "number")));
        }
        let gapless: BTreeSet<String> = (1..=numbers.len()).map(|n| format!("2026-{n:06}")).collect();
        assert_eq!(numbers, gapless);
        assert!(numbers.len() > ORGANIZATIONS);
    }

    /// Every invoice comes out again from the ledger as it stood.
    fn check_again_from_the_ledger(&self) {
        block_on(async {
            let accounts = &self.accounts;
            let store = Store::new(&store::Settings {
                url: servers::clickhouse_url(),
                database: self.deployment.name.clone(),
                user: "default".to_owned(),
                password: String::new(),
                layout: servers::layout(),
            });
            let settings = deployment::Settings {
                region: "us".into(),
                topics: vec![self.deployment.topic(TOPIC)],
                acceptance: Acceptance { past_ms: 35 * 24 * HOUR_MS, future_ms: HOUR_MS },
            };
            let clock = accounts.clock().clone();
            let deployment = snapshot::Deployment::new(settings, store.expect("a store"), clock);
            let biller = Biller::new(accounts.clone(), vec![Arc::new(deployment)], PriceBook::built_in());
            let rows = accounts
                .database()
                .fetch_all("SELECT number FROM invoices WHERE number IS NOT NULL ORDER BY number", &[])
                .await
                .expect("read numbers");
            let numbers: Vec<String> =
                rows.iter().map(|row| row.text(0).expect("a number").to_owned()).collect();
            let verified: Vec<_> = stream::iter(&numbers)
                .map(|number| biller.verify(number))
                .buffer_unordered(4)
                .collect()
                .await;
            for verification in verified {
                let (verification, _) = verification.expect("verify");
                assert!(verification.verified, "{verification:#?}");
            }
            accounts.verify_log().await.expect("read the log").expect("the log is whole");
        });
    }
}

fn text(invoice: &Value, field: &str) -> String {
    invoice[field].as_str().unwrap_or("null").to_owned()
}
