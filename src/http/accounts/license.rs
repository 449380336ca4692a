//! What runtimes fetch.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Operating;
use crate::accounts::license::{License, LicenseKey};
use crate::http::extract::Askable;
use crate::http::page::Page;
use crate::http::{App, Caller, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(license)).routes(routes!(license_keys, rotate_license_key))
}

/// The organization's license. Its signature is over the bytes of `payload`; an expired one stops
/// the data plane. A key of role `runtime` may fetch it.
#[utoipa::path(get, path = "/v1/organizations/{org}/license", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = License), Problem))]
async fn license(State(app): State<App>, Askable(organization): Askable) -> Result<Answer<License>, Problem> {
    app.accounts.license(&organization).await.map(Answer).map_err(|error| app.refuse(error))
}

/// The public keys of all licenses, old ones too.
#[utoipa::path(get, path = "/v1/license-keys", tag = "accounts",
    responses((status = OK, body = Page<LicenseKey>), Problem))]
async fn license_keys(State(app): State<App>, _: Caller) -> Result<Answer<Page<LicenseKey>>, Problem> {
    let data = app.accounts.license_keys().await.map_err(|error| app.refuse(error))?;
    Ok(Answer(Page { data, next_cursor: None }))
}

/// Makes a new signing key; licenses that are made from now on are signed with it. For the operator.
#[utoipa::path(post, path = "/v1/license-keys", tag = "accounts",
    responses((status = CREATED, body = LicenseKey), Problem))]
async fn rotate_license_key(
    State(app): State<App>,
    Operating(change): Operating,
) -> Result<(StatusCode, Answer<LicenseKey>), Problem> {
    let key = app.accounts.rotate_license_key(&change).await.map_err(|error| app.refuse(error))?;
    Ok((StatusCode::CREATED, Answer(key)))
}
