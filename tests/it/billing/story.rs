//! One organization's months: drafts, invoices, what comes late.

use serde_json::{Value, json};

use odometer::accounts::Caller;

use super::{bill, biller, field, invoices, start_on_plus, verify};
use crate::accounts::world::{World, at, calls, services};
use crate::servers;

#[tokio::test]
async fn months_are_invoiced_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    walk(World::new("bill_sqlite", url).await).await;
}

#[tokio::test]
async fn months_are_invoiced_on_postgres() {
    let url = servers::new_postgres_database("bill").await;
    walk(World::new("bill_postgres", url).await).await;
}

async fn walk(mut world: World) {
    world.set_clock("2026-09-20T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    start_on_plus(&world, "zulu").await;
    world.sign_up("trial").await;
    let created = services("acme", "2026-09-20T00:00:00Z", 3);
    let used = [
        calls("acme", "2026-10-10T00:00:00Z", 1_200_345),
        calls("trial", "2026-10-10T00:00:00Z", 5_000_000),
        calls("nobody", "2026-10-10T00:00:00Z", 5_000_000),
    ];
    world.publish(&used, &created).await;
    leaves_drafts_before_the_end(&world).await;
    finalizes_what_is_counted(&world).await;
    adjusts_what_came_late(&mut world).await;
    carries_a_credit(&mut world).await;
    world.accounts.verify_log().await.unwrap().expect("the log is whole");
}

async fn leaves_drafts_before_the_end(world: &World) {
    world.set_clock("2026-10-31T23:59:59.999Z").await;
    let billed = bill(world, "2026-10").await;
    assert!(!billed.finalized);
    assert_eq!(billed.waiting.expect("a reason").reason, "2026-10 is not over");
    let drafts = invoices(world, "acme").await;
    assert_eq!((field(&drafts, "state"), field(&drafts, "number")), (vec!["draft"], vec!["null"]));
    assert_eq!(drafts[0]["total"], "356.11");
    assert!(drafts[0]["digest"].is_null() && drafts[0]["issued_at"].is_null());
    assert!(invoices(world, "trial").await.is_empty(), "a trial costs nothing");
}

async fn finalizes_what_is_counted(world: &World) {
    // Over, but nobody has read the lane to its end since: that was a moment before.
    let now = json!({ "now": "2026-11-01T00:00:00Z" });
    world.operator("PUT", "/v1/test-clock", now).await.good();
    let billed = bill(world, "2026-10").await;
    let reason = "region us has not counted every event of 2026-10 yet";
    assert_eq!(billed.waiting.expect("a reason").reason, reason);
    world.set_clock("2026-11-01T00:00:00Z").await;
    let billed = bill(world, "2026-10").await;
    assert!(billed.finalized && billed.issued == 2 && billed.waiting.is_none(), "{billed:?}");
    let again = bill(world, "2026-10").await;
    assert_eq!((again.issued, &again.invoices), (0, &billed.invoices));

    let made = invoices(world, "acme").await;
    assert_eq!(field(&made, "number"), ["2026-000001"]);
    let invoice = &made[0];
    assert_eq!(invoice["state"], "open");
    assert_eq!((&invoice["total"], &invoice["amount_due"]), (&json!("356.11"), &json!("356.11")));
    assert_eq!(invoice["issued_at"], "2026-11-01T00:00:00Z");
    assert_eq!(invoice["due_at"], "2026-11-15T00:00:00Z");
    assert_eq!(invoice["price_book"], "2023-09");
    assert_eq!(invoice["digest"].as_str().expect("a digest").len(), 64);
    assert_eq!(invoice["ledger"][0]["next_offset"], 1);
    let viewer = world.new_key("acme", "viewer").await;
    let seen = world.call(&viewer, "GET", "/v1/organizations/acme/invoices/2026-000001", None).await.good();
    assert_eq!((&seen["ledger"], &seen["digest"]), (&json!([]), &invoice["digest"]));
    let listed = world.call(&viewer, "GET", "/v1/organizations/acme/invoices", None).await.good();
    assert_eq!(listed["data"], json!([seen]), "where the ledgers ended is the operator's to see");
    let amounts: Vec<_> = invoice["lines"].as_array().unwrap().iter().map(|line| &line["amount"]).collect();
    assert_eq!(amounts, ["315.00", "41.11"]);
    let one = world.get("/v1/organizations/acme/invoices/2026-000001").await.good();
    assert_eq!(one, *invoice);
    for path in ["/v1/organizations/zulu/invoices/2026-000001", "/v1/organizations/acme/invoices/2026-000009"]
    {
        assert_eq!(world.get(path).await.refusal(), (404, "not-found"), "{path}");
    }

    // Nothing was used: an invoice of nothing, which needs no payment.
    let zulu = invoices(world, "zulu").await;
    assert_eq!((field(&zulu, "number"), field(&zulu, "state")), (vec!["2026-000002"], vec!["paid"]));
    assert_eq!(zulu[0]["total"], "0.00");

    // September was not asked for before; it comes now and has the next number.
    bill(world, "2026-09").await;
    let made = invoices(world, "acme").await;
    assert_eq!(field(&made, "month"), ["2026-10", "2026-09"]);
    assert_eq!(field(&made, "number"), ["2026-000001", "2026-000003"]);
    // 3 services, 105.00 each, for 11 of 30 days.
    assert_eq!(made[1]["total"], "115.50");
}

async fn adjusts_what_came_late(world: &mut World) {
    world.publish(&[calls("acme", "2026-10-31T00:00:00Z", 500_000)], &[]).await;
    world.set_clock("2026-12-01T00:00:00Z").await;
    let billed = bill(world, "2026-11").await;
    assert!(billed.finalized);
    let made = invoices(world, "acme").await;
    assert_eq!(made[0]["month"], "2026-11");
    let lines = made[0]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let adjustment = &lines[2];
    assert_eq!(adjustment["kind"], "adjustment");
    assert_eq!(adjustment["corrects"], "2026-000001");
    assert_eq!((&adjustment["quantity"], &adjustment["meter"]), (&json!(500_000), &json!("api_calls")));
    // 1,700,345 calls cost 58.24, of which 41.11 were invoiced.
    assert_eq!(adjustment["amount"], "17.13");
    assert_eq!(made[0]["total"], "332.13");
    // What was issued stays as it was.
    assert_eq!(made[1]["total"], "356.11");
}

async fn carries_a_credit(world: &mut World) {
    // It turns out that two of the services were gone since September began, when there was no account.
    let mut gone = services("acme", "2026-09-21T00:00:00Z", 2);
    for (index, row) in gone.iter_mut().enumerate() {
        row.exists = Some(false);
        row.version = at("2027-01-01T00:00:00Z");
        row.id = format!("gone-{index}");
    }
    world.publish(&[], &gone).await;
    world.set_clock("2027-01-01T00:00:00Z").await;
    bill(world, "2026-12").await;
    let made = invoices(world, "acme").await;
    let invoice = &made[0];
    let corrected: Vec<(&str, &str)> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["kind"] == "adjustment")
        .map(|line| (line["corrects"].as_str().unwrap(), line["amount"].as_str().unwrap()))
        .collect();
    // In September the peak stays three; October and November had one.
    assert_eq!(corrected, [("2026-000001", "-210.00"), ("2026-000005", "-210.00")]);
    assert_eq!((&invoice["total"], &invoice["amount_due"]), (&json!("-315.00"), &json!("0.00")));
    assert_eq!((&invoice["state"], &invoice["number"]), (&json!("paid"), &json!("2027-000001")));
    // The credit pays the next three months, and what is left of it no more than that.
    for (now, month, due) in [
        ("2027-02-01T00:00:00Z", "2027-01", "0.00"),
        ("2027-03-01T00:00:00Z", "2027-02", "0.00"),
        ("2027-04-01T00:00:00Z", "2027-03", "0.00"),
        ("2027-05-01T00:00:00Z", "2027-04", "105.00"),
    ] {
        world.set_clock(now).await;
        bill(world, month).await;
        let made = invoices(world, "acme").await;
        assert_eq!((&made[0]["total"], &made[0]["amount_due"]), (&json!("105.00"), &json!(due)), "{month}");
    }
    for invoice in invoices(world, "acme").await {
        verify(world, invoice["number"].as_str().expect("a number")).await;
    }
    let enterprise = json!({ "plan": "enterprise" });
    world.operator("PUT", "/v1/organizations/acme/plan", enterprise).await.good();
    for path in ["invoices", "invoices/2026-000001"] {
        let answer = world.get(&format!("/v1/organizations/acme/{path}")).await;
        assert_eq!(answer.refusal(), (403, "contact-sales"), "{path}");
        assert_ne!(answer.body["contact"], Value::Null);
    }
}

/// A run that ended after a month was closed is begun again days later: whatever happened since, the
/// invoice is the one that it would have been.
#[tokio::test]
async fn what_happens_after_a_closing_changes_none_of_its_invoices() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_again", url).await;
    world.set_clock("2026-09-20T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    let created = services("acme", "2026-09-20T00:00:00Z", 3);
    world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_200_345)], &created).await;
    world.set_clock("2026-11-01T00:00:00Z").await;
    let closed = biller(&world).close(&Caller::operator(), "2026-10".parse().unwrap()).await;
    closed.expect("close").expect("it is counted");
    assert!(invoices(&world, "acme").await.is_empty());

    world.publish(&[calls("acme", "2026-10-31T00:00:00Z", 500_000)], &[]).await;
    world.set_clock("2026-11-05T00:00:00Z").await;
    world.operator("DELETE", "/v1/organizations/acme/plan", Value::Null).await.good();
    let drafted = bill(&world, "2026-11").await;
    assert!(!drafted.finalized);
    bill(&world, "2026-10").await;
    let made = invoices(&world, "acme").await;
    let october = made.iter().find(|invoice| invoice["month"] == "2026-10").expect("October");
    assert_eq!(
        (&october["total"], &october["issued_at"]),
        (&json!("356.11"), &json!("2026-11-01T00:00:00Z"))
    );
    verify(&world, "2026-000001").await;

    world.set_clock("2026-12-01T00:00:00Z").await;
    bill(&world, "2026-11").await;
    let made = invoices(&world, "acme").await;
    let november = made.iter().find(|invoice| invoice["month"] == "2026-11").expect("November");
    // 3 services for 4 of 30 days, and 17.13 for October.
    assert_eq!(november["total"], "59.13");
}
