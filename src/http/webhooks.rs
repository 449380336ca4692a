//! What other services tell by themselves. They have no token of ours: what they send is signed.

use axum::Json as Answer;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, Problem};
use crate::billing::payment::{Received, WebhookError};

const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
const PATH: &str = "/v1/webhooks/stripe";

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stripe))
}

#[derive(Serialize, ToSchema)]
struct WebhookAnswer {
    /// Always true; whether the event decided a payment is our matter.
    received: bool,
}

/// Takes an event of the payment provider in. An event that was taken in before changes nothing.
/// 404 where `payments` names no webhook secret of Stripe's.
#[utoipa::path(post, path = PATH, tag = "billing", security(("signature" = [])),
    params(("Stripe-Signature" = String, Header,
        description = "t=SECONDS,v1=HEX: HMAC-SHA256 of `SECONDS.BODY` under the webhook's secret")),
    request_body = Object,
    responses((status = OK, body = WebhookAnswer), Problem))]
async fn stripe(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Answer<WebhookAnswer>), Problem> {
    let payments = app.payments.as_ref().ok_or_else(|| Problem::not_found(PATH))?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let received = payments.receive(signature, &body).await.map_err(|error| problem(&app, error))?;
    if received == Received::Again {
        tracing::debug!("an event of the payment provider came again");
    }
    Ok((StatusCode::OK, Answer(WebhookAnswer { received: true })))
}

fn problem(app: &App, error: WebhookError) -> Problem {
    let detail = error.to_string();
    match error {
        WebhookError::NotConfigured => Problem::not_found(PATH),
        WebhookError::Account(error) => app.refuse(error),
        WebhookError::Malformed => Problem::bad_request("invalid-event", "The event can't be read", detail),
        WebhookError::NoSignature | WebhookError::WrongSignature | WebhookError::Old => {
            Problem::bad_request("invalid-signature", "The signature is not taken", detail)
        }
    }
}
