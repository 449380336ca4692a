//! One organization that can't be read keeps nobody else waiting, and is entitled to nothing.

use odometer::accounts::Caller;
use odometer::accounts::Page;
use odometer::accounts::outbox::Channel;
use serde_json::json;

use super::world::{World, calls};
use crate::servers;

const DAMAGES: [(&str, &str, &str); 5] = [
    ("plan", "UPDATE plan_periods SET plan = 'gold' WHERE organization = 'plan'", "unknown"),
    (
        "time",
        "UPDATE plan_periods SET to_ms = 'soon' WHERE organization = 'time' AND to_ms IS NOT NULL",
        "an integer",
    ),
    ("name", "UPDATE organizations SET name = X'FF00' WHERE id = 'name'", "a text"),
    ("version", "UPDATE organizations SET past_due = 1.5 WHERE id = 'version'", "an integer"),
    ("region", "UPDATE organization_regions SET region = X'FF' WHERE organization = 'region'", "a text"),
];

fn of(organization: &str, what: &str) -> String {
    format!("/v1/organizations/{organization}{what}")
}

async fn execute(world: &World, sql: &'static str) {
    world.accounts.database().execute(sql, &[]).await.expect("write");
}

#[tokio::test]
async fn one_that_can_not_be_read_keeps_nothing_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let world = World::new("damaged_before", url.clone()).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    for organization in ["plan", "time", "name", "version", "region", "sound"] {
        world.sign_up(organization).await;
    }
    let key = world.new_key("sound", "viewer").await;
    world.new_key("sound", "admin").await;
    for (_, damage, _) in DAMAGES {
        execute(&world, damage).await;
    }
    execute(&world, "UPDATE api_keys SET role = 'king' WHERE organization = 'sound' AND role = 'admin'")
        .await;
    world.accounts.close().await;

    let mut world = World::new("damaged_after", url).await;
    world
        .publish(&[calls("sound", "2026-11-01T09:00:00Z", 7), calls("plan", "2026-11-01T09:00:00Z", 7)], &[])
        .await;
    world.once(&of("sound", "/usage"), "/usage/api_calls", 7).await;
    assert_eq!(world.call(&key, "GET", &of("sound", ""), None).await.good()["plan"], "plus");
    for (organization, _, cause) in DAMAGES {
        for what in ["", "/entitlements/api_calls", "/usage", "/invoices"] {
            let answer = world.get(&of(organization, what)).await;
            assert_eq!(answer.refusal(), (503, "organization-unreadable"), "{organization}{what}");
        }
        let told = world.accounts.damaged().list();
        let told = told.iter().find(|(damaged, _)| damaged == organization).expect("it is told of");
        assert!(told.1.contains(cause), "{told:?}");
    }
    assert!(world.accounts.damaged().list().iter().any(|(_, cause)| cause.contains("role of key")));
    let listed = world.get("/v1/organizations?limit=1").await.good();
    assert_eq!((listed["data"][0]["id"].as_str(), listed["next_cursor"].as_str()), (Some("sound"), None));

    // What falls due for the others happens.
    world.set_clock("2026-12-01T09:00:00Z").await;
    assert_eq!(world.get(&of("sound", "")).await.good()["plan"], "free");
    let told = world.accounts.outbox(Channel::Notices, &Page::new(None, None)).await.expect("notices");
    let ended = told.data.iter().filter(|event| event.event_type == "trial.ended");
    assert_eq!(ended.map(|event| event.organization.as_str()).collect::<Vec<_>>(), ["sound"]);
    // What another change touches while it is damaged stays damaged.
    execute(&world, "UPDATE plan_periods SET plan = 'free' WHERE plan = 'gold' AND to_ms IS NULL").await;
    execute(&world, "UPDATE plan_periods SET plan = 'plus' WHERE plan = 'gold'").await;
    let mut change = world.accounts.begin(&Caller::operator()).await.expect("a change");
    change.record("mended", Some("plan"), None, Some(json!({}))).await.expect("a log entry");
    change.commit(200, &()).await.expect("a commit");
    assert_eq!(world.get(&of("plan", "")).await.good()["plan"], "free");
    world.accounts.advance().await.expect("what is due");
    assert!(world.accounts.damaged().list().iter().all(|(organization, _)| organization != "plan"));
}

#[tokio::test]
async fn what_becomes_unreadable_is_entitled_to_nothing_on_postgres() {
    let url = servers::new_postgres_database("damaged").await;
    let mut world = World::new("damaged_postgres", url).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    for organization in ["acme", "sound"] {
        world.sign_up(organization).await;
        world.publish(&[calls(organization, "2026-11-01T09:00:00Z", 7)], &[]).await;
    }
    execute(&world, "UPDATE plan_periods SET plan = 'gold' WHERE organization = 'acme'").await;
    // Whatever changes it next shows that it can't be read.
    let mut change = world.accounts.begin(&Caller::operator()).await.expect("a change");
    change.record("looked at", Some("acme"), None, None).await.expect("a log entry");
    change.commit(200, &()).await.expect("a commit");
    let answer = world.get(&of("acme", "/entitlements/api_calls")).await;
    assert_eq!(answer.refusal(), (503, "organization-unreadable"));
    assert_eq!(world.get(&of("sound", "/entitlements/api_calls")).await.good()["allowed"], true);
}
