//! The API without a listener, over a real ClickHouse: blocks are published, answers change.

mod command;
mod completeness;
mod description;
pub mod ledger;
mod listener;
mod problems;
mod series;
pub mod stream;
mod topic;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use odometer::accounts::{self, Accounts};
use odometer::clock::{Clock, Time};
use odometer::http::{App, Rate, Settings, app};
use odometer::snapshot::changes::Changes;
use odometer::snapshot::completeness::Acceptance;
use odometer::snapshot::{Deployment, Snapshots, deployment, follow};
use odometer::store::{self, Store};
use odometer::telemetry::Readiness;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::servers;
use ledger::LaneWriter;

const TOKEN: &str = "operator-secret";
const TOPIC: &str = "events";
/// The instant at which the tests' clock stands.
const NOW: &str = "2026-11-23T18:00:01Z";
const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPTANCE: Acceptance = Acceptance { past_ms: 35 * DAY_MS, future_ms: 3_600_000 };
const DAY_MS: i64 = 86_400_000;

fn time(text: &str) -> i64 {
    text.parse::<Time>().expect("a time").0
}

/// An API over a database of its own, with a clock that stands still.
struct Service {
    app: Router,
    store: Store,
    deployment: Arc<Deployment>,
    snapshots: Snapshots,
    changes: Arc<Changes>,
    readiness: Readiness,
    now: Arc<AtomicI64>,
    shutdown: CancellationToken,
    _stop: DropGuard,
    _folder: TempDir,
}

/// What a test wants otherwise.
struct Wish {
    topics: Vec<String>,
    meters: Vec<Arc<str>>,
    /// Whether changes are collected for the snapshots topic.
    collect: bool,
    /// Another region's database.
    other: Option<(&'static str, store::Settings)>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { topics: vec![TOPIC.to_owned()], meters: vec!["tokens".into()], collect: false, other: None }
    }
}

impl Service {
    async fn new(test: &str) -> Self {
        Self::with(test, Wish::default()).await
    }

    async fn with(test: &str, wish: Wish) -> Self {
        let (store, _) = servers::new_store(test).await;
        Self::over(store, wish).await
    }

    /// Over a database that may hold something already.
    async fn over(store: Store, wish: Wish) -> Self {
        let now = Arc::new(AtomicI64::new(time(NOW)));
        let clock = Clock::Test(now.clone());
        let changes = Arc::new(Changes::new(wish.collect));
        let shutdown = CancellationToken::new();
        let readiness = Readiness::default();
        let deploy = |region: &str, store: Store| {
            let settings = deployment::Settings {
                region: region.into(),
                topics: wish.topics.clone(),
                acceptance: ACCEPTANCE,
            };
            let deployment = Arc::new(Deployment::new(settings, store, clock.clone()));
            let check = readiness.check(&format!("clickhouse-{region}"));
            tokio::spawn(follow(deployment.clone(), changes.clone(), check, shutdown.clone()));
            deployment
        };
        let local = deploy("us", store.clone());
        let others = wish
            .other
            .iter()
            .map(|(region, settings)| deploy(region, Store::new(settings).expect("settings of a server")));
        let snapshots =
            Snapshots::new(local.clone(), others.collect(), wish.meters, changes.clone(), clock.clone());
        let settings = Settings {
            operator_token: TOKEN.to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            snapshot_interval: Duration::from_millis(50),
            rate: Rate { per_second: 200, burst: 1000 },
        };
        let metrics = Arc::new(|| "odometer_up 1\n".to_owned());
        let folder = TempDir::new().expect("make a folder");
        let url = format!("sqlite://{}", folder.path().join("odometer.db").display());
        let accounts = Accounts::open(&accounts::Settings::new(url)).await.expect("open accounts");
        let app = app(App::new(
            settings,
            snapshots.clone(),
            Arc::new(accounts),
            readiness.clone(),
            metrics,
            clock,
            shutdown.clone(),
        ));
        let service = Self {
            app,
            store,
            deployment: local,
            snapshots,
            changes,
            readiness,
            now,
            _stop: shutdown.clone().drop_guard(),
            shutdown,
            _folder: folder,
        };
        eventually("the first reading", || async {
            let checks = service.readiness.report();
            let waiting = checks.iter().find(|check| check.name == "clickhouse-us" && check.reason.is_some());
            waiting.map_or(Ok(()), |check| Err(format!("{check:?}")))
        })
        .await;
        service
    }

    fn lane(&self, partition: i32) -> LaneWriter {
        LaneWriter::new(&self.store, TOPIC, "AAAAAAAAAAAAAAAAAAAAAA", partition)
    }

    fn set_now(&self, text: &str) {
        self.now.store(time(text), Ordering::Release);
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("a text");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(authorized(path)).await
    }

    /// The usage of an organization's current month once it says so.
    async fn usage_once(&self, organization: &str, pointer: &str, expected: impl Into<Value>) -> Value {
        let path = format!("/v1/organizations/{organization}/usage");
        self.json_once(&path, pointer, expected).await
    }

    async fn json_once(&self, path: &str, pointer: &str, expected: impl Into<Value>) -> Value {
        let expected = expected.into();
        eventually(path, || async {
            let answer = self.get(path).await;
            let body = answer.json();
            let found = body.pointer(pointer).cloned();
            if answer.status == StatusCode::OK && found.as_ref() == Some(&expected) {
                Ok(body)
            } else {
                Err(format!("{} {body}, {pointer} is to be {expected}", answer.status))
            }
        })
        .await
    }
}

fn authorized(path: &str) -> Request<Body> {
    request("GET", path, Some(TOKEN))
}

fn request(method: &str, path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("a request")
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).map_or("", |value| value.to_str().expect("a text"))
    }

    /// The slug of a problem, once everything about it is as every problem is.
    #[track_caller]
    fn problem(&self) -> String {
        let document = self.json();
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json", "{self:?}");
        assert_eq!(document["status"], self.status.as_u16(), "{self:?}");
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {self:?}");
        }
        document["type"].as_str().expect("a slug").to_owned()
    }
}

/// Asks until the answer is good.
async fn eventually<T, F: Future<Output = Result<T, String>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let mut last = String::new();
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("wait for {what}: at last {last}"))
}
