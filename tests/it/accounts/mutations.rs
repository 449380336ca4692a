//! Every mutation of the API, from its own description: a request that is repeated under its
//! `Idempotency-Key` is done once, a field that nobody knows is refused, and the account log says who
//! did what, with before and after.

use std::collections::BTreeSet;
use std::sync::Arc;

use odometer::accounts::Accounts;
use odometer::billing::payment::{Payments, Settings};
use serde_json::{Value, json};

use super::api::with_key;
use super::database::{Database, on_both_databases};
use super::roles::routes;
use super::world::{TOKEN, World, calls, request, services};
use crate::billing::{bill, invoices, start_on_plus};

on_both_databases! {
    every_mutation_is_done_once_and_stands_in_the_log,
}

/// What the log says of a change.
struct Entry {
    sequence: i64,
    at_ms: i64,
    actor: String,
    action: String,
    before: Option<String>,
    after: Option<String>,
}

/// Does one mutation after the other, and keeps in mind which.
struct Walk {
    world: World,
    /// An admin's of acme, and how the log calls it.
    key: String,
    actor: String,
    done: BTreeSet<(String, String)>,
}

impl Walk {
    async fn new(database: Database) -> (Self, tempfile::TempDir) {
        let (url, folder) = database.create("mutations").await;
        let adjust = |app: odometer::http::App, accounts: &Arc<Accounts>| {
            app.with_payments(Payments::new(accounts.clone(), &Settings::Sandbox).expect("payments"))
        };
        let mut world = World::with("mutations", url, adjust).await;
        world.set_clock("2026-09-30T00:00:00Z").await;
        for organization in ["acme", "zulu"] {
            start_on_plus(&world, organization).await;
            let used = [calls(organization, "2026-10-10T00:00:00Z", 1_000_000)];
            world.publish(&used, &services(organization, "2026-10-01T00:00:00Z", 1)).await;
        }
        world.set_clock("2026-11-01T00:00:00Z").await;
        bill(&world, "2026-10").await;
        let new_key = json!({ "role": "admin", "name": "portal" });
        let created = world.operator("POST", "/v1/organizations/acme/api-keys", new_key).await.good();
        let text = |member: &str| created[member].as_str().expect("a text").to_owned();
        let (key, actor) = (text("key"), format!("key {}", text("id")));
        (Self { world, key, actor, done: BTreeSet::new() }, folder)
    }

    /// The entries of the log after one of them.
    async fn log_after(&self, sequence: i64) -> Vec<Entry> {
        let sql = "SELECT sequence, at_ms, actor, action, before, after FROM audit_log WHERE sequence > $1 ORDER BY sequence";
        let rows = self.world.accounts.database().fetch_all(sql, &[sequence.into()]).await.expect("the log");
        let text = |row: &odometer::accounts::database::Row, column| {
            row.optional_text(column).expect("a text").map(str::to_owned)
        };
        rows.iter()
            .map(|row| Entry {
                sequence: row.integer(0).expect("a number"),
                at_ms: row.integer(1).expect("a number"),
                actor: text(row, 2).expect("an actor"),
                action: text(row, 3).expect("an action"),
                before: text(row, 4),
                after: text(row, 5),
            })
            .collect()
    }

    async fn end_of_log(&self) -> i64 {
        self.log_after(0).await.last().expect("an entry").sequence
    }

    async fn by_operator(&mut self, method: &str, path: &str, names: &[&str], body: Option<Value>) -> Value {
        self.mutate((TOKEN.to_owned(), "operator".to_owned()), method, path, names, body).await
    }

    async fn by_admin(&mut self, method: &str, path: &str, names: &[&str], body: Option<Value>) -> Value {
        self.mutate((self.key.clone(), self.actor.clone()), method, path, names, body).await
    }

    /// `path` as the description has it; `names` stand in it for what is in braces.
    async fn mutate(
        &mut self,
        (token, actor): (String, String),
        method: &str,
        path: &str,
        names: &[&str],
        body: Option<Value>,
    ) -> Value {
        let mut names = names.iter();
        let parts = path.split('/').map(|part| {
            if part.starts_with('{') { names.next().expect("a name for each brace") } else { part }
        });
        let place = parts.collect::<Vec<_>>().join("/");
        let what = format!("{method} {place}");
        self.done.insert((method.to_lowercase(), path.to_owned()));
        let key = what.replace('/', "-");
        let ask =
            |body: Option<Value>| self.world.send(with_key(request(&token, method, &place, body), &key));

        let now_ms = || self.world.accounts.clock().now_ms();
        let (before, began_ms) = (self.end_of_log().await, now_ms());
        if let Some(mut body) = body.clone() {
            body["unknown"] = json!(1);
            let refused = self.world.call(&token, method, &place, Some(body)).await;
            assert!(matches!(refused.status.as_u16(), 400 | 422), "{what}: {}", refused.status);
            assert_eq!(refused.body["errors"][0]["pointer"], "/unknown", "{what}: {}", refused.body);
        }
        let first = ask(body.clone()).await;
        assert!(first.status.is_success(), "{what}: {} {}", first.status, first.body);
        let entries = self.log_after(before).await;
        // Where the clock moves on, what falls due by then follows, by nobody.
        let own: Vec<_> = entries.iter().filter(|entry| entry.actor != "schedule").collect();
        assert!(!own.is_empty(), "{what} stands in no log");
        for entry in own {
            assert_eq!(entry.actor, actor, "{what}");
            assert!(!entry.action.is_empty() && (began_ms..=now_ms()).contains(&entry.at_ms), "{what}");
            assert!(entry.before.is_some() || entry.after.is_some(), "{what}");
        }
        let again = ask(body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{what}");
        assert_eq!(again.headers["idempotency-replayed"], "true", "{what}");
        let other = ask(Some(json!({ "another": "request" }))).await;
        assert_eq!(other.refusal(), (422, "idempotency-mismatch"), "{what}");
        assert_eq!(self.end_of_log().await, entries.last().expect("an entry").sequence, "{what}: done once");
        first.body
    }
}

const PLAN: &str = "/v1/organizations/{org}/plan";
const KEYS: &str = "/v1/organizations/{org}/api-keys";
const METHODS: &str = "/v1/organizations/{org}/payment-methods";
const SESSIONS: &str = "/v1/organizations/{org}/portal-sessions";
const INVOICE: &str = "/v1/organizations/{org}/invoices/{number}";

async fn every_mutation_is_done_once_and_stands_in_the_log(database: Database) {
    let (mut walk, _folder) = Walk::new(database).await;
    let id = |created: &Value| created["id"].as_str().expect("an id").to_owned();
    let acme = ["acme"];
    walk.by_operator("POST", "/v1/license-keys", &[], None).await;
    let late = json!({ "id": "late", "name": "Late", "email": "late@late.example", "region": "us" });
    walk.by_operator("POST", "/v1/organizations", &[], Some(late)).await;

    let viewer = json!({ "role": "viewer", "name": "dashboard" });
    let created = walk.by_admin("POST", KEYS, &acme, Some(viewer)).await;
    walk.by_admin("DELETE", &format!("{KEYS}/{{id}}"), &["acme", &id(&created)], None).await;

    let card = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2039" });
    let added = id(&walk.by_admin("POST", METHODS, &acme, Some(card)).await);
    walk.by_admin("PUT", &format!("{METHODS}/{{id}}/default"), &["acme", &added], None).await;
    let listed = walk.world.get("/v1/organizations/acme/payment-methods").await.good();
    let methods = listed["data"].as_array().expect("a list").iter();
    let older = methods.filter(|method| method["default"] == false).map(id).next().expect("two methods");
    let method = format!("{METHODS}/{{id}}");
    let refused = walk.world.call(TOKEN, "DELETE", &place_of(&method, &added), None).await;
    assert_eq!(refused.refusal(), (409, "default-payment-method"));
    walk.by_admin("DELETE", &method, &["acme", &older], None).await;

    let number = |invoices: &[Value]| invoices[0]["number"].as_str().expect("a number").to_owned();
    let open = number(&invoices(&walk.world, "acme").await);
    walk.by_admin("POST", &format!("{INVOICE}/pay"), &["acme", &open], None).await;
    let open = number(&invoices(&walk.world, "zulu").await);
    let reason = json!({ "reason": "sent to the wrong address" });
    walk.by_operator("POST", &format!("{INVOICE}/void"), &["zulu", &open], Some(reason)).await;

    walk.by_admin("DELETE", PLAN, &acme, None).await;
    walk.by_admin("PUT", PLAN, &acme, Some(json!({ "plan": "plus" }))).await;
    let regions = "/v1/organizations/{org}/regions";
    walk.by_operator("PUT", regions, &acme, Some(json!({ "regions": ["eu"] }))).await;
    let message = json!({ "message": "A second region, please." });
    walk.by_admin("POST", "/v1/organizations/{org}/sales-requests", &acme, Some(message)).await;

    let opened = walk.by_admin("POST", SESSIONS, &acme, None).await;
    walk.by_admin("DELETE", &format!("{SESSIONS}/{{id}}"), &["acme", &id(&opened)], None).await;
    walk.by_operator("POST", "/v1/operator-sessions", &[], None).await;
    // Last, since it does what is due: invoices that are open are paid by it, say.
    let now = "2026-11-01T01:00:00Z";
    walk.world.see_the_end(now).await;
    walk.by_operator("PUT", "/v1/test-clock", &[], Some(json!({ "now": now }))).await;

    let described = routes(&walk.world).await.into_iter().filter(|route| route.mutates());
    let described: BTreeSet<_> = described.map(|route| (route.method, route.path)).collect();
    assert_eq!(walk.done, described, "every mutation of the description");
    walk.world.accounts.verify_log().await.unwrap().expect("the log is whole");
    // Who reads the log learns nothing that opens or pays anything.
    let url = opened["url"].as_str().expect("a link");
    let secrets = [&walk.key, created["key"].as_str().expect("a key"), url].map(last_part);
    for entry in walk.log_after(0).await {
        let said = format!("{:?} {:?}", entry.before, entry.after);
        for secret in secrets.iter().chain([&"tok_ok"]) {
            assert!(!said.contains(secret), "{secret} stands in the account log: {said}");
        }
    }
}

fn place_of(path: &str, id: &str) -> String {
    path.replace("{org}", "acme").replace("{id}", id)
}

/// A key or link ends with its secret.
fn last_part(text: &str) -> &str {
    text.rsplit('_').next().expect("a part")
}
