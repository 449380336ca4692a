//! The API: `app(state)` is a router without a listener, `serve` gives it one.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::accounts::Accounts;
use crate::billing::Biller;
use crate::billing::payment::Payments;
use crate::clock::Clock;
use crate::snapshot::Snapshots;
use crate::telemetry::{Readiness, RenderMetrics};

mod accounts;
mod caller;
mod entitlement;
pub mod extract;
mod health;
mod idempotency;
mod invoices;
mod listen;
mod openapi;
pub mod page;
mod payments;
mod problem;
mod rate;
pub mod session;
mod series;
mod shield;
mod stream;
mod usage;
mod webhooks;

pub use caller::{Caller, Role, Tokens};
pub use listen::{ListenError, bind, serve};
pub use problem::Problem;
pub use rate::{Peer, Rate, Rates, SignIns};
pub use series::csv_field;

/// Bytes that a request's body may have; the largest ones describe a few regions or a message.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// A request that is not answered by then never will be.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that are worked on at once; each holds some tens of kilobytes.
const MOST_REQUESTS: usize = 1024;
/// Event streams that are open at once, beside the requests.
const MOST_STREAMS: usize = 4096;

/// What decides how the API behaves.
#[derive(Clone)]
pub struct Settings {
    /// Not empty.
    pub operator_token: String,
    /// Where clients reach this server, for links: `http://HOST:PORT`.
    pub public_url: String,
    /// A stream's events follow one another at this distance at least.
    pub snapshot_interval: Duration,
    pub rate: Rate,
}

impl Settings {
    /// A gateway that asks before every request of a busy organization stays below it.
    pub const DEFAULT_RATE: Rate = Rate { per_second: 200, burst: 1000 };
}

/// How the process is.
#[derive(Clone)]
pub struct Operation {
    readiness: Readiness,
    render_metrics: RenderMetrics,
}

impl FromRef<App> for Operation {
    fn from_ref(app: &App) -> Self {
        app.operation.clone()
    }
}

/// What every handler may use. Each layer and route of a request clones it: one count goes up.
#[derive(Clone)]
pub struct App(Arc<Shared>);

#[derive(Clone)]
pub struct Shared {
    snapshots: Snapshots,
    accounts: Arc<Accounts>,
    operation: Operation,
    clock: Clock,
    tokens: Tokens,
    rates: Arc<Rates>,
    sign_ins: Arc<SignIns>,
    public_url: Arc<str>,
    snapshot_interval: Duration,
    streams: Arc<Semaphore>,
    /// `None`: nothing is charged here.
    payments: Option<Payments>,
    biller: Option<Arc<Biller>>,
    shutdown: CancellationToken,
}

impl App {
    /// `shutdown` ends the event streams.
    pub fn new(
        settings: Settings,
        snapshots: Snapshots,
        accounts: Arc<Accounts>,
        readiness: Readiness,
        render_metrics: RenderMetrics,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            snapshots,
            accounts,
            operation: Operation { readiness, render_metrics },
            clock,
            tokens: Tokens::new(&settings.operator_token),
            rates: Arc::new(Rates::new(settings.rate)),
            sign_ins: Arc::default(),
            public_url: settings.public_url.into(),
            snapshot_interval: settings.snapshot_interval,
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            payments: None,
            biller: None,
            shutdown,
        }))
    }

    /// Has payment methods and the provider's events taken.
    pub fn with_biller(self, biller: Arc<Biller>) -> Self {
        Self(Arc::new(Shared { biller: Some(biller), ..Arc::unwrap_or_clone(self.0) }))
    }

    pub fn with_payments(self, payments: Payments) -> Self {
        Self(Arc::new(Shared { payments: Some(payments), ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What pages are made of.
impl App {
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    pub fn is_operator_token(&self, token: &str) -> bool {
        self.tokens.caller(token).is_some()
    }

    /// A place among the open streams, and what ends them; `None` where there are too many.
    pub fn open_stream(&self) -> Option<StreamPermit> {
        let permit = self.streams.clone().try_acquire_owned().ok()?;
        Some(StreamPermit {
            _place: permit,
            shutdown: self.shutdown.clone(),
            interval: self.snapshot_interval,
        })
    }
}

/// An event stream's place among those that are open.
pub struct StreamPermit {
    _place: OwnedSemaphorePermit,
    /// Ends the stream.
    pub shutdown: CancellationToken,
    /// Events follow one another at this distance at least.
    pub interval: Duration,
}

/// The whole API.
pub fn app(app: App) -> Router {
    app_with(app, Router::new())
}

/// The whole API, and pages beside it on the same listener.
pub fn app_with(app: App, pages: Router<App>) -> Router {
    let (router, document) = routes(&app).split_for_parts();
    let document = openapi::finish(document, &app.public_url);
    router
        .merge(openapi::route(&document))
        .merge(shielded(pages))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(shield::refuse_zero_bytes))
        .layer(CatchPanicLayer::custom(shield::panicked))
        .layer(from_fn(shield::observe))
        .layer(map_response(no_store))
        .with_state(app)
}

/// Health and metrics alone, for a process that answers nothing else.
pub fn operation(readiness: Readiness, render_metrics: RenderMetrics) -> Router {
    let (router, _) = health::routes().split_for_parts();
    router
        .fallback(not_found)
        .layer(from_fn_with_state(REQUEST_TIMEOUT, shield::end_in_time))
        .with_state(Operation { readiness, render_metrics })
}

/// Every route, each with its description: one that is not described can't be added.
fn routes(app: &App) -> OpenApiRouter<App> {
    let organizations = OpenApiRouter::new()
        .merge(usage::routes())
        .merge(series::routes())
        .merge(stream::routes())
        .merge(entitlement::routes())
        .merge(accounts::routes())
        .merge(invoices::routes())
        .merge(payments::routes())
        .route_layer(from_fn_with_state(app.clone(), idempotency::once))
        .route_layer(from_fn_with_state(app.clone(), caller::authenticate))
        .merge(webhooks::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(REQUEST_TIMEOUT, shield::end_in_time))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(MOST_REQUESTS)), shield::shed));
    OpenApiRouter::with_openapi(openapi::document()).merge(health::routes()).merge(organizations)
}

/// What keeps the server alive where pages are asked for.
fn shielded(pages: Router<App>) -> Router<App> {
    pages
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(REQUEST_TIMEOUT, shield::end_in_time))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(MOST_REQUESTS)), shield::shed))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The route does not take this method",
        format!("{} does not take {method}; the header Allow names what it takes.", uri.path()),
    )
}

/// Usage is private and changes all the time.
async fn no_store(mut response: Response) -> Response {
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
