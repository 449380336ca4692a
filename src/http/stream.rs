//! An organization's usage as it changes, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Readable;
use super::{App, Problem, caller};
use crate::clock;
use crate::snapshot::Usage;

/// A comment is sent so often, so that proxies keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What changes by time alone (the month, whether figures are fresh) is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Whether the key or session is still good is asked so often.
const ASK_EVERY: Duration = Duration::from_secs(10);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// The current month's usage now and whenever it changes, one event each. The data of an event is
/// what `GET …/usage` answers.
#[utoipa::path(get, path = "/v1/organizations/{org}/usage/stream", tag = "usage",
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = Usage, content_type = "text/event-stream"), Problem))]
async fn stream(
    State(app): State<App>,
    Readable(organization): Readable,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        return Err(Problem::unavailable(
            "overloaded",
            "Too many streams are open",
            "The server keeps as many streams open as it can; try again as Retry-After says.",
        ));
    };
    let month = app.snapshots.current_month();
    if app.snapshots.usage(&organization, month).await?.is_none() {
        return Err(Problem::organization_not_found(&organization));
    }
    let events = Sse::new(events(app, organization, headers, permit));
    Ok(events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn events(
    app: App,
    organization: Arc<str>,
    headers: HeaderMap,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _permit = permit;
        let mut changes = app.snapshots.watch(&organization);
        let mut sent = None;
        let mut asked_at = clock::instant();
        while !app.shutdown.is_cancelled() {
            if clock::instant() - asked_at >= ASK_EVERY {
                asked_at = clock::instant();
                if !caller::may_still_read(&app, &headers, &organization).await {
                    break;
                }
            }
            changes.mark_unchanged();
            if let Some(usage) = changed_usage(&app, &organization, &mut sent).await {
                yield Ok(event(&usage));
                tokio::select! {
                    () = app.shutdown.cancelled() => break,
                    () = tokio::time::sleep(app.snapshot_interval) => {}
                }
            }
            tokio::select! {
                () = app.shutdown.cancelled() => break,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// The usage where it says something else than what was sent last.
async fn changed_usage(app: &App, organization: &str, sent: &mut Option<u64>) -> Option<Usage> {
    match app.snapshots.usage(organization, app.snapshots.current_month()).await {
        Ok(usage) => {
            let usage = usage?;
            let content = Some(usage.content_hash());
            (std::mem::replace(sent, content) != content).then_some(usage)
        }
        Err(error) => {
            // The stream goes on: what was sent holds until something newer is known.
            tracing::debug!(organization, %error, "read usage for a stream");
            None
        }
    }
}

fn event(usage: &Usage) -> Event {
    let data = serde_json::to_string(usage).expect("usage is plain data");
    Event::default().id(usage.as_of.to_string()).data(data)
}
