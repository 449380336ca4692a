//! Events on their way to webhooks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use base64::Engine;
use ring::hmac;

use super::*;

use database::Value;
use outbox::{Channel, OutboxEvent};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

#[derive(Clone, Default)]
struct Receiver {
    /// Answers still to be given before every further one is 204.
    answers: Arc<Mutex<Vec<StatusCode>>>,
    seen: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let body = String::from_utf8(body.to_vec()).expect("JSON");
    receiver.seen.lock().expect("no panic").push((headers, body));
    let status = receiver.answers.lock().expect("no panic").pop().unwrap_or(StatusCode::NO_CONTENT);
    (status, [("location", "/elsewhere")])
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

async fn listen(answers: &[StatusCode]) -> (Receiver, String) {
    let receiver = Receiver::default();
    receiver.answers.lock().expect("no panic").extend(answers.iter().rev());
    let app = Router::new().fallback(receive).with_state(receiver.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (receiver, url)
}

async fn fixture_with(url: &str) -> Fixture {
    let webhooks = webhook::Settings {
        notices: Some(url.to_owned()),
        sales: None,
        secret: Some(format!("whsec_{}", base64(KEY))),
        allow_private: true,
    };
    Fixture::with(|settings| settings.webhooks = webhooks).await
}

async fn first_event(fixture: &Fixture) -> OutboxEvent {
    let list = fixture.accounts.outbox(Channel::Notices, &Page::new(None, None)).await.unwrap();
    list.data.into_iter().next().expect("an event")
}

/// As if the pause after a failure were over.
async fn wait_no_longer(fixture: &Fixture) {
    let sql = "UPDATE outbox SET next_attempt_ms = 0";
    fixture.accounts.database().execute(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn an_event_is_signed_and_sent_once() {
    let (receiver, url) = listen(&[]).await;
    let fixture = fixture_with(&url).await;
    fixture.sign_up("acme").await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 1);
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let seen = receiver.seen.lock().unwrap();
    let [(headers, body)] = &seen[..] else { panic!("sent once") };
    let header = |name: &str| headers[name].to_str().unwrap();
    let message = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let expected = base64(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), message.as_bytes()).as_ref());
    assert_eq!(header("webhook-signature"), format!("v1,{expected}"));
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json["type"], "organization.created");
    assert_eq!(json["timestamp"], "2026-11-01T09:00:00Z");
    assert_eq!(json["data"]["organization"], "acme");
}

#[tokio::test]
async fn what_is_refused_is_sent_again_under_the_same_id_and_given_up_after_three_days() {
    let redirect = StatusCode::TEMPORARY_REDIRECT;
    let (receiver, url) = listen(&[StatusCode::INTERNAL_SERVER_ERROR, redirect]).await;
    let fixture = fixture_with(&url).await;
    fixture.sign_up("acme").await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let event = first_event(&fixture).await;
    assert_eq!((event.delivery.state.as_str(), event.delivery.attempts), ("pending", 1));
    let error = event.delivery.last_error.unwrap();
    assert_eq!(error, "the webhook answered 500 Internal Server Error");
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0, "not before the pause is over");
    assert_eq!(receiver.seen.lock().unwrap().len(), 1);
    wait_no_longer(&fixture).await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0, "a redirect is not followed");
    wait_no_longer(&fixture).await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 1);
    let ids: Vec<_> =
        receiver.seen.lock().unwrap().iter().map(|(headers, _)| headers["webhook-id"].clone()).collect();
    assert_eq!(ids, vec![ids[0].clone(); 3]);
    assert_eq!(first_event(&fixture).await.delivery.state, "delivered");

    receiver.answers.lock().unwrap().push(StatusCode::GONE);
    fixture.accounts.request_sales(&admin("acme"), "acme", "not this channel").await.unwrap();
    fixture.sign_up("late").await;
    let sql = "UPDATE outbox SET stored_ms = stored_ms - $1";
    fixture.accounts.database().execute(sql, &[Value::from(3 * DAY_MS)]).await.unwrap();
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let list = fixture.accounts.outbox(Channel::Notices, &Page::new(None, None)).await.unwrap();
    assert_eq!(list.data[1].delivery.state, "failed");
}

#[tokio::test]
async fn two_senders_send_an_event_once() {
    let (receiver, url) = listen(&[]).await;
    let fixture = fixture_with(&url).await;
    for number in 0..20 {
        fixture.sign_up(&format!("org-{number}")).await;
    }
    let other = Accounts::open(&fixture.settings).await.unwrap();
    let (one, two) = tokio::join!(fixture.accounts.deliver(), other.deliver());
    assert_eq!(one.unwrap() + two.unwrap(), 20);
    assert_eq!(receiver.seen.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn sales_requests_and_notices_go_each_to_its_own_webhook() {
    let ((sales, sales_url), (notices, notices_url)) = (listen(&[]).await, listen(&[]).await);
    let webhooks = webhook::Settings {
        notices: Some(notices_url),
        sales: Some(sales_url),
        secret: Some(format!("whsec_{}", base64(KEY))),
        allow_private: true,
    };
    let fixture = Fixture::with(|settings| settings.webhooks = webhooks).await;
    fixture.sign_up("acme").await;
    fixture.accounts.request_sales(&admin("acme"), "acme", "A second region, please.").await.unwrap();
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 2);
    let types = |receiver: &Receiver| -> Vec<String> {
        let seen = receiver.seen.lock().unwrap();
        let bodies = seen.iter().map(|(_, body)| serde_json::from_str::<serde_json::Value>(body).unwrap());
        bodies.map(|body| body["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types(&notices), ["organization.created"]);
    assert_eq!(types(&sales), ["sales.requested"]);
    assert!(sales.seen.lock().unwrap()[0].1.contains("A second region, please."));
}

#[tokio::test]
async fn nobody_is_told_where_no_webhook_is_configured() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let event = first_event(&fixture).await;
    assert_eq!((event.delivery.state.as_str(), event.delivery.attempts), ("pending", 0));
}

#[tokio::test]
async fn a_name_with_private_addresses_alone_is_not_called() {
    let (receiver, url) = listen(&[]).await;
    let port = url.parse::<reqwest::Url>().unwrap().port().unwrap();
    let webhooks = webhook::Settings {
        notices: Some(format!("http://localhost:{port}/")),
        secret: Some(base64(KEY)),
        ..webhook::Settings::default()
    };
    let fixture = Fixture::with(|settings| settings.webhooks = webhooks).await;
    fixture.sign_up("acme").await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let error = first_event(&fixture).await.delivery.last_error.unwrap();
    assert!(error.contains("the name has no public address"), "{error}");
    assert!(receiver.seen.lock().unwrap().is_empty());
}
