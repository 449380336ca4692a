//! Sign-up, plans, regions and sales requests.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Changing, ListQuery, Operating, page_of};
use crate::accounts::OrganizationAnswer;
use crate::accounts::organization::{PlanRequest, RegionsRequest, SalesRequestAnswer, SignUp};
use crate::http::extract::{Changeable, Json, Query, Readable};
use crate::http::page::Page;
use crate::http::{App, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_up, list))
        .routes(routes!(organization))
        .routes(routes!(set_plan, cancel_plan))
        .routes(routes!(set_regions))
        .routes(routes!(request_sales))
}

/// Signs an organization up: a 30-day trial of Plus and a license are made with it.
#[utoipa::path(post, path = "/v1/organizations", tag = "accounts", request_body = SignUp,
    responses((status = CREATED, body = OrganizationAnswer), Problem))]
async fn sign_up(
    State(app): State<App>,
    Operating(change): Operating,
    Json(request): Json<SignUp>,
) -> Result<(StatusCode, Answer<OrganizationAnswer>), Problem> {
    let answer = app.accounts.sign_up(&change, &request).await.map_err(|error| app.refuse(error))?;
    Ok((StatusCode::CREATED, Answer(answer)))
}

/// Every organization that has an account, by id; for the operator.
#[utoipa::path(get, path = "/v1/organizations", tag = "accounts", params(ListQuery),
    responses((status = OK, body = Page<OrganizationAnswer>), Problem))]
async fn list(
    State(app): State<App>,
    _: Operating,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<OrganizationAnswer>>, Problem> {
    let list = app.accounts.organizations(&query.page()?).await.map_err(|error| app.refuse(error))?;
    Ok(Answer(page_of(list)))
}

/// One organization's account.
#[utoipa::path(get, path = "/v1/organizations/{org}", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = OrganizationAnswer), Problem))]
async fn organization(
    State(app): State<App>,
    Readable(organization): Readable,
) -> Result<Answer<OrganizationAnswer>, Problem> {
    app.accounts.organization(&organization).await.map(Answer).map_err(|error| app.refuse(error))
}

/// Changes the plan. In a trial `plus` is what follows it; to and from `enterprise` is the
/// operator's alone.
#[utoipa::path(put, path = "/v1/organizations/{org}/plan", tag = "accounts", request_body = PlanRequest,
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = OrganizationAnswer), Problem))]
async fn set_plan(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Json(request): Json<PlanRequest>,
) -> Result<Answer<OrganizationAnswer>, Problem> {
    let answer = app.accounts.set_plan(&change, &organization, request.plan).await;
    answer.map(Answer).map_err(|error| app.refuse(error))
}

/// Cancels: Free at once, the month prorated.
#[utoipa::path(delete, path = "/v1/organizations/{org}/plan", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = OrganizationAnswer), Problem))]
async fn cancel_plan(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
) -> Result<Answer<OrganizationAnswer>, Problem> {
    let answer = app.accounts.cancel_plan(&change, &organization).await;
    answer.map(Answer).map_err(|error| app.refuse(error))
}

/// Replaces the regions; for the operator. More than one needs Enterprise. With `home_region` the
/// organization's home is another one too: its taxes are paid from the next invoice on that is made;
/// invoices that were issued stay as they are.
#[utoipa::path(put, path = "/v1/organizations/{org}/regions", tag = "accounts",
    request_body = RegionsRequest,
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = OK, body = OrganizationAnswer), Problem))]
async fn set_regions(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Json(request): Json<RegionsRequest>,
) -> Result<Answer<OrganizationAnswer>, Problem> {
    let answer = app.accounts.set_regions(&change, &organization, &request).await;
    answer.map(Answer).map_err(|error| app.refuse(error))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SalesRequest {
    #[schema(example = "We would like a second region.")]
    message: String,
}

/// Asks sales for what is not self-service.
#[utoipa::path(post, path = "/v1/organizations/{org}/sales-requests", tag = "accounts",
    request_body = SalesRequest,
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = ACCEPTED, body = SalesRequestAnswer), Problem))]
async fn request_sales(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Json(request): Json<SalesRequest>,
) -> Result<(StatusCode, Answer<SalesRequestAnswer>), Problem> {
    let answer = app.accounts.request_sales(&change, &organization, &request.message).await;
    let answer = answer.map_err(|error| app.refuse(error))?;
    Ok((StatusCode::ACCEPTED, Answer(answer)))
}
