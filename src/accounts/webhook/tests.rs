use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::*;
use crate::accounts::Page;
use crate::accounts::database::values;
use crate::accounts::outbox::OutboxEvent;
use crate::accounts::tests::{Fixture, admin};

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
    let webhooks = Settings {
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

#[test]
fn the_signature_is_that_of_the_specifications_example() {
    let settings =
        Settings { secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()), ..Settings::default() };
    let signature = Webhooks::new(&settings).unwrap().sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
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
    fixture.accounts.database().execute(sql, values![GIVEN_UP_AFTER_MS]).await.unwrap();
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
    let port = url.parse::<Url>().unwrap().port().unwrap();
    let webhooks = Settings {
        notices: Some(format!("http://localhost:{port}/")),
        secret: Some(base64(KEY)),
        ..Settings::default()
    };
    let fixture = Fixture::with(|settings| settings.webhooks = webhooks).await;
    fixture.sign_up("acme").await;
    assert_eq!(fixture.accounts.deliver().await.unwrap(), 0);
    let error = first_event(&fixture).await.delivery.last_error.unwrap();
    assert!(error.contains("the name has no public address"), "{error}");
    assert!(receiver.seen.lock().unwrap().is_empty());
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let settings = |url: &str, secret: Option<&str>| Settings {
        sales: Some(url.to_owned()),
        secret: secret.map(str::to_owned),
        ..Settings::default()
    };
    let good = format!("whsec_{}", base64(KEY));
    let new = |settings: &Settings| Webhooks::new(settings).err();
    assert_eq!(new(&settings("https://example.com/hook", Some(&good))), None);
    assert_eq!(new(&Settings::default()), None);
    assert_eq!(new(&settings("example.com", Some(&good))), Some(SettingsError::Url { name: "sales" }));
    assert_eq!(new(&settings("ftp://example.com", Some(&good))), Some(SettingsError::Url { name: "sales" }));
    assert_eq!(new(&settings("https://example.com", None)), Some(SettingsError::NoSecret));
    assert_eq!(new(&settings("https://example.com", Some("whsec_***"))), Some(SettingsError::Secret));
    assert_eq!(new(&settings("https://example.com", Some("whsec_"))), Some(SettingsError::Secret));
    assert_eq!(new(&settings("https://example.com", Some("any words"))), None);
    for url in ["http://127.0.0.1/", "http://[::1]:8080/", "http://10.1.2.3/", "http://2130706433/"] {
        assert_eq!(new(&settings(url, Some(&good))), Some(SettingsError::Private { name: "sales" }), "{url}");
    }
}

#[test]
fn only_public_addresses_are_public() {
    for (address, public) in [
        ("8.8.8.8", true),
        ("172.15.255.255", true),
        ("172.16.0.1", false),
        ("192.168.0.1", false),
        ("169.254.169.254", false),
        ("100.64.0.1", false),
        ("100.128.0.1", true),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
        ("255.255.255.255", false),
        ("198.18.0.1", false),
        ("2606:4700::1111", true),
        ("::1", false),
        ("::", false),
        ("fe80::1", false),
        ("fd00::1", false),
        ("2001:db8::1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::10.0.0.1", false),
        ("2002:7f00:1::", false),
    ] {
        assert_eq!(address::is_public(address.parse::<IpAddr>().unwrap()), public, "{address}");
    }
}

#[test]
fn pauses_grow_and_reach_over_three_days() {
    let pauses: Vec<i64> = (0..20).map(pause_ms).collect();
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(pauses[0], 5_000);
    assert!(pauses.iter().sum::<i64>() > GIVEN_UP_AFTER_MS);
}
