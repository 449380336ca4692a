//! An organization's API keys.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Changing, ListQuery, page_of};
use crate::accounts::api_key::{ApiKey, CreatedApiKey, NewApiKey};
use crate::http::extract::{Changeable, Json, Path, Query, Readable};
use crate::http::page::Page;
use crate::http::{App, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(delete))
}

/// The keys, without what opens.
#[utoipa::path(get, path = "/v1/organizations/{org}/api-keys", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), ListQuery),
    responses((status = OK, body = Page<ApiKey>), Problem))]
async fn list(
    State(app): State<App>,
    Readable(organization): Readable,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<ApiKey>>, Problem> {
    let list = app.accounts.api_keys(&organization, &query.page()?).await;
    Ok(Answer(page_of(list.map_err(|error| app.refuse(error))?)))
}

/// Makes a key. It is shown in this answer alone.
#[utoipa::path(post, path = "/v1/organizations/{org}/api-keys", tag = "accounts",
    request_body = NewApiKey,
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = CREATED, body = CreatedApiKey), Problem))]
async fn create(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Json(request): Json<NewApiKey>,
) -> Result<(StatusCode, Answer<CreatedApiKey>), Problem> {
    let key = app.accounts.create_api_key(&change, &organization, &request).await;
    Ok((StatusCode::CREATED, Answer(key.map_err(|error| app.refuse(error))?)))
}

#[derive(Deserialize)]
struct KeyPath {
    id: String,
}

/// Revokes a key.
#[utoipa::path(delete, path = "/v1/organizations/{org}/api-keys/{id}", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("id" = String, Path, description = "The key's id")),
    responses((status = NO_CONTENT, description = "It opens nothing any more"), Problem))]
async fn delete(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Path(KeyPath { id }): Path<KeyPath>,
) -> Result<StatusCode, Problem> {
    let deleted = app.accounts.delete_api_key(&change, &organization, &id).await;
    deleted.map(|()| StatusCode::NO_CONTENT).map_err(|error| app.refuse(error))
}
