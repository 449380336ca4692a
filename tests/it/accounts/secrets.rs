//! What a request must keep to itself stands in no database and in no log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;

use super::api::{with_key, world};
use super::database::{Database, on_both_databases};
use super::world::{TOKEN, World, request};

on_both_databases! {
    a_card_number_is_refused_and_stands_nowhere,
    what_opens_something_stands_nowhere,
    no_secret_of_a_request_reaches_the_log,
}

const METHODS: &str = "/v1/organizations/acme/payment-methods";

async fn a_card_number_is_refused_and_stands_nowhere(database: Database) {
    let (world, folder) = world(database, "card_number").await;
    world.sign_up("acme").await;
    for body in [
        json!({ "token": "4242424242424242", "brand": "visa", "last4": "4242", "exp": "11/2028" }),
        json!({ "number": "4242 4242 4242 4242", "exp": "11/2028", "cvc": "123" }),
    ] {
        let sent = with_key(request(TOKEN, "POST", METHODS, Some(body)), "card");
        let answer = world.send(sent).await;
        assert_eq!(answer.refusal(), (422, "card-number-refused"));
        assert!(!answer.body.to_string().contains("4242"), "{}", answer.body);
    }
    assert_eq!(world.get(METHODS).await.good()["data"], json!([]));
    let stored = database.contents(&world.accounts, folder.path()).await;
    assert!(holds(&stored, "acme Ltd"), "everything was read");
    for number in ["4242424242424242", "4242 4242 4242 4242"] {
        assert!(!holds(&stored, number), "{number}");
    }
}

async fn what_opens_something_stands_nowhere(database: Database) {
    let (world, folder) = world(database, "stored_secrets").await;
    world.sign_up("acme").await;
    let new_key = json!({ "role": "admin", "name": "gateway" });
    let asked = request(TOKEN, "POST", "/v1/organizations/acme/api-keys", Some(new_key));
    let created = world.send(with_key(asked, "once-and-again")).await.good();
    let key = created["key"].as_str().expect("a key");
    world.call(key, "GET", "/v1/organizations/acme", None).await.good();
    let path = sign_in_path(&world).await;
    let opened = world.fetch(Request::get(&path).body(Body::empty()).expect("a request")).await;
    assert_eq!(opened.status, 303);
    let stored = database.contents(&world.accounts, folder.path()).await;
    assert!(holds(&stored, created["id"].as_str().expect("an id")), "the key's row is there");
    assert_eq!(last_part(key).len(), 64, "256 bits");
    for secret in [last_part(key), last_part(&path), "once-and-again", TOKEN] {
        assert!(!holds(&stored, secret), "{secret}");
    }
}

/// What is logged while it lives, by this thread, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn no_secret_of_a_request_reaches_the_log(database: Database) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let (world, _folder) = world(database, "log").await;
    world.sign_up("acme").await;
    let key = world.new_key("acme", "admin").await;
    world.call(&key, "GET", "/v1/organizations/acme", None).await.good();
    let wrong = "odo_key_0123456789abcdef_wrongsecret";
    assert_eq!(world.call(wrong, "GET", "/v1/organizations/acme", None).await.status.as_u16(), 401);
    let card = json!({ "token": "4242424242424242", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    let sent = with_key(request(&key, "POST", METHODS, Some(card)), "idempotency-secret");
    assert_eq!(world.send(sent).await.refusal(), (422, "card-number-refused"));
    let good = json!({ "token": "tok_secret_1", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    world.send(with_key(request(&key, "POST", METHODS, Some(good)), "idempotency-secret")).await.good();
    // A link that signs in, its cookie, and what opens nothing.
    let path = sign_in_path(&world).await;
    let opened = world.fetch(Request::get(&path).body(Body::empty()).expect("a request")).await;
    let cookie = opened.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let page = Request::get("/organizations/acme/billing").header(header::COOKIE, &cookie);
    assert_eq!(world.fetch(page.body(Body::empty()).expect("a request")).await.status, 200);
    let guess = Request::get("/organizations/acme/billing?session=ops_guessedsecret");
    assert_eq!(world.fetch(guess.body(Body::empty()).expect("a request")).await.status, 401);
    for (token, status) in [("formsecret", 401), (TOKEN, 303)] {
        let form = Request::post("/operator/sign-in")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("token={token}")));
        assert_eq!(world.fetch(form.expect("a request")).await.status, status);
    }
    tracing::info!("the log is heard");
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("a text");
    assert!(text.contains("the log is heard"));
    for secret in [
        TOKEN,
        last_part(&key),
        "wrongsecret",
        "4242424242424242",
        "idempotency-secret",
        "tok_secret_1",
        last_part(&path),
        last_part(&cookie),
        "guessedsecret",
        "formsecret",
    ] {
        assert!(!secret.is_empty() && !text.contains(secret), "{secret} stands in the log");
    }
}

/// A link of a portal session.
async fn sign_in_path(world: &World) -> String {
    let opened = world.call(TOKEN, "POST", "/v1/organizations/acme/portal-sessions", None).await.good();
    let url = opened["url"].as_str().expect("a link");
    url.strip_prefix("https://odometer.example").expect("a link of ours").to_owned()
}

/// A key, link or cookie ends with its secret.
fn last_part(text: &str) -> &str {
    text.rsplit('_').next().unwrap_or_default()
}

fn holds(stored: &[u8], text: &str) -> bool {
    stored.windows(text.len()).any(|window| window == text.as_bytes())
}
