//! The page's own stream: the parts of the page that changed, as server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;

use super::billing::{CHART, DAYS, drawn, usage, whole_month};
use super::chart::Charts;
use super::figures::Figures;
use super::visitor::{Refusal, Visitor, admitted};
use crate::clock;
use crate::event::API_CALLS;
use crate::http::{App, Problem, StreamPermit};
use crate::snapshot::Usage;

/// A comment is sent so often, so that proxies keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What changes by time alone is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Whether the session is still open is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(10);

pub async fn stream(
    State(app): State<App>,
    Extension(charts): Extension<Arc<Charts>>,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let Some(permit) = app.open_stream() else {
        let detail = "The server keeps as many streams open as it can; figures come when the page is loaded.";
        return Err(Problem::unavailable("overloaded", "Too many streams are open", detail).into());
    };
    let watching = Watching { app, charts, organization: visitor.organization, headers };
    let events = Sse::new(events(watching, permit));
    Ok(events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// What a stream tells of, and whom.
struct Watching {
    app: App,
    charts: Arc<Charts>,
    organization: Arc<str>,
    headers: HeaderMap,
}

impl Watching {
    async fn is_over(&self) -> bool {
        admitted(&self.app, &self.headers, &self.organization).await.is_err()
    }

    async fn parts(&self, usage: &Usage) -> BTreeMap<&'static str, String> {
        let snapshots = self.app.snapshots();
        let calls = snapshots.entitlement(&self.organization, API_CALLS).await.ok();
        let whole_month = match usage.trial {
            Some(_) => whole_month(&self.app, &self.organization).await.ok().flatten(),
            None => None,
        };
        let figures = Figures { usage, calls: calls.as_ref(), whole_month: whole_month.as_ref() };
        let mut parts: BTreeMap<_, _> =
            figures.parts().into_iter().map(|(id, markup)| (id, markup.into_string())).collect();
        let now = self.app.clock().now();
        let chart = self.charts.chart(snapshots, &self.organization, usage.month, now).await;
        if chart.is_ok() {
            let (bars, days) = drawn(chart);
            parts.extend([(CHART, bars.into_string()), (DAYS, days.into_string())]);
        }
        parts
    }
}

fn events(watching: Watching, permit: StreamPermit) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut changes = watching.app.snapshots().watch(&watching.organization);
        let mut sent = BTreeMap::new();
        let mut asked_at = clock::instant();
        while !permit.shutdown.is_cancelled() {
            if due(&mut asked_at) && watching.is_over().await {
                break;
            }
            changes.mark_unchanged();
            if let Ok(usage) = usage(&watching.app, &watching.organization).await {
                let parts = watching.parts(&usage).await;
                let changed: BTreeMap<_, _> =
                    parts.iter().filter(|(id, html)| sent.get(*id) != Some(*html)).collect();
                if !changed.is_empty() {
                    yield Ok(Event::default().data(serde_json::to_string(&changed).expect("texts by name")));
                }
                sent = parts;
            }
            tokio::select! {
                () = permit.shutdown.cancelled() => break,
                () = tokio::time::sleep(permit.interval) => {}
            }
            tokio::select! {
                () = permit.shutdown.cancelled() => break,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn due(asked_at: &mut Instant) -> bool {
    let due = clock::instant() - *asked_at >= ASK_EVERY;
    if due {
        *asked_at = clock::instant();
    }
    due
}
