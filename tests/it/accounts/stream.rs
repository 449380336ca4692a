//! An account's changes in the stream of its organization's usage.

use std::sync::Arc;

use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::world::{TOKEN, World, calls, request, services};
use crate::http::stream::Events;

on_both_databases! {
    a_change_of_plan_alone_is_an_event_with_its_cost,
}

const START: &str = "2026-11-02T00:00:00Z";

async fn a_change_of_plan_alone_is_an_event_with_its_cost(database: Database) {
    let (url, _folder) = database.create("plan_stream").await;
    let mut world = World::new("plan_stream", url).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    world.sign_up("acme").await;
    let card = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    world.operator("POST", "/v1/organizations/acme/payment-methods", card).await.good();
    let plan = "/v1/organizations/acme/plan";
    world.operator("PUT", plan, json!({ "plan": "free" })).await.good();
    world.publish(&[calls("acme", START, 2_000_000)], &services("acme", START, 2)).await;
    world.set_clock(START).await;
    let usage = "/v1/organizations/acme/usage";
    world.once(usage, "/usage/api_calls", 2_000_000).await;
    let before = world.once(usage, "/complete_through", START).await;

    let mut events = Events::from(world.open(request(TOKEN, "GET", &format!("{usage}/stream"), None)).await);
    let first = events.next().await.expect("an event");
    assert_eq!(content(&first), content(&before), "first what is");
    assert_eq!((&first["plan"], &first["estimated_cost"]["amount"]), (&json!("free"), &json!("0.00")));

    // The stream would also come upon it by looking now and then: whoever watches is told at once.
    let mut told = world.changes.watch(&Arc::from("acme"));
    told.mark_unchanged();
    world.operator("PUT", plan, json!({ "plan": "plus" })).await.good();
    assert!(told.has_changed().expect("the sender is there"), "a change of plan is told of");
    let event = events.next().await.expect("an event");
    let now = world.get(usage).await.good();
    assert_eq!(event["plan"], "plus");
    assert_eq!(event["estimated_cost"], now["estimated_cost"]);
    assert_ne!(event["estimated_cost"]["amount"], "0.00", "{event}");
    assert_eq!(event["usage"], first["usage"]);
    assert_eq!(content(&event), content(&now));
}

/// All but the instants, which move on by themselves.
fn content(usage: &Value) -> Value {
    let mut content = usage.clone();
    for instant in ["as_of", "complete_through"] {
        content[instant].take();
    }
    content
}
