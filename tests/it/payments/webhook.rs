//! `POST /v1/webhooks/stripe`: signed events that may be wrong, old, repeated and out of order.

use axum::body::Body;
use axum::http::{Request, header};
use odometer::accounts::Caller;
use odometer::billing::payment::{Occasion, Payments, Settings, sign};
use odometer::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accounts::database::{Database, on_both_databases};
use crate::accounts::world::{TOKEN, World};

on_both_databases! {
    an_event_pays_the_invoice_however_often_it_comes,
    what_is_not_signed_by_the_provider_changes_nothing,
    events_may_come_in_any_order,
    what_is_not_about_our_payments_changes_nothing,
    money_that_came_twice_is_told_to_the_operator,
    without_a_secret_there_is_no_webhook,
    events_are_forgotten_once_they_can_not_come_again,
}

const SECRET: &str = "whsec_test";
const INVOICE: &str = "2026-000001";

struct Shop {
    world: World,
    payments: Payments,
    _folder: TempDir,
}

impl Shop {
    /// An open invoice, whose payment is under way at a Stripe that does not answer.
    async fn new(database: Database, test: &str) -> Self {
        let (url, folder) = database.create(test).await;
        let settings = Settings::Stripe {
            secret_key: "sk_test_123".to_owned(),
            webhook_secret: Some(SECRET.to_owned()),
            base_url: "http://127.0.0.1:1".to_owned(),
        };
        let mut made = None;
        let world = World::with(test, url, |app, accounts| {
            let payments = Payments::new(accounts.clone(), &settings).expect("payments");
            made = Some(payments.clone());
            app.with_payments(payments)
        })
        .await;
        world.set_clock("2026-12-01T00:00:00Z").await;
        world.sign_up("acme").await;
        let sql =
            "INSERT INTO payment_methods (id, organization, token, brand, last4, exp, is_default, created_ms)
                   VALUES ('pm', 'acme', 'pm_ok', 'visa', '4242', '11/2028', 1, 0)";
        world.accounts.database().execute(sql, &[]).await.unwrap();
        let sql =
            "INSERT INTO invoices (organization, month, number, state, content, currency, total, charge)
                   VALUES ('acme', '2026-11', '2026-000001', 'open', '{}', 'USD', '10.00', '10.00')";
        world.accounts.database().execute(sql, &[]).await.unwrap();
        let shop = Self { world, payments: made.expect("payments"), _folder: folder };
        let collected = shop.payments.collect(&Caller::schedule(), INVOICE, Occasion::Scheduled).await;
        assert_eq!(format!("{:?}", collected.unwrap()), "Unknown");
        shop
    }

    async fn attempt(&self) -> String {
        self.text("SELECT id FROM payment_attempts ORDER BY id").await
    }

    async fn text(&self, sql: &'static str) -> String {
        let rows = self.world.accounts.database().fetch_all(sql, &[]).await.unwrap();
        rows[0].text(0).unwrap().to_owned()
    }

    async fn state(&self) -> (String, String) {
        let attempt = self.text("SELECT state FROM payment_attempts").await;
        (self.text("SELECT state FROM invoices").await, attempt)
    }

    async fn status(&self) -> Value {
        self.world.get("/v1/organizations/acme").await.good()["status"].clone()
    }

    async fn event(&self, id: &str, kind: &str, change: impl FnOnce(&mut Value)) -> Value {
        let status = if kind.ends_with("succeeded") { "succeeded" } else { "requires_payment_method" };
        let mut intent = json!({
            "id": "pi_1", "object": "payment_intent", "status": status, "amount": 1000, "currency": "usd",
            "metadata": { "odometer_attempt": self.attempt().await },
            "last_payment_error": { "code": "card_declined", "message": "Your card was declined." },
        });
        change(&mut intent);
        json!({ "id": id, "object": "event", "type": kind, "data": { "object": intent } })
    }

    async fn send(&self, event: &Value) -> (u16, String) {
        let body = event.to_string();
        let signature = sign(SECRET, now_s(), body.as_bytes());
        self.send_signed(&body, Some(&signature)).await
    }

    async fn send_signed(&self, body: &str, signature: Option<&str>) -> (u16, String) {
        let mut request = Request::builder()
            .method("POST")
            .uri("/v1/webhooks/stripe")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(signature) = signature {
            request = request.header("Stripe-Signature", signature);
        }
        let answer = self.world.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        (answer.status.as_u16(), answer.slug().to_owned())
    }
}

fn now_s() -> i64 {
    Clock::System.now_ms().div_euclid(1000)
}

fn taken() -> (u16, String) {
    (200, String::new())
}

fn states(invoice: &str, attempt: &str) -> (String, String) {
    (invoice.to_owned(), attempt.to_owned())
}

async fn an_event_pays_the_invoice_however_often_it_comes(database: Database) {
    let shop = Shop::new(database, "webhook_paid").await;
    let event = shop.event("evt_1", "payment_intent.succeeded", |_| {}).await;
    for _ in 0..3 {
        assert_eq!(shop.send(&event).await, taken());
        assert_eq!(shop.state().await, states("paid", "succeeded"));
    }
    let again = shop.event("evt_2", "payment_intent.succeeded", |_| {}).await;
    assert_eq!(shop.send(&again).await, taken());
    assert_eq!(shop.text("SELECT settlement FROM invoices").await, "pi_1");
    let notices = shop.world.get("/v1/notices").await.good();
    let paid = |notice: &&Value| notice["type"] == "invoice.paid";
    assert_eq!(notices["data"].as_array().unwrap().iter().filter(paid).count(), 1, "{notices}");
}

async fn what_is_not_signed_by_the_provider_changes_nothing(database: Database) {
    let shop = Shop::new(database, "webhook_signature").await;
    let body = shop.event("evt_1", "payment_intent.succeeded", |_| {}).await.to_string();
    let good = sign(SECRET, now_s(), body.as_bytes());
    for signature in [
        None,
        Some(String::new()),
        Some("t=1,v1=00".to_owned()),
        Some(sign("whsec_other", now_s(), body.as_bytes())),
        Some(sign(SECRET, now_s() - 600, body.as_bytes())),
        Some(sign(SECRET, now_s() + 600, body.as_bytes())),
        Some(sign(SECRET, now_s(), b"{}")),
    ] {
        let answer = shop.send_signed(&body, signature.as_deref()).await;
        assert_eq!(answer, (400, "invalid-signature".to_owned()), "{signature:?}");
    }
    let changed = body.replace("1000", "1001");
    assert_eq!(shop.send_signed(&changed, Some(&good)).await, (400, "invalid-signature".to_owned()));
    assert_eq!(shop.state().await, states("open", "unknown"));
    let signed = sign(SECRET, now_s(), b"[]");
    assert_eq!(shop.send_signed("[]", Some(&signed)).await, (400, "invalid-event".to_owned()));
    assert_eq!(shop.send_signed(&body, Some(&good)).await, taken());
    assert_eq!(shop.state().await, states("paid", "succeeded"));
    // The test clock stands in December; a signature of its time is taken too.
    let body = json!({ "id": "evt_9", "type": "customer.created", "data": { "object": {} } }).to_string();
    let signed = sign(SECRET, 1_796_083_200, body.as_bytes());
    assert_eq!(shop.send_signed(&body, Some(&signed)).await, taken());
}

async fn events_may_come_in_any_order(database: Database) {
    let failed = "payment_intent.payment_failed";
    let shop = Shop::new(database, "webhook_order").await;
    let success = shop.event("evt_2", "payment_intent.succeeded", |_| {}).await;
    let failure = shop.event("evt_1", failed, |_| {}).await;
    assert_eq!(shop.send(&success).await, taken());
    assert_eq!(shop.send(&failure).await, taken());
    assert_eq!(shop.state().await, states("paid", "succeeded"), "an old failure");
    assert_eq!(shop.status().await, "trialing");

    let shop = Shop::new(database, "webhook_order").await;
    assert_eq!(shop.send(&shop.event("evt_1", failed, |_| {}).await).await, taken());
    assert_eq!(shop.state().await, states("open", "declined"));
    assert_eq!(shop.status().await, "past_due");
    assert_eq!(shop.send(&shop.event("evt_2", "payment_intent.succeeded", |_| {}).await).await, taken());
    assert_eq!(shop.state().await, states("paid", "succeeded"), "a later success of the same payment");
    assert_eq!(shop.status().await, "trialing");
}

async fn what_is_not_about_our_payments_changes_nothing(database: Database) {
    let shop = Shop::new(database, "webhook_foreign").await;
    let succeeded = "payment_intent.succeeded";
    let events = [
        shop.event("evt_1", "customer.created", |_| {}).await,
        shop.event("evt_2", "payment_intent.created", |_| {}).await,
        shop.event("evt_3", succeeded, |intent| intent["metadata"] = json!({})).await,
        shop.event("evt_4", succeeded, |intent| intent["metadata"]["odometer_attempt"] = "pay_x".into())
            .await,
        shop.event("evt_5", succeeded, |intent| intent["amount"] = 999.into()).await,
        shop.event("evt_6", succeeded, |intent| intent["currency"] = "eur".into()).await,
        json!({ "id": "evt_7", "type": succeeded, "data": { "object": 5 } }),
    ];
    for event in events {
        assert_eq!(shop.send(&event).await, taken(), "{event}");
        assert_eq!(shop.state().await, states("open", "unknown"), "{event}");
    }
}

async fn money_that_came_twice_is_told_to_the_operator(database: Database) {
    let shop = Shop::new(database, "webhook_twice").await;
    let sql = "UPDATE invoices SET state = 'void'";
    shop.world.accounts.database().execute(sql, &[]).await.unwrap();
    assert_eq!(shop.send(&shop.event("evt_1", "payment_intent.succeeded", |_| {}).await).await, taken());
    assert_eq!(shop.state().await, states("void", "succeeded"));
    let notices = shop.world.get("/v1/notices").await.good().to_string();
    assert!(notices.contains("payment.unexpected"), "{notices}");
}

async fn without_a_secret_there_is_no_webhook(database: Database) {
    let (url, _folder) = database.create("webhook_none").await;
    let world = World::new("webhook_none", url).await;
    let answer = world.call(TOKEN, "POST", "/v1/webhooks/stripe", Some(json!({}))).await;
    assert_eq!(answer.refusal(), (404, "not-found"));
}

async fn events_are_forgotten_once_they_can_not_come_again(database: Database) {
    let shop = Shop::new(database, "webhook_sweep").await;
    let event = shop.event("evt_1", "payment_intent.succeeded", |_| {}).await;
    assert_eq!(shop.send(&event).await, taken());
    assert_eq!(shop.payments.sweep_events().await.unwrap(), 0);
    let age = "UPDATE provider_events SET received_ms = received_ms - 3110400000";
    shop.world.accounts.database().execute(age, &[]).await.unwrap();
    assert_eq!(shop.payments.sweep_events().await.unwrap(), 1);
    // Even then it changes nothing: the payment is decided.
    assert_eq!(shop.send(&event).await, taken());
    assert_eq!(shop.state().await, states("paid", "succeeded"));
}
