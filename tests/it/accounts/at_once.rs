//! Requests at the same moment, to two processes of one installation.

use futures::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use super::api::{sign_up, with_key};
use super::database::{Database, on_both_databases};
use super::world::{Answer, TOKEN, World, request};

on_both_databases! {
    of_two_changes_of_plan_at_once_one_wins_or_the_other_comes_after_it,
    of_many_who_sign_up_under_one_id_one_does,
    what_is_sent_many_times_at_once_is_done_once,
}

/// Rounds in which two changes may miss each other.
const ROUNDS: usize = 50;
/// Requests at once; each process has as many connections to its database.
const REQUESTS: usize = 8;

struct Two {
    worlds: [World; 2],
    _folder: TempDir,
}

impl Two {
    async fn new(database: Database, test: &str) -> Self {
        let (url, folder) = database.create(test).await;
        let one = World::new(test, url.clone()).await;
        one.set_clock("2026-11-01T09:00:00Z").await;
        Self { worlds: [one, World::new(test, url).await], _folder: folder }
    }

    /// Entries of the account log, which is whole.
    async fn logged(&self) -> i64 {
        self.worlds[0].accounts.verify_log().await.unwrap().expect("the log is whole")
    }

    /// The same sign-up many times at once, to both in turns.
    async fn sign_up(&self, id: &str, key: Option<&str>) -> Vec<Answer> {
        let ask = |number: usize| {
            let request = request(TOKEN, "POST", "/v1/organizations", Some(sign_up(id)));
            let request = if let Some(key) = key { with_key(request, key) } else { request };
            self.worlds[number % 2].send(request)
        };
        join_all((0..REQUESTS).map(ask)).await
    }
}

async fn of_two_changes_of_plan_at_once_one_wins_or_the_other_comes_after_it(database: Database) {
    let two = Two::new(database, "concurrent_plans").await;
    let world = &two.worlds[0];
    world.sign_up("acme").await;
    let card = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    world.operator("POST", "/v1/organizations/acme/payment-methods", card).await.good();
    let change = |(process, plan): (usize, &'static str)| {
        two.worlds[process].operator("PUT", "/v1/organizations/acme/plan", json!({ "plan": plan }))
    };
    let mut changes = 1;
    let mut now = change((0, "free")).await.good()["plan"].take();
    let mut conflicts = 0;
    for _ in 0..ROUNDS {
        // Whichever comes first, each is a change of plan.
        let others = ["free", "plus", "enterprise"].into_iter().filter(|plan| now != *plan);
        let answers = join_all(others.enumerate().map(change)).await;
        for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
            assert_eq!(answer.refusal(), (409, "conflict"));
            conflicts += 1;
        }
        let won: Vec<_> = answers.iter().filter(|answer| answer.status.is_success()).collect();
        assert!(!won.is_empty(), "somebody wins");
        changes += won.len();
        world.accounts.catch_up().await.expect("what the other process changed");
        now = world.get("/v1/organizations/acme").await.good()["plan"].take();
        assert!(won.iter().any(|answer| answer.body["plan"] == now), "the last that won holds: {now}");
        if conflicts > 0 {
            break;
        }
    }
    assert!(conflicts > 0, "changes that begin together never met in {ROUNDS} rounds");
    let logged = "SELECT COUNT(*) FROM audit_log WHERE organization = 'acme' AND action = 'plan.changed'";
    let rows = world.accounts.database().fetch_all(logged, &[]).await.expect("read the log");
    assert_eq!(usize::try_from(rows[0].integer(0).expect("a number")), Ok(changes));
    two.logged().await;
}

async fn of_many_who_sign_up_under_one_id_one_does(database: Database) {
    let two = Two::new(database, "concurrent_sign_ups").await;
    for id in ["a", "b", "c"] {
        let before = two.logged().await;
        let answers = two.sign_up(id, None).await;
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status.as_u16() == 201);
        assert_eq!(done.len(), 1, "{id}");
        for answer in refused {
            assert_eq!(answer.refusal(), (409, "organization-exists"));
        }
        assert_eq!(two.logged().await, before + 1);
    }
}

async fn what_is_sent_many_times_at_once_is_done_once(database: Database) {
    let two = Two::new(database, "concurrent_repeats").await;
    for id in ["a", "b", "c"] {
        let before = two.logged().await;
        let answers = two.sign_up(id, Some(id)).await;
        let (done, waiting): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status.as_u16() == 201);
        let first = done.iter().filter(|answer| !answer.headers.contains_key("idempotency-replayed"));
        assert_eq!(first.count(), 1, "{id}");
        assert!(done.iter().all(|answer| answer.body == done[0].body), "{id}");
        for answer in waiting {
            assert_eq!(answer.refusal(), (409, "idempotency-in-progress"));
            assert!(answer.headers.contains_key("retry-after"));
        }
        for again in two.sign_up(id, Some(id)).await {
            assert_eq!((again.status.as_u16(), &again.body), (201, &done[0].body), "{id}");
        }
        assert_eq!(two.logged().await, before + 1);
    }
}
