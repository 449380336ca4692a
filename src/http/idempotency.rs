//! `Idempotency-Key`: a mutation that is sent again is answered again, not done again.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::extract::body_too_large;
use super::{App, Caller, MAX_BODY_BYTES, Problem};
use crate::accounts::AccountError;
use crate::accounts::idempotency::{Begin, Pending, StoredAnswer};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key.
const LONGEST_KEY: usize = 255;

/// Runs a mutation that carries a key once. What succeeded is answered again for a day; what was
/// refused changed nothing, and runs again.
pub async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let mutates = matches!(*request.method(), Method::POST | Method::PUT | Method::DELETE | Method::PATCH);
    match request.headers().get(KEY) {
        Some(key) if mutates => match key_of(key) {
            Ok(key) => run(&app, &key, request, next).await.unwrap_or_else(IntoResponse::into_response),
            Err(problem) => problem.into_response(),
        },
        _ => next.run(request).await,
    }
}

fn key_of(value: &HeaderValue) -> Result<String, Problem> {
    let key = value.to_str().ok().filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    key.map(str::to_owned).ok_or_else(|| {
        Problem::bad_request(
            "invalid-idempotency-key",
            "The idempotency key can't be taken",
            "A key has 1 to 255 printable ASCII characters; a random UUID is a good one.",
        )
    })
}

async fn run(app: &App, key: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| body_too_large())?;
    let scope = parts.extensions.get::<Caller>().map(|caller| caller.actor().to_string());
    let scope = scope.ok_or_else(Problem::internal)?;
    let mut content = format!("{} {}\n", parts.method, parts.uri).into_bytes();
    content.extend_from_slice(&body);
    let begin = app.accounts.idempotent(&scope, key, &content).await;
    match begin.map_err(|error| app.refuse(error.into()))? {
        Begin::Replay(answer) => Ok(replay(answer)),
        Begin::Mismatch => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-mismatch",
            "The idempotency key was used for another request",
            "Take a new key for a new request; repeat a request as it was.",
        )),
        Begin::InProgress => Err(Problem::new(
            StatusCode::CONFLICT,
            "idempotency-in-progress",
            "The first request with this key is still under way",
            "Try again as Retry-After says.",
        )
        .retry_after(std::time::Duration::from_secs(1))),
        Begin::Run(pending) => {
            parts.extensions.insert(pending.clone());
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            finish(app, &pending, response).await
        }
    }
}

async fn finish(app: &App, pending: &Pending, response: Response) -> Result<Response, Problem> {
    let refuse = |error| app.refuse(AccountError::Database(error));
    if !response.status().is_success() {
        app.accounts.abandon_idempotent(pending).await.map_err(refuse)?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::internal())?;
    app.accounts.finish_idempotent(pending, parts.status.as_u16(), &body).await.map_err(refuse)?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = match status {
        StatusCode::NO_CONTENT => status.into_response(),
        _ => {
            let json = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, json)], answer.body).into_response()
        }
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
