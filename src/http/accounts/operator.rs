//! What the operator alone sees and does.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ListQuery, Operating, page_of};
use crate::accounts::outbox::{Channel, OutboxEvent};
use crate::accounts::test_clock::TestClock;
use crate::http::extract::{Json, Query};
use crate::http::page::Page;
use crate::http::{App, Problem};

/// How long moving the test clock waits for the figures to come up to it.
const FIGURES_PATIENCE: Duration = Duration::from_secs(10);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(test_clock, set_test_clock))
        .routes(routes!(notices))
        .routes(routes!(sales_requests))
}

/// What the clock says, be it the system's or a test's.
#[utoipa::path(get, path = "/v1/test-clock", tag = "accounts",
    responses((status = OK, body = TestClock), Problem))]
async fn test_clock(State(app): State<App>, _: Operating) -> Result<Answer<TestClock>, Problem> {
    Ok(Answer(TestClock { now: app.accounts.clock().now() }))
}

/// Moves the test clock, never backwards, and does everything that is due by then.
#[utoipa::path(put, path = "/v1/test-clock", tag = "accounts", request_body = TestClock,
    responses((status = OK, body = TestClock), Problem))]
async fn set_test_clock(
    State(app): State<App>,
    Operating(change): Operating,
    Json(request): Json<TestClock>,
) -> Result<Answer<TestClock>, Problem> {
    let was_current = app.snapshots.is_current();
    let answer = app.accounts.set_test_clock(&change, request.now).await;
    let answer = answer.map_err(|error| app.refuse(error))?;
    // So that whoever moved the clock sees figures of the time that he set, not of long before it.
    if was_current {
        app.snapshots.reach(answer.now, FIGURES_PATIENCE).await;
    }
    if let Some(biller) = &app.biller
        && let Err(error) = biller.bill_due().await
    {
        // It is tried again and again, and says there whether it works.
        tracing::warn!(%error, "bill what the test clock made due");
    }
    if let Some(payments) = &app.payments {
        payments.collect_due(None).await.map_err(|error| app.refuse(error))?;
    }
    Ok(Answer(answer))
}

/// What organizations were told: trials that end, changed plans and the like; oldest first.
#[utoipa::path(get, path = "/v1/notices", tag = "accounts", params(ListQuery),
    responses((status = OK, body = Page<OutboxEvent>), Problem))]
async fn notices(
    State(app): State<App>,
    _: Operating,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<OutboxEvent>>, Problem> {
    events(&app, Channel::Notices, &query).await
}

/// What organizations asked sales for; oldest first.
#[utoipa::path(get, path = "/v1/sales-requests", tag = "accounts", params(ListQuery),
    responses((status = OK, body = Page<OutboxEvent>), Problem))]
async fn sales_requests(
    State(app): State<App>,
    _: Operating,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<OutboxEvent>>, Problem> {
    events(&app, Channel::Sales, &query).await
}

async fn events(
    app: &App,
    channel: Channel,
    query: &ListQuery,
) -> Result<Answer<Page<OutboxEvent>>, Problem> {
    let list = app.accounts.outbox(channel, &query.page()?).await.map_err(|error| app.refuse(error))?;
    Ok(Answer(page_of(list)))
}
