//! What keeps a server alive under load: too much at once is refused, too long is ended, a panic
//! costs one request.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Response as HttpResponse, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::Problem;
use crate::clock;

#[cfg(test)]
mod tests;

/// Refuses a request where as many as can be worked on at once are under way.
pub async fn shed(State(limit): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = limit.try_acquire() else {
        metrics::counter!("odometer_http_shed_total").increment(1);
        return Problem::unavailable(
            "overloaded",
            "Too much is being asked at once",
            "The server works on as many requests as it can; try again as Retry-After says.",
        )
        .into_response();
    };
    next.run(request).await
}

/// Refuses a path with a zero byte: nothing has such a name, and Postgres can't be asked for it.
pub async fn refuse_zero_bytes(request: Request, next: Next) -> Response {
    if request.uri().path().contains("%00") {
        let detail = "No name in a path has a zero byte (%00).";
        return Problem::bad_request("invalid-path", "The path can't be read", detail).into_response();
    }
    next.run(request).await
}

/// Ends a request that takes too long. A stream's events come after its head and are not concerned.
pub async fn end_in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => timed_out(limit).into_response(),
    }
}

fn timed_out(limit: Duration) -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        "The request took too long",
        format!("It was not done within {} s.", limit.as_secs()),
    )
    .retry_after(Duration::from_secs(1))
}

/// Answers for a handler that panicked.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> HttpResponse<Body> {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "answer a request: a handler panicked");
    Problem::internal().into_response()
}

/// Counts requests and how long they took, by route and status.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = clock::instant();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = [("route", route.clone()), ("method", method.to_owned()), ("status", status)];
    metrics::counter!("odometer_http_requests_total", &labels).increment(1);
    metrics::histogram!("odometer_http_request_seconds", "route" => route)
        .record((clock::instant() - started).as_secs_f64());
    response
}

/// Clients may make methods up: a label has few values.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
