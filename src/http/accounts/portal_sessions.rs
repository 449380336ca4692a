//! Links that sign a person in to the pages.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Changing, ListQuery, Operating, page_of};
use crate::accounts::portal_session::{CreatedPortalSession, PortalSession};
use crate::http::extract::{Changeable, Path, Query, Readable};
use crate::http::page::Page;
use crate::http::{App, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, open)).routes(routes!(revoke)).routes(routes!(open_operators))
}

/// The sessions that are open, without what opens them.
#[utoipa::path(get, path = "/v1/organizations/{org}/portal-sessions", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), ListQuery),
    responses((status = OK, body = Page<PortalSession>), Problem))]
async fn list(
    State(app): State<App>,
    Readable(organization): Readable,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<PortalSession>>, Problem> {
    let list = app.accounts.portal_sessions(&organization, &query.page()?).await;
    Ok(Answer(page_of(list.map_err(|error| app.refuse(error))?)))
}

/// A link to the Billing & Usage page that signs in whoever opens it, for at most an hour, with the
/// role of the key that asks (the operator's: `admin`). It is shown in this answer alone.
#[utoipa::path(post, path = "/v1/organizations/{org}/portal-sessions", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = CREATED, body = CreatedPortalSession), Problem))]
async fn open(
    State(app): State<App>,
    Readable(organization): Readable,
    Changing(change): Changing,
) -> Result<(StatusCode, Answer<CreatedPortalSession>), Problem> {
    let link = format!("{}/organizations/{organization}/billing?session=", app.public_url);
    let session = app.accounts.open_portal_session(&change, &organization, &link).await;
    Ok((StatusCode::CREATED, Answer(session.map_err(|error| app.refuse(error))?)))
}

#[derive(Deserialize)]
struct SessionPath {
    id: String,
}

/// Ends a session at once.
#[utoipa::path(delete, path = "/v1/organizations/{org}/portal-sessions/{id}", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("id" = String, Path, description = "The session's id")),
    responses((status = NO_CONTENT, description = "It opens nothing any more"), Problem))]
async fn revoke(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Path(SessionPath { id }): Path<SessionPath>,
) -> Result<StatusCode, Problem> {
    let revoked = app.accounts.revoke_portal_session(&change, &organization, &id).await;
    revoked.map(|()| StatusCode::NO_CONTENT).map_err(|error| app.refuse(error))
}

/// A link to the operator's page, likewise; for the operator.
#[utoipa::path(post, path = "/v1/operator-sessions", tag = "accounts",
    responses((status = CREATED, body = CreatedPortalSession), Problem))]
async fn open_operators(
    State(app): State<App>,
    Operating(change): Operating,
) -> Result<(StatusCode, Answer<CreatedPortalSession>), Problem> {
    let link = format!("{}/operator?session=", app.public_url);
    let session = app.accounts.open_operator_session(&change, &link).await;
    Ok((StatusCode::CREATED, Answer(session.map_err(|error| app.refuse(error))?)))
}
