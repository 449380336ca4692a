//! What requests may look like, and what becomes of those that can't be taken.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::database::{Database, on_both_databases};
use super::roles::routes;
use super::world::{Answer, TOKEN, World, request};

on_both_databases! {
    a_mutation_with_a_key_is_done_once_and_answered_again,
    a_sign_up_that_fails_half_way_leaves_nothing,
    a_license_is_verified_by_its_bytes_alone,
    bad_requests_are_told_where_they_are_wrong,
    no_text_makes_a_request_fail,
}

pub async fn world(database: Database, test: &str) -> (World, tempfile::TempDir) {
    let (url, folder) = database.create(test).await;
    let world = World::new(test, url).await;
    world.set_clock("2026-11-01T09:00:00Z").await;
    (world, folder)
}

pub fn sign_up(id: &str) -> Value {
    json!({ "id": id, "name": "Acme", "email": "billing@acme.example", "region": "us" })
}

pub fn with_key(mut request: Request<Body>, key: &str) -> Request<Body> {
    let name = HeaderName::from_static("idempotency-key");
    request.headers_mut().insert(name, HeaderValue::from_str(key).expect("a header"));
    request
}

async fn a_mutation_with_a_key_is_done_once_and_answered_again(database: Database) {
    let (world, _folder) = world(database, "idempotency").await;
    let post = async |key: &str, body: Value| -> Answer {
        world.send(with_key(request(TOKEN, "POST", "/v1/organizations", Some(body)), key)).await
    };
    let first = post("one", sign_up("acme")).await;
    assert_eq!(first.status.as_u16(), 201);
    let again = post("one", sign_up("acme")).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(post("one", sign_up("other")).await.refusal(), (422, "idempotency-mismatch"));
    assert_eq!(post("two", sign_up("acme")).await.refusal(), (409, "organization-exists"));
    // What was refused changed nothing, so its key is free.
    assert_eq!(post("two", sign_up("other")).await.status.as_u16(), 201);
    assert_eq!(post("", sign_up("third")).await.refusal(), (400, "invalid-idempotency-key"));

    let path = "/v1/organizations/acme/api-keys";
    let key = || request(TOKEN, "POST", path, Some(json!({ "role": "viewer", "name": "dashboard" })));
    let created = world.send(with_key(key(), "three")).await.good();
    assert_eq!(world.send(with_key(key(), "three")).await.good(), created, "also what is shown once");
    let listed = world.get(path).await.good();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    assert!(!listed.to_string().contains(created["key"].as_str().unwrap()));

    let place = format!("{path}/{}", created["id"].as_str().unwrap());
    for _ in 0..2 {
        let deleted = world.send(with_key(request(TOKEN, "DELETE", &place, None), "four")).await;
        assert_eq!((deleted.status.as_u16(), deleted.body), (204, Value::Null));
    }
    world.set_clock("2026-11-02T09:00:00Z").await;
    assert_eq!(post("one", sign_up("later")).await.status.as_u16(), 201, "a day later the key is free");
}

async fn a_sign_up_that_fails_half_way_leaves_nothing(database: Database) {
    let (world, _folder) = world(database, "half_sign_up").await;
    world.sign_up("before").await;
    let state = async || {
        let log = world.accounts.verify_log().await.unwrap().expect("the log is whole");
        let licenses = world.accounts.database().fetch_all("SELECT organization FROM licenses", &[]).await;
        (log, licenses.expect("read").len())
    };
    let before = state().await;
    let post =
        || world.send(with_key(request(TOKEN, "POST", "/v1/organizations", Some(sign_up("acme"))), "one"));
    // Notices are the last that a sign-up writes.
    let rename = async |sql: &'static str| world.accounts.database().execute(sql, &[]).await.expect("rename");
    rename("ALTER TABLE outbox RENAME TO away").await;
    let failed = post().await;
    assert!(failed.status.is_server_error(), "{} {}", failed.status, failed.body);
    rename("ALTER TABLE away RENAME TO outbox").await;
    assert_eq!(world.get("/v1/organizations/acme").await.refusal(), (404, "organization-not-found"));
    assert_eq!(state().await, before);
    assert_eq!(post().await.status.as_u16(), 201, "the same request, now");
    assert_eq!(state().await, (before.0 + 1, before.1 + 1));
}

async fn a_license_is_verified_by_its_bytes_alone(database: Database) {
    let (world, _folder) = world(database, "license_bytes").await;
    world.sign_up("acme").await;
    let runtime = world.new_key("acme", "runtime").await;
    let license = world.call(&runtime, "GET", "/v1/organizations/acme/license", None).await.good();
    let keys = world.call(&runtime, "GET", "/v1/license-keys", None).await.good();
    let keys = keys["data"].as_array().expect("a list");
    let key = keys.iter().find(|key| key["version"] == license["version"]).expect("its key");
    let bytes =
        |text: &Value| STANDARD.decode(text.as_str().expect("a text")).expect("base64 with its padding");
    let (public_key, signature) = (bytes(&key["public_key"]), bytes(&license["signature"]));
    assert_eq!((public_key.len(), signature.len()), (32, 64));
    let payload = license["payload"].as_str().expect("a JSON text as a string");
    let public_key = UnparsedPublicKey::new(&ED25519, public_key);
    public_key.verify(payload.as_bytes(), &signature).expect("the payload's own bytes are signed");
    let other = payload.replacen("acme", "zulu", 1);
    public_key.verify(other.as_bytes(), &signature).expect_err("and no others");

    let mut said: Value = serde_json::from_str(payload).expect("JSON");
    let license_key = said["license_key"].take();
    assert_eq!(license_key.as_str().map(str::len), Some(32));
    let expected = json!({
        "customer": "acme Ltd", "organization": "acme",
        "license_creation_date": "2026-11-01T09:00:00Z", "license_expiration_date": "2027-11-01T09:00:00Z",
        "license_key": null, "admin_seats": null, "dataplanes": null,
        "product_subscription": "Plus", "support_plan": "Business",
    });
    assert_eq!(said, expected);
}

async fn bad_requests_are_told_where_they_are_wrong(database: Database) {
    let (world, _folder) = world(database, "bad_requests").await;
    world.sign_up("acme").await;
    let refused = async |method: &str, path: &str, body: Value| {
        let answer = world.operator(method, path, body).await;
        let pointer = answer.body["errors"][0]["pointer"].as_str().map(str::to_owned);
        (answer.status.as_u16(), answer.slug().to_owned(), pointer)
    };
    let case = |status: u16, slug: &str, pointer: Option<&str>| {
        (status, slug.to_owned(), pointer.map(str::to_owned))
    };
    let organizations = "/v1/organizations";
    let mut wrong = sign_up("a b");
    assert_eq!(
        refused("POST", organizations, wrong.clone()).await,
        case(422, "invalid-request", Some("/id"))
    );
    wrong = sign_up("x");
    wrong["region"] = json!("US");
    assert_eq!(
        refused("POST", organizations, wrong.clone()).await,
        case(422, "invalid-request", Some("/region"))
    );
    wrong = sign_up("x");
    wrong["colour"] = json!("red");
    assert_eq!(refused("POST", organizations, wrong).await, case(400, "invalid-body", Some("/colour")));
    assert_eq!(
        refused("PUT", "/v1/organizations/acme/plan", json!({ "plan": "gold" })).await,
        case(400, "invalid-body", Some("/plan"))
    );
    assert_eq!(
        refused("PUT", "/v1/organizations/acme/regions", json!({ "regions": [] })).await,
        case(422, "invalid-request", Some("/regions"))
    );
    assert_eq!(
        refused("PUT", "/v1/test-clock", json!({ "now": "2026-11-01T08:59:59Z" })).await,
        case(409, "clock-backwards", None)
    );
    assert_eq!(
        refused("PUT", "/v1/test-clock", json!({ "now": "noon" })).await,
        case(400, "invalid-body", Some("/now"))
    );
    let meter = world.get("/v1/organizations/acme/entitlements/apples").await;
    assert_eq!(meter.refusal(), (404, "meter-not-found"));
    let nobody = world.get("/v1/organizations/nobody/entitlements/api_calls").await;
    assert_eq!(nobody.refusal(), (404, "organization-not-found"));
    let limit = world.get("/v1/organizations/acme/api-keys?limit=0").await;
    assert_eq!(limit.refusal(), (400, "invalid-query"));
}

/// Postgres takes no text with a zero byte, SQLite any.
async fn no_text_makes_a_request_fail(database: Database) {
    let (world, _folder) = world(database, "odd_texts").await;
    world.sign_up("acme").await;
    let cursor = URL_SAFE_NO_PAD.encode(r#""\u0000""#);
    for path in ["api-keys", "payment-methods", "portal-sessions", "invoices"] {
        let answer = world.get(&format!("/v1/organizations/acme/{path}?cursor={cursor}")).await;
        assert_eq!(answer.refusal(), (400, "invalid-cursor"), "{path}");
    }
    for route in routes(&world).await {
        for text in ["a%00b", "%00", "%F0%9F%92%B6", "a%20b", "%27", "x".repeat(5000).as_str()] {
            for braces in ["{org}", "{id}", "{number}", "{meter}"] {
                if !route.path.contains(braces) {
                    continue;
                }
                let place = route.path.replace(braces, text).replace("{org}", "acme");
                let asked = request(TOKEN, &route.method.to_uppercase(), &place, None);
                let (status, slug) = world.status_of(asked).await;
                assert!(status < 500, "{} {place}: {status} {slug}", route.method);
            }
        }
    }
    let odd = "a\0b";
    let organization = "/v1/organizations/acme";
    for (method, path, body) in [
        (
            "POST",
            "/v1/organizations".to_owned(),
            json!({ "id": odd, "name": odd, "email": odd, "region": odd }),
        ),
        ("POST", format!("{organization}/sales-requests"), json!({ "message": odd })),
        ("POST", format!("{organization}/api-keys"), json!({ "role": "admin", "name": odd })),
        (
            "POST",
            format!("{organization}/payment-methods"),
            json!({ "token": odd, "brand": odd, "last4": odd, "exp": odd }),
        ),
        ("PUT", format!("{organization}/regions"), json!({ "regions": [odd] })),
        ("POST", format!("{organization}/invoices/2026-000001/void"), json!({ "reason": odd })),
    ] {
        let answer = world.operator(method, &path, body).await;
        assert_eq!(answer.refusal(), (422, "invalid-request"), "{method} {path}: {}", answer.body);
    }
}
