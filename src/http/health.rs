//! Whether the process is alive, and whether it does its work.

use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Operation;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Operation: FromRef<S>,
{
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Alive: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = OK, body = Health)))]
async fn healthz() -> Response {
    axum::Json(Health { status: "alive" }).into_response()
}

/// What holds and what does not.
#[derive(Serialize, ToSchema)]
pub struct ReadinessReport {
    pub ready: bool,
    pub checks: Vec<Check>,
}

#[derive(Serialize, ToSchema)]
pub struct Check {
    #[schema(example = "kafka")]
    pub name: String,
    pub ready: bool,
    /// Why it is not ready; null where it is.
    pub reason: Option<String>,
}

/// Ready: connected, assigned and flushing, as far as this process does such work.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = OK, description = "Every check holds", body = ReadinessReport),
        (status = SERVICE_UNAVAILABLE, description = "Some check does not hold", body = ReadinessReport),
    ))]
async fn readyz(State(operation): State<Operation>) -> Response {
    let checks: Vec<Check> = operation
        .readiness
        .report()
        .into_iter()
        .map(|state| Check { name: state.name, ready: state.reason.is_none(), reason: state.reason })
        .collect();
    let ready = checks.iter().all(|check| check.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(ReadinessReport { ready, checks })).into_response()
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = OK, body = String, content_type = "text/plain")))]
async fn metrics(State(operation): State<Operation>) -> Response {
    ([(header::CONTENT_TYPE, PROMETHEUS)], (operation.render_metrics)()).into_response()
}
