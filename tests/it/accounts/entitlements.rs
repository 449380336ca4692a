//! What is answered while nobody knows what was used: nothing was read of the log for too long.

use odometer::rating::PriceBook;
use odometer::snapshot::FailPolicy;
use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::world::{Wish, World, at, calls, services};

on_both_databases! {
    usage_that_is_not_known_is_decided_by_the_policy,
}

/// On Plus a limit of each kind and one that is reached, on Free none.
const BOOK: &str = "
versions:
  - effective: 2023-09
    currency: USD
    plans:
      free: {}
      plus:
        limits:
          services: { limit: 3, overage: block }
          published_services: { limit: 1, overage: block }
          api_calls: { limit: 10, overage: charge }
          regions: { limit: 2, overage: block }
";
const START: &str = "2026-11-01T09:00:00Z";
/// The age from which on usage is not known, in milliseconds.
const KNOWN_FOR_MS: i64 = 60_000;

async fn usage_that_is_not_known_is_decided_by_the_policy(database: Database) {
    // The policy, and whether more may be used where a limit blocks and where it charges.
    for (fail, blocking, charging) in
        [(FailPolicy::Open, true, true), (FailPolicy::Closed, false, false), (FailPolicy::Auto, false, true)]
    {
        let (url, _folder) = database.create("fail").await;
        let book = PriceBook::parse(BOOK).expect("a price book");
        let mut world = World::wishing("fail", url, Wish { fail, book, ..Wish::default() }).await;
        world.set_clock(START).await;
        world.sign_up("acme").await;
        world.publish(&[calls("acme", START, 5)], &services("acme", START, 2)).await;
        world.set_clock(START).await;
        world.once("/v1/organizations/acme/entitlements/services", "/used", 2).await;
        world.once("/v1/organizations/acme/usage", "/complete_through", START).await;

        let answer = world.get("/v1/organizations/acme/entitlements/services").await.good();
        let expected = json!({
            "meter": "services", "allowed": true, "limit": 3, "used": 2, "remaining": 1, "overage": "block",
            "decided_by": "usage", "as_of": START,
        });
        assert_eq!(answer, expected, "{fail:?}");

        let by_policy = |allowed: bool| json!([allowed, if allowed { "fail_open" } else { "fail_closed" }]);
        let by_usage = |allowed: bool| json!([allowed, "usage"]);
        world.pass(at(START) + KNOWN_FOR_MS).await;
        for meter in ["services", "api_calls", "regions"] {
            assert_eq!(decision(&world, meter).await, by_usage(true), "{fail:?}: {meter}, a minute old");
        }
        world.pass(at(START) + KNOWN_FOR_MS + 1).await;
        assert_eq!(decision(&world, "services").await, by_policy(blocking), "{fail:?}: a limit that blocks");
        assert_eq!(
            decision(&world, "api_calls").await,
            by_policy(charging),
            "{fail:?}: a limit that charges"
        );
        // What is known already is enough.
        assert_eq!(decision(&world, "published_services").await, by_usage(false), "{fail:?}: at its limit");
        assert_eq!(decision(&world, "regions").await, by_usage(true), "{fail:?}: regions are no usage");
        // Without a limit there is nothing to know.
        world.operator("PUT", "/v1/organizations/acme/plan", json!({ "plan": "free" })).await.good();
        assert_eq!(decision(&world, "services").await, by_usage(true), "{fail:?}: no limit");
    }
}

/// Whether one more may be used, and what decided that.
async fn decision(world: &World, meter: &str) -> Value {
    let answer = world.get(&format!("/v1/organizations/acme/entitlements/{meter}")).await.good();
    json!([answer["allowed"], answer["decided_by"]])
}
