//! An organization's payment methods.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Changing, ListQuery, page_of};
use crate::accounts::payment_method::{NewPaymentMethod, PaymentMethod};
use crate::http::extract::{Changeable, Json, Path, Query, Readable};
use crate::http::page::Page;
use crate::http::{App, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(set_default)).routes(routes!(delete))
}

/// The payment methods.
#[utoipa::path(get, path = "/v1/organizations/{org}/payment-methods", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), ListQuery),
    responses((status = OK, body = Page<PaymentMethod>), Problem))]
async fn list(
    State(app): State<App>,
    Readable(organization): Readable,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<PaymentMethod>>, Problem> {
    let list = app.accounts.payment_methods(&organization, &query.page()?).await;
    Ok(Answer(page_of(list.map_err(|error| app.refuse(error))?)))
}

/// Sets a payment method up, by the token that the payment provider gave for it. A card number is
/// refused.
#[utoipa::path(post, path = "/v1/organizations/{org}/payment-methods", tag = "accounts",
    request_body = NewPaymentMethod,
    params(("org" = String, Path, description = "The organization's id, percent-encoded")),
    responses((status = CREATED, body = PaymentMethod), Problem))]
async fn add(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Json(request): Json<serde_json::Value>,
) -> Result<(StatusCode, Answer<PaymentMethod>), Problem> {
    let method = NewPaymentMethod::read(&request).map_err(|error| app.refuse(error))?;
    let method = app.kept(&organization, method).await?;
    let added = app.accounts.add_payment_method(&change, &organization, &method).await;
    Ok((StatusCode::CREATED, Answer(added.map_err(|error| app.refuse(error))?)))
}

#[derive(Deserialize)]
struct MethodPath {
    id: String,
}

/// Makes a payment method the one that is charged.
#[utoipa::path(put, path = "/v1/organizations/{org}/payment-methods/{id}/default", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("id" = String, Path, description = "The payment method's id")),
    responses((status = OK, body = PaymentMethod), Problem))]
async fn set_default(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Path(MethodPath { id }): Path<MethodPath>,
) -> Result<Answer<PaymentMethod>, Problem> {
    let method = app.accounts.set_default_payment_method(&change, &organization, &id).await;
    method.map(Answer).map_err(|error| app.refuse(error))
}

/// Deletes a payment method; the default one only on Free.
#[utoipa::path(delete, path = "/v1/organizations/{org}/payment-methods/{id}", tag = "accounts",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("id" = String, Path, description = "The payment method's id")),
    responses((status = NO_CONTENT, description = "It is charged no more"), Problem))]
async fn delete(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Path(MethodPath { id }): Path<MethodPath>,
) -> Result<StatusCode, Problem> {
    let deleted = app.accounts.delete_payment_method(&change, &organization, &id).await;
    deleted.map(|()| StatusCode::NO_CONTENT).map_err(|error| app.refuse(error))
}
