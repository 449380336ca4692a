//! A year under the test clock: usage, entitlements and licenses are right at each step.

use odometer::accounts::license::{License, LicenseError, LicenseKey, Payload};
use odometer::clock::Time;
use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::world::{World, at, calls, services};

on_both_databases! {
    a_year,
}

async fn a_year(database: Database) {
    let (url, _folder) = database.create("year").await;
    let mut world = World::new("year", url).await;
    world.publish(&[calls("unrelated", "2026-10-01T00:00:00Z", 1)], &[]).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    world.sign_up("acme").await;
    sees_a_trial(&world).await;
    let first_license = license(&world).await;

    // The trial is used, and costs nothing.
    let created = services("acme", "2026-11-05T00:00:00Z", 5);
    world.publish(&[calls("acme", "2026-11-05T00:00:00Z", 2_000_000)], &created).await;
    world.set_clock("2026-11-20T00:00:00Z").await;
    let usage = world.once(USAGE, "/usage/services", 5).await;
    assert_eq!(
        usage["usage"],
        json!({ "api_calls": 2_000_000, "services": 5, "published_services": 1, "regions": 1 })
    );
    assert_eq!(usage["estimated_cost"], Value::Null);
    assert_entitled(&world, "services", json!({ "allowed": true, "limit": null, "used": 5 })).await;

    // Three days before its end notice is given.
    world.set_clock("2026-11-28T08:59:59.999Z").await;
    assert_eq!(notices(&world, "acme").await, ["organization.created"]);
    world.set_clock("2026-11-28T09:00:00Z").await;
    assert_eq!(notices(&world, "acme").await, ["organization.created", "trial.ending"]);

    ends_without_payment_method(&mut world).await;
    ends_with_payment_method(&world).await;
    upgrades_in_mid_month(&mut world).await;
    cancels_in_mid_month(&mut world).await;
    goes_to_enterprise(&world).await;
    license_is_renewed(&world, &first_license).await;

    world.accounts.verify_log().await.unwrap().expect("the log is whole");
}

const ORGANIZATION: &str = "/v1/organizations/acme";
const USAGE: &str = "/v1/organizations/acme/usage";
const PLAN: &str = "/v1/organizations/acme/plan";

async fn sees_a_trial(world: &World) {
    let organization = world.get(ORGANIZATION).await.good();
    assert_eq!(organization["plan"], "plus");
    assert_eq!(organization["trial"]["ends_at"], "2026-12-01T09:00:00Z");
    assert_eq!(organization["status"], "trialing");
    assert_eq!(organization["payment_method_required"], true);
    assert_eq!(organization["regions"], json!(["us"]));
    let usage = world.once(USAGE, "/complete", true).await;
    assert_eq!((&usage["plan"], &usage["estimated_cost"]), (&json!("plus"), &Value::Null));
    assert_eq!(usage["trial"], json!({ "ends_at": "2026-12-01T09:00:00Z" }));
    assert_eq!(usage["usage"]["api_calls"], 0, "an account without usage has an answer too");
    assert_eq!(usage["by_region"]["us"]["api_calls"], 0);
    assert_eq!(subscription(world).await, "Plus");
}

async fn ends_without_payment_method(world: &mut World) {
    world.set_clock("2026-12-01T08:59:59.999Z").await;
    assert_eq!(world.get(ORGANIZATION).await.good()["plan"], "plus");
    world.set_clock("2026-12-01T09:00:00Z").await;
    let organization = world.get(ORGANIZATION).await.good();
    assert_eq!((&organization["plan"], &organization["trial"]), (&json!("free"), &Value::Null));
    assert_eq!(organization["payment_method_required"], false);
    assert_eq!(subscription(world).await, "Free");
    let usage = world.once(USAGE, "/complete", true).await;
    assert_eq!((&usage["plan"], &usage["trial"]), (&json!("free"), &Value::Null));
    assert_eq!(usage["estimated_cost"]["amount"], "0.00");
    // What is there stays, and nothing is added.
    assert_entitled(
        world,
        "services",
        json!({ "allowed": false, "limit": 3, "used": 5, "remaining": 0, "overage": "block" }),
    )
    .await;
    assert_entitled(
        world,
        "published_services",
        json!({ "allowed": true, "limit": 10, "used": 1, "remaining": 9 }),
    )
    .await;
    assert_entitled(world, "api_calls", json!({ "allowed": true, "limit": null, "remaining": null })).await;
    // November was spent in the trial.
    let november = world.get(&format!("{USAGE}?month=2026-11")).await.good();
    assert_eq!((&november["plan"], &november["estimated_cost"]), (&json!("plus"), &Value::Null));
    assert_eq!(november["usage"]["api_calls"], 2_000_000);
}

async fn ends_with_payment_method(world: &World) {
    world.sign_up("beta").await;
    let plan = "/v1/organizations/beta/plan";
    let refused = world.operator("PUT", plan, json!({ "plan": "plus" })).await;
    assert_eq!(refused.refusal(), (402, "payment-method-required"));
    add_card(world, "beta").await;
    let chosen = world.operator("PUT", plan, json!({ "plan": "plus" })).await.good();
    assert_eq!(chosen["trial"], json!({ "ends_at": "2026-12-31T09:00:00Z", "then": "plus" }));
}

async fn upgrades_in_mid_month(world: &mut World) {
    world.set_clock("2026-12-15T00:00:00Z").await;
    let refused = world.operator("PUT", PLAN, json!({ "plan": "plus" })).await;
    assert_eq!(refused.refusal(), (402, "payment-method-required"));
    add_card(world, "acme").await;
    let upgraded = world.operator("PUT", PLAN, json!({ "plan": "plus" })).await.good();
    assert_eq!((&upgraded["plan"], &upgraded["status"]), (&json!("plus"), &json!("active")));
    let counts =
        [calls("acme", "2026-12-14T23:00:00Z", 4_000_000), calls("acme", "2026-12-15T00:00:00Z", 1_000_000)];
    world.publish(&counts, &[]).await;
    world.set_clock("2026-12-21T00:00:00Z").await;
    // 5 services × 105 × 17 of 31 days, and the calls since the upgrade.
    let usage = world.once(USAGE, "/usage/api_calls", 5_000_000).await;
    let cost = &usage["estimated_cost"];
    assert_eq!((&cost["amount"], &cost["currency"]), (&json!("322.15"), &json!("USD")), "{cost:#}");
    let line = |index: usize| {
        let line = &cost["lines"][index];
        (line["meter"].clone(), line["quantity"].clone(), line["unit"].clone(), line["amount"].clone())
    };
    assert_eq!(line(0), (json!("services"), json!(5), json!(1), json!("287.90")));
    assert_eq!(line(1), (json!("api_calls"), json!(1_000_000), json!(1_000_000), json!("34.25")));
    // A third of the plan's time is over 6 of 17 days: 2,833,333 calls at its end.
    assert_eq!(cost["forecast"], "384.94");
    assert_entitled(world, "services", json!({ "allowed": true, "limit": null })).await;
    assert_eq!(subscription(world).await, "Plus");
}

async fn cancels_in_mid_month(world: &mut World) {
    world.set_clock("2027-01-01T00:00:00Z").await;
    assert_eq!(world.get("/v1/organizations/beta").await.good()["plan"], "plus");
    assert_eq!(notices(world, "beta").await.last().map(String::as_str), Some("trial.ended"));
    world.publish(&[calls("acme", "2027-01-15T23:00:00Z", 2_000_000)], &[]).await;
    world.set_clock("2027-01-16T00:00:00Z").await;
    let cancelled = world.call(super::world::TOKEN, "DELETE", PLAN, None).await.good();
    assert_eq!(cancelled["plan"], "free");
    world.publish(&[calls("acme", "2027-01-16T00:00:00Z", 9_000_000)], &[]).await;
    world.set_clock("2027-01-20T00:00:00Z").await;
    let usage = world.once(USAGE, "/usage/api_calls", 11_000_000).await;
    // 5 × 105 × 15 of 31 days = 254.03, and 2 million calls; nothing more comes.
    assert_eq!(usage["estimated_cost"]["amount"], "322.53", "{:#}", usage["estimated_cost"]);
    assert_eq!(usage["estimated_cost"]["forecast"], "322.53");
    assert_eq!(usage["plan"], "free");
    assert_entitled(world, "services", json!({ "allowed": false, "limit": 3, "used": 5 })).await;
    let december = world.get(&format!("{USAGE}?month=2026-12")).await.good();
    assert_eq!(
        (&december["plan"], &december["estimated_cost"]["amount"]),
        (&json!("plus"), &json!("322.15"))
    );
}

async fn goes_to_enterprise(world: &World) {
    world.set_clock("2027-02-01T00:00:00Z").await;
    let admin = world.new_key("acme", "admin").await;
    let regions = format!("{ORGANIZATION}/regions");
    let two = json!({ "regions": ["us", "eu"] });
    let refused = world.call(&admin, "PUT", PLAN, Some(json!({ "plan": "enterprise" }))).await;
    assert_eq!(refused.refusal(), (403, "contact-sales"));
    assert_eq!(refused.body["contact"], "https://odometer.example/organizations/acme/billing");
    assert_eq!(world.operator("PUT", &regions, two.clone()).await.refusal(), (403, "contact-sales"));
    let request = json!({ "message": "Two regions, please." });
    let sent = world.call(&admin, "POST", &format!("{ORGANIZATION}/sales-requests"), Some(request)).await;
    assert_eq!(sent.status.as_u16(), 202);
    world.operator("PUT", PLAN, json!({ "plan": "enterprise" })).await.good();
    assert_eq!(
        world.call(&admin, "PUT", &regions, Some(two.clone())).await.refusal(),
        (403, "contact-sales")
    );
    let organization = world.operator("PUT", &regions, two).await.good();
    assert_eq!(organization["regions"], json!(["us", "eu"]));
    let back = world.call(&admin, "DELETE", PLAN, None).await;
    assert_eq!(back.refusal(), (403, "contact-sales"));
    let usage = world.once(USAGE, "/usage/regions", 2).await;
    assert_eq!((&usage["plan"], &usage["estimated_cost"]["amount"]), (&json!("enterprise"), &json!("0.00")));
    assert_eq!(usage["by_region"]["eu"]["api_calls"], 0);
    assert_entitled(world, "regions", json!({ "allowed": true, "limit": null, "used": 2 })).await;
    assert_entitled(world, "services", json!({ "allowed": true, "limit": null, "used": 5 })).await;
    assert_eq!(subscription(world).await, "Enterprise");
}

async fn license_is_renewed(world: &World, first: &License) {
    let keys = keys(world).await;
    world.set_clock("2027-10-02T08:59:59Z").await;
    let before = verified(world).await;
    assert_eq!(before.license_expiration_date, Time(at("2027-11-01T09:00:00Z")));
    world.set_clock("2027-10-02T09:00:00Z").await;
    let renewed = verified(world).await;
    assert_ne!(renewed.license_key, before.license_key);
    assert_eq!(renewed.license_expiration_date, Time(at("2028-10-02T09:00:00Z")));
    // A runtime that did not fetch again.
    let end = at("2027-11-01T09:00:00Z");
    assert!(first.verify(&keys, end - 1).is_ok());
    world.set_clock("2027-11-01T09:00:00Z").await;
    assert_eq!(first.verify(&keys, end), Err(LicenseError::Expired { at: Time(end) }));
    verified(world).await;
}

async fn add_card(world: &World, organization: &str) {
    let card = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    let path = format!("/v1/organizations/{organization}/payment-methods");
    let added = world.operator("POST", &path, card).await.good();
    assert_eq!(added["default"], true);
}

/// What the answer holds; the members that are not named may be anything.
async fn assert_entitled(world: &World, meter: &str, expected: Value) {
    let path = format!("{ORGANIZATION}/entitlements/{meter}");
    let answer = world.once(&path, "/decided_by", "usage").await;
    for (member, value) in expected.as_object().expect("members") {
        assert_eq!(&answer[member], value, "{member} of {answer:#}");
    }
}

async fn notices(world: &World, organization: &str) -> Vec<String> {
    let list = world.get("/v1/notices").await.good();
    let events = list["data"].as_array().expect("a list").iter();
    let own = events.filter(|event| event["organization"] == organization);
    own.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

async fn license(world: &World) -> License {
    let answer = world.get(&format!("{ORGANIZATION}/license")).await.good();
    serde_json::from_value(answer).expect("a license")
}

async fn keys(world: &World) -> Vec<LicenseKey> {
    let list = world.get("/v1/license-keys").await.good();
    serde_json::from_value(list["data"].clone()).expect("keys")
}

async fn verified(world: &World) -> Payload {
    let now_ms = world.accounts.clock().now_ms();
    license(world).await.verify(&keys(world).await, now_ms).expect("a license that holds")
}

async fn subscription(world: &World) -> String {
    verified(world).await.product_subscription
}
