//! Void invoices: nobody pays them, and what stood on them is billed again, to the cent.

use axum::body::Body;
use axum::http::Request;
use odometer::accounts::database::Value as Stored;
use odometer::accounts::outbox::Channel;
use odometer::accounts::{Page, Status};
use odometer::billing::payment::{Payments, Settings};
use odometer::rating::PriceBook;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{bill_by, biller_by, field, invoices, start_on_plus};
use crate::accounts::world::{TOKEN, World, calls, services};
use crate::servers;

/// The built-in prices and 19 % of VAT.
fn book() -> PriceBook {
    let prices = include_str!("../../../fixtures/price-books/2023-09.yaml");
    let taxes = "taxes: [{ name: VAT, rates: [{ from: 2022-01, percent: 19 }] }]";
    PriceBook::parse(&format!("{prices}\n{taxes}\n")).expect("a book")
}

async fn close(world: &World, now: &str, month: &str) {
    world.set_clock(now).await;
    assert!(bill_by(&biller_by(world, book()), month).await.finalized);
}

fn path(organization: &str, number: &str, what: &str) -> String {
    format!("/v1/organizations/{organization}/invoices/{number}{what}")
}

async fn void(world: &World, number: &str) -> Value {
    let reason = json!({ "reason": "made by mistake" });
    world.operator("POST", &path("acme", number, "/void"), reason).await.good()
}

/// What the invoices that are not void ask for, all together.
async fn standing(world: &World) -> String {
    let all = invoices(world, "acme").await;
    let totals = all.iter().filter(|invoice| invoice["state"] != "void").map(|invoice| &invoice["total"]);
    let sum: Decimal = totals.map(|total| total.as_str().unwrap().parse::<Decimal>().unwrap()).sum();
    sum.to_string()
}

async fn verify_all(world: &World) {
    for invoice in invoices(world, "acme").await {
        let number = invoice["number"].as_str().expect("a number");
        let (verification, _) = biller_by(world, book()).verify(number).await.expect("verify");
        assert!(verification.verified, "{verification:#?}");
    }
}

#[tokio::test]
async fn what_was_voided_is_billed_again_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    walk(World::new("void_sqlite", url).await).await;
}

#[tokio::test]
async fn what_was_voided_is_billed_again_on_postgres() {
    let url = servers::new_postgres_database("void").await;
    walk(World::new("void_postgres", url).await).await;
}

async fn walk(mut world: World) {
    world.set_clock("2026-09-20T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    start_on_plus(&world, "zulu").await;
    let created = services("acme", "2026-09-20T00:00:00Z", 3);
    world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_200_345)], &created).await;
    close(&world, "2026-11-01T00:00:00Z", "2026-10").await;
    refuses_what_may_not_be(&world).await;
    let october = void(&world, "2026-000001").await;
    assert_eq!((&october["state"], &october["amount_due"]), (&json!("void"), &json!("0.00")));
    assert_eq!(october["void_reason"], "made by mistake");
    assert_eq!(october["voided_at"], "2026-11-01T00:00:00Z");
    assert_eq!(void(&world, "2026-000001").await, october, "again changes nothing");
    let pay = world.operator("POST", &path("acme", "2026-000001", "/pay"), Value::Null).await;
    assert_eq!(pay.refusal(), (404, "not-found"), "nothing takes payments here");
    let events = world.accounts.outbox(Channel::Notices, &Page::new(None, None)).await.unwrap().data;
    let voided = events.iter().filter(|event| event.event_type == "invoice.voided").count();
    assert_eq!(voided, 1);
    assert_eq!(standing(&world).await, "0");

    // 500,000 more of October's calls come late: they are part of what is billed again.
    world.publish(&[calls("acme", "2026-10-31T00:00:00Z", 500_000)], &[]).await;
    close(&world, "2026-12-01T00:00:00Z", "2026-11").await;
    let november = &invoices(&world, "acme").await[0];
    let lines: Vec<(&str, &str)> = november["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["description"].as_str().unwrap(), line["amount"].as_str().unwrap()))
        .collect();
    assert_eq!(
        lines,
        [
            ("Services: 3 at 105.00 USD", "315.00"),
            ("API calls: 0 at 34.25 USD per 1,000,000", "0.00"),
            ("Services: 3 in 2026-10, in place of void invoice 2026-000001", "315.00"),
            ("API calls: 1,700,345 in 2026-10, in place of void invoice 2026-000001", "58.24"),
            ("VAT 19 %: on 315.00 USD", "59.85"),
            ("VAT 19 %: on 373.24 USD more in 2026-10, in place of void invoice 2026-000001", "70.92"),
        ]
    );
    assert_eq!(standing(&world).await, "819.01");

    // The one that billed it again is void too, and more comes late.
    void(&world, november["number"].as_str().unwrap()).await;
    world.publish(&[calls("acme", "2026-11-30T00:00:00Z", 1_000_000)], &[]).await;
    close(&world, "2027-01-01T00:00:00Z", "2026-12").await;
    // (315.00 + 58.24) + (315.00 + 34.25) + 315.00, each with its tax.
    assert_eq!(standing(&world).await, "1234.62");
    // Nothing is billed a third time.
    close(&world, "2027-02-01T00:00:00Z", "2027-01").await;
    assert_eq!(standing(&world).await, "1609.47");
    verify_all(&world).await;
    world.accounts.verify_log().await.unwrap().expect("the log is whole");
}

async fn refuses_what_may_not_be(world: &World) {
    let void = path("acme", "2026-000001", "/void");
    let reason = json!({ "reason": "made by mistake" });
    let admin = world.new_key("acme", "admin").await;
    let refused = world.call(&admin, "POST", &void, Some(reason.clone())).await;
    assert_eq!(refused.refusal(), (403, "role"));
    for (path, body, refusal) in [
        (path("zulu", "2026-000001", "/void"), reason.clone(), (404, "not-found")),
        (path("acme", "2026-000009", "/void"), reason.clone(), (404, "not-found")),
        // Of 0.00, and so paid.
        (path("zulu", "2026-000002", "/void"), reason.clone(), (409, "invoice-not-open")),
        (void.clone(), json!({ "reason": " " }), (422, "invalid-request")),
        (void.clone(), json!({}), (400, "invalid-body")),
    ] {
        assert_eq!(world.operator("POST", &path, body).await.refusal(), refusal, "{path}");
    }
    // While a payment of it is under way.
    let under_way =
        "INSERT INTO payment_attempts (id, invoice, organization, method, token, amount, currency,
            description, state, begun_ms, looks)
        VALUES ('pay_1', '2026-000001', 'acme', 'm', 'tok_ok', 42377, 'USD', 'd', $1, 0, 0)";
    let database = world.accounts.database();
    for state in ["begun", "unknown"] {
        database.execute(under_way, &[Stored::from(state)]).await.expect("begin a payment");
        assert_eq!(world.operator("POST", &void, reason.clone()).await.refusal(), (409, "conflict"));
        database.execute("DELETE FROM payment_attempts", &[]).await.expect("forget it");
    }
    assert_eq!(field(&invoices(world, "acme").await, "state"), ["open"]);
}

/// The credit that it used up is there again, and nobody is dunned for it any more.
#[tokio::test]
async fn a_void_invoice_gives_its_credit_back_and_ends_dunning() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let world = World::new("void_credit", url).await;
    world.set_clock("2026-09-20T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    let database = world.accounts.database();
    let credit = "INSERT INTO invoice_credits (organization, amount) VALUES ('acme', '1.50')";
    database.execute(credit, &[]).await.expect("give a credit");
    let created = services("acme", "2026-09-20T00:00:00Z", 1);
    let mut world = world;
    world.publish(&[], &created).await;
    world.set_clock("2026-10-31T00:00:00Z").await;
    assert!(!bill_by(&biller_by(&world, book()), "2026-10").await.finalized);
    assert_eq!(invoices(&world, "acme").await[0]["amount_due"], "123.45", "a draft knows of the credit");
    close(&world, "2026-11-01T00:00:00Z", "2026-10").await;
    let number = "2026-000001";
    // 105.00 and 19.95 of tax, less the credit.
    assert_eq!(invoices(&world, "acme").await[0]["amount_due"], "123.45");
    let decline = "UPDATE payment_methods SET token = 'tok_declined'";
    world.accounts.database().execute(decline, &[]).await.expect("change the method");
    let payments = Payments::new(world.accounts.clone(), &Settings::Sandbox).expect("the sandbox");
    assert_eq!(payments.collect_due(None).await.unwrap().declined, 1);
    let account = world.accounts.organization("acme").await.unwrap();
    assert_eq!(account.status, Status::PastDue);
    assert!(!bill_by(&biller_by(&world, book()), "2026-11").await.finalized);
    assert_eq!(invoices(&world, "acme").await[0]["amount_due"], "124.95", "the credit is used up");
    void(&world, number).await;
    assert_eq!(invoices(&world, "acme").await[0]["amount_due"], "123.45", "and there again");
    let account = world.accounts.organization("acme").await.unwrap();
    assert_eq!(account.status, Status::Active);
    says_why_it_is_void(&world).await;
    world.set_clock("2026-11-10T00:00:00Z").await;
    assert_eq!(payments.collect_due(None).await.unwrap().total(), 0);
    close(&world, "2026-12-01T00:00:00Z", "2026-11").await;
    // Two months, less the credit.
    assert_eq!(invoices(&world, "acme").await[0]["amount_due"], "248.40");
    // No invoice left that credit.
    let (verification, _) = biller_by(&world, book()).verify(number).await.expect("verify");
    let named = verification.differences.join("\n");
    assert!(named.contains("amount due when it was issued: 123.45 is kept, it should be 124.95"), "{named}");
}

async fn says_why_it_is_void(world: &World) {
    let billed = bill_by(&biller_by(world, book()), "2026-10").await;
    assert_eq!(billed.invoices[0].void_reason.as_deref(), Some("made by mistake"));
    let session = world.call(TOKEN, "POST", "/v1/organizations/acme/portal-sessions", None).await.good();
    let link = session["url"].as_str().unwrap().strip_prefix("https://odometer.example").unwrap();
    let opened = world.fetch(Request::get(link).body(Body::empty()).unwrap()).await;
    let (cookie, _) = opened.header("set-cookie").split_once(';').expect("a cookie");
    let page = Request::get("/organizations/acme/billing").header("cookie", cookie);
    let page = world.fetch(page.body(Body::empty()).unwrap()).await.text();
    assert!(page.contains("made by mistake"), "{page}");
}
