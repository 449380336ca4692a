//! Stripe's client against Stripe's API over the sandbox, with a proxy between them that loses
//! requests and answers.

use odometer::accounts::Caller;
use odometer::billing::payment::{Collected, Occasion, Payments, Settings, Stripe};

use super::books::Books;
use super::face::{Face, Proxy, SECRET_KEY};

struct Shop {
    books: Books,
    payments: Payments,
    face: Face,
    proxy: Proxy,
}

impl Shop {
    async fn new() -> Self {
        let books = Books::on_sqlite().await;
        let (face, url) = Face::serve(&books.accounts).await;
        let (proxy, url) = Proxy::before(&url).await;
        let payments = books.through(Stripe::new(SECRET_KEY, &url).unwrap());
        books.sign_up("acme").await;
        Self { books, payments, face, proxy }
    }

    async fn collect(&self, invoice: &str) -> Collected {
        self.books.collect_through(&self.payments, invoice).await
    }
}

#[tokio::test]
async fn a_charge_says_everything_that_stripe_needs() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_ok").await;
    shop.books.issue("acme", "2026-000001", "356.11").await;
    assert_eq!(shop.collect("2026-000001").await, Collected::Paid);
    let requests = shop.face.requests("/v1/payment_intents");
    assert_eq!(requests.len(), 1);
    let field = |name: &str| requests[0].fields.get(name).map(String::as_str);
    let attempt = requests[0].idempotency_key.as_deref().expect("a key");
    for (name, value) in [
        ("amount", "35611"),
        ("currency", "usd"),
        ("payment_method", "pm_ok"),
        ("customer", "cus_1"),
        ("confirm", "true"),
        ("off_session", "true"),
        ("metadata[odometer_attempt]", attempt),
        ("metadata[odometer_invoice]", "2026-000001"),
        ("metadata[odometer_organization]", "acme"),
    ] {
        assert_eq!(field(name), Some(value), "{name}");
    }
    let rows = shop.books.rows("SELECT settlement FROM invoices", &[]).await;
    assert_eq!(rows[0].text(0).unwrap(), format!("pi_{attempt}"));
}

#[tokio::test]
async fn a_declined_intent_is_cancelled() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_declined").await;
    shop.books.issue("acme", "2026-000001", "10.00").await;
    let declined = shop.collect("2026-000001").await;
    assert!(matches!(&declined, Collected::Declined { code, .. } if code == "card_declined"), "{declined:?}");
    let cancelled = shop.face.requests("/v1/payment_intents/cancel");
    assert_eq!(cancelled.len(), 1);
    assert!(cancelled[0].idempotency_key.as_deref().unwrap().ends_with("-cancel"));
    assert_eq!(shop.face.intents()[0]["status"], "canceled");
}

#[tokio::test]
async fn an_answer_that_is_lost_on_the_way_is_asked_for_again() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_ok").await;
    shop.books.issue("acme", "2026-000001", "10.00").await;
    shop.proxy.lose_answers(2);
    assert_eq!(shop.collect("2026-000001").await, Collected::Paid);
    let requests = shop.face.requests("/v1/payment_intents");
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.idempotency_key == requests[0].idempotency_key));
    assert_eq!(shop.books.charged().await, 1);
    assert_eq!(shop.face.intents().len(), 1);
}

#[tokio::test]
async fn a_payment_whose_answer_stays_away_is_found_in_the_list() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_ok").await;
    let numbers = ["2026-000001", "2026-000002", "2026-000003", "2026-000004"];
    for number in numbers {
        shop.books.issue("acme", number, "10.00").await;
    }
    shop.proxy.lose_answers(3);
    assert_eq!(shop.collect(numbers[0]).await, Collected::Unknown);
    for number in &numbers[1..] {
        assert_eq!(shop.collect(number).await, Collected::Paid);
    }
    shop.books.look_now().await;
    assert_eq!(shop.payments.collect_due(None).await.unwrap().total(), 1);
    assert_eq!(shop.books.state(numbers[0]).await, "paid");
    assert_eq!(shop.face.requests("/v1/payment_intents?").len(), 2, "it is on the second page");
    assert_eq!(shop.face.requests("/v1/payment_intents").len(), 3 + 3);
    assert_eq!(shop.books.charged().await, 4);
}

#[tokio::test]
async fn a_request_that_never_came_is_sent_again_under_its_key() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_ok").await;
    shop.books.issue("acme", "2026-000001", "10.00").await;
    shop.proxy.lose_requests(3);
    assert_eq!(shop.collect("2026-000001").await, Collected::Unknown);
    assert_eq!(shop.books.charged().await, 0);
    assert_eq!(shop.collect("2026-000001").await, Collected::Paid);
    assert_eq!(shop.books.charged().await, 1);
    let rows = shop.books.rows("SELECT id FROM payment_attempts", &[]).await;
    let requests = shop.face.requests("/v1/payment_intents");
    assert_eq!((rows.len(), requests.len()), (1, 1));
    assert_eq!(requests[0].idempotency_key.as_deref(), Some(rows[0].text(0).unwrap()));
}

#[tokio::test]
async fn a_provider_that_is_away_leaves_the_payment_for_later() {
    let books = Books::on_sqlite().await;
    books.sign_up("acme").await;
    books.set_up("acme", "pm_ok").await;
    books.issue("acme", "2026-000001", "10.00").await;
    let settings = Settings::Stripe {
        secret_key: SECRET_KEY.to_owned(),
        webhook_secret: None,
        base_url: "http://127.0.0.1:1".to_owned(),
    };
    let payments = Payments::new(books.accounts.clone(), &settings).unwrap();
    let collected = payments.collect(&Caller::operator(), "2026-000001", Occasion::Asked).await.unwrap();
    assert_eq!(collected, Collected::Unknown);
    assert_eq!(books.events("acme").await, Vec::<String>::new(), "nobody is told of a failure");
}

#[tokio::test]
async fn a_payment_method_is_kept_for_more_than_one_charge() {
    let shop = Shop::new().await;
    let account = shop.books.accounts.account("acme").await.unwrap();
    for (token, kept, customers) in
        [("pm_ok", "pm_ok", 0), ("pm_loose", "pm_loose", 1), ("tok_loose", "pm_loose", 2)]
    {
        assert_eq!(shop.payments.keep(&account, token).await.unwrap(), kept);
        assert_eq!(shop.face.requests("/v1/customers").len(), customers, "{token}");
    }
    let refused = shop.payments.keep(&account, "pm_of_others").await;
    assert!(
        refused.is_err(),
        "whoever knows a method's id could have somebody else's card charged: {refused:?}"
    );
    let customer = &shop.face.requests("/v1/customers")[0];
    assert_eq!(customer.fields["payment_method"], "pm_loose");
    assert_eq!(customer.fields["email"], "billing@acme.example");
    let refused = shop.payments.keep(&account, "pm_gone").await.unwrap_err();
    assert!(refused.to_string().contains("No such thing"), "{refused}");
    // Asked again, after its answer was lost, it is the same question.
    shop.proxy.lose_answers(1);
    shop.payments.keep(&account, "pm_loose").await.unwrap();
    let keys: Vec<_> =
        shop.face.requests("/v1/customers").into_iter().map(|request| request.idempotency_key).collect();
    assert!(keys[0].is_some() && keys[0] == keys[2] && keys[2] == keys[3] && keys[0] != keys[1], "{keys:?}");
}

/// It was sent again long after it was first asked for: it is not where it is looked for first.
#[tokio::test]
async fn a_payment_that_was_sent_again_later_is_found_too() {
    let shop = Shop::new().await;
    shop.books.set_up("acme", "pm_ok").await;
    shop.books.issue("acme", "2026-000001", "10.00").await;
    shop.proxy.lose_answers(3);
    assert_eq!(shop.collect("2026-000001").await, Collected::Unknown);
    shop.books.execute("UPDATE payment_attempts SET begun_ms = begun_ms - 86400000", &[]).await;
    shop.books.look_now().await;
    assert_eq!(shop.payments.collect_due(None).await.unwrap().paid, 1);
    let windows: Vec<bool> = shop
        .face
        .requests("/v1/payment_intents?")
        .iter()
        .map(|request| request.fields.contains_key("created[lte]"))
        .collect();
    assert_eq!(windows, [true, false], "first around the time when it was asked for, then since");
    assert_eq!(shop.books.charged().await, 1);
}
