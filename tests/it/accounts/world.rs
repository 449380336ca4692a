//! The API over accounts in a database of their own and usage in another, under one test clock.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use odometer::accounts::{self, Accounts, Caller};
use odometer::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
use odometer::clock::Time;
use odometer::event::{HOUR_MS, Lane, RulesHash};
use odometer::http::{App, Rate, Settings, app_with};
use odometer::rating::PriceBook;
use odometer::snapshot::changes::Changes;
use odometer::snapshot::completeness::Acceptance;
use odometer::snapshot::{Deployment, FailPolicy, Plans, Snapshots, deployment, follow};
use odometer::store::{self, Store, Watermark};
use odometer::telemetry::Readiness;
use odometer::web;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::servers;

pub const TOKEN: &str = "operator-secret";
const PATIENCE: Duration = Duration::from_secs(20);

pub fn at(text: &str) -> i64 {
    text.parse::<Time>().expect("a time").0
}

pub struct World {
    app: Router,
    pub accounts: Arc<Accounts>,
    pub deployment: Arc<Deployment>,
    pub changes: Arc<Changes>,
    pub store: Store,
    /// Of usage.
    pub database: String,
    lane: Lane,
    tenure: u128,
    blocks: u64,
    _stop: DropGuard,
}

/// What a test wants otherwise.
pub struct Wish {
    pub rate: Rate,
    pub book: PriceBook,
    pub fail: FailPolicy,
}

impl Default for Wish {
    fn default() -> Self {
        Self { rate: Settings::DEFAULT_RATE, book: PriceBook::built_in(), fail: FailPolicy::Auto }
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// An answer that is no JSON.
#[derive(Debug)]
pub struct Text {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Text {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).expect("a text")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a text"))
    }
}

impl Answer {
    /// The slug of a problem.
    pub fn slug(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The status and the slug of what was refused.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.slug())
    }

    #[track_caller]
    pub fn good(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }
}

impl World {
    /// `accounts_url`: where accounts are kept.
    pub async fn new(test: &str, accounts_url: String) -> Self {
        Self::with(test, accounts_url, |app, _| app).await
    }

    /// `adjust` adds what else the API needs.
    pub async fn with(
        test: &str,
        accounts_url: String,
        adjust: impl FnOnce(App, &Arc<Accounts>) -> App,
    ) -> Self {
        Self::build(test, accounts_url, Wish::default(), adjust).await
    }

    pub async fn wishing(test: &str, accounts_url: String, wish: Wish) -> Self {
        Self::build(test, accounts_url, wish, |app, _| app).await
    }

    async fn build(
        test: &str,
        accounts_url: String,
        wish: Wish,
        adjust: impl FnOnce(App, &Arc<Accounts>) -> App,
    ) -> Self {
        let (store, store::Settings { database, .. }) = servers::new_store(test).await;
        let mut settings = accounts::Settings::new(accounts_url);
        settings.test_clock = true;
        let accounts = Arc::new(Accounts::open(&settings).await.expect("open accounts"));
        accounts.load_directory().await.expect("load the directory");
        let clock = accounts.clock().clone();
        let shutdown = CancellationToken::new();
        let readiness = Readiness::default();
        let settings = deployment::Settings {
            region: "us".into(),
            topics: vec!["events".to_owned()],
            acceptance: Acceptance { past_ms: 35 * 86_400_000, future_ms: HOUR_MS },
        };
        let changes = Arc::new(Changes::new(false));
        let deployment = Arc::new(Deployment::new(settings, store.clone(), clock.clone()));
        let check = readiness.check("clickhouse");
        tokio::spawn(follow(deployment.clone(), changes.clone(), check, shutdown.clone()));
        let plans = Plans::new(accounts.clone(), wish.book, wish.fail);
        let snapshots =
            Snapshots::new(deployment.clone(), Vec::new(), Vec::new(), changes.clone(), clock.clone())
                .with_plans(plans);
        let settings = Settings {
            operator_token: TOKEN.to_owned(),
            public_url: "https://odometer.example".to_owned(),
            snapshot_interval: Duration::from_millis(50),
            rate: wish.rate,
        };
        let metrics = Arc::new(String::new);
        let state =
            App::new(settings, snapshots, accounts.clone(), readiness, metrics, clock, shutdown.clone());
        let lane = Lane { topic: "events".into(), topic_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), partition: 0 };
        let _stop = shutdown.drop_guard();
        let pages = web::pages(web::Settings { sandbox_payments: true, kafka: None });
        let app = app_with(adjust(state, &accounts), pages);
        Self {
            app,
            accounts,
            deployment,
            changes,
            store,
            database,
            lane,
            tenure: rand::random(),
            blocks: 0,
            _stop,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// An answer that is no JSON.
    pub async fn fetch(&self, request: Request<Body>) -> Text {
        let response = self.app.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Text { status: parts.status.as_u16(), headers: parts.headers, bytes: bytes.to_vec() }
    }

    /// An answer whose body goes on.
    pub async fn open(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.expect("a router never fails")
    }

    /// The status and the slug of a refusal; a body that goes on is not read.
    pub async fn status_of(&self, request: Request<Body>) -> (u16, String) {
        let response = self.app.clone().oneshot(request).await.expect("a router never fails");
        let status = response.status();
        if status.is_success() {
            return (status.as_u16(), String::new());
        }
        let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        (status.as_u16(), body["type"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(request(token, method, path, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(TOKEN, "GET", path, None).await
    }

    pub async fn operator(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(TOKEN, method, path, Some(body)).await
    }

    /// Moves the clock while nobody reads the lane.
    pub async fn pass(&self, now_ms: i64) {
        let moved = self.accounts.set_test_clock(&Caller::operator(), Time(now_ms)).await;
        moved.expect("move the clock");
    }

    pub async fn set_clock(&self, now: &str) {
        self.see_the_end(now).await;
        self.operator("PUT", "/v1/test-clock", serde_json::json!({ "now": now })).await.good();
    }

    /// Whoever reads the lane will have read it to its end at an instant. Said before the clock gets
    /// there: the answer to moving it waits for that.
    pub async fn see_the_end(&self, now: &str) {
        let high = i64::try_from(self.blocks).expect("few blocks");
        let mark = Watermark { lane: self.lane.clone(), high, observed_at_ms: at(now) };
        self.store.write_watermarks(&[mark]).await.expect("write a watermark");
    }

    pub async fn sign_up(&self, id: &str) -> Value {
        let body = serde_json::json!({
            "id": id, "name": format!("{id} Ltd"), "email": format!("billing@{id}.example"), "region": "us",
        });
        self.operator("POST", "/v1/organizations", body).await.good()
    }

    pub async fn new_key(&self, organization: &str, role: &str) -> String {
        let path = format!("/v1/organizations/{organization}/api-keys");
        let body = serde_json::json!({ "role": role, "name": "test" });
        self.operator("POST", &path, body).await.good()["key"].as_str().expect("a key").to_owned()
    }

    /// Publishes a block of one record.
    pub async fn publish(&mut self, counts: &[CountRow], services: &[ServiceRow]) {
        let first_offset = i64::try_from(self.blocks).expect("few blocks");
        self.blocks += 1;
        let hours = counts.iter().map(|count| i64::from(count.hour) * HOUR_MS);
        let times = hours.chain(services.iter().map(|service| service.time_ms));
        let row = LedgerRow {
            lane: self.lane.clone(),
            group: "odometer".to_owned(),
            token: 1,
            tenure: self.tenure,
            sequence: self.blocks,
            block: BlockId(rand::random()),
            kind: BlockKind::Live,
            level: 0,
            first_offset,
            next_offset: first_offset + 1,
            tally: Tally { counted: 1, ..Tally::default() },
            quantity: counts.iter().map(|count| count.value).sum(),
            times: times.clone().min().zip(times.max()),
            window_from: 0,
            leader_epoch: 0,
            digest: rand::random(),
            rules: RulesHash(0),
            loss: String::new(),
        };
        self.store.insert_block(&row, counts, services).await.expect("insert a block");
        self.store.publish(&row).await.expect("publish a block");
    }

    /// An answer once it says so.
    #[track_caller]
    pub fn once<'a>(
        &'a self,
        path: &'a str,
        pointer: &'a str,
        expected: impl Into<Value>,
    ) -> impl Future<Output = Value> + 'a {
        let expected = expected.into();
        let place = std::panic::Location::caller();
        async move {
            let mut last = Value::Null;
            let asking = async {
                loop {
                    let answer = self.get(path).await;
                    if answer.status.is_success() && answer.body.pointer(pointer) == Some(&expected) {
                        return answer.body;
                    }
                    last = answer.body;
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            };
            let answer = tokio::time::timeout(PATIENCE, asking).await;
            answer.unwrap_or_else(|_| panic!("{place}: {path} {pointer} is not {expected}: {last:#}"))
        }
    }
}

pub fn request(token: &str, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    request.body(body).expect("a request")
}

/// API calls in region us, in the hour of an instant.
pub fn calls(organization: &str, time: &str, value: u128) -> CountRow {
    CountRow {
        organization: organization.to_owned(),
        meter: "api_calls".to_owned(),
        region: "us".to_owned(),
        hour: u32::try_from(at(time) / HOUR_MS).expect("an hour"),
        fold: Fold::Sum,
        value,
    }
}

/// So many services that were made at an instant, the first of them published.
pub fn services(organization: &str, time: &str, number: usize) -> Vec<ServiceRow> {
    let service = |index: usize| ServiceRow {
        organization: organization.to_owned(),
        region: "us".to_owned(),
        service: format!("service-{index}"),
        version: at(time),
        time_ms: at(time),
        source: "catalog".to_owned(),
        id: format!("{index}-{time}"),
        exists: Some(true),
        published: Some(index == 0),
        name: None,
    };
    (0..number).map(service).collect()
}
