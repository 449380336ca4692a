//! An organization's invoices.

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts::{ListQuery, page_of};
use super::extract::{Path, Query, Readable};
use super::page::Page;
use super::{App, Problem};
use crate::billing::{Invoice, Invoices};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(invoice))
}

/// The invoices, the latest month first. A month that is not closed yet may have a draft.
#[utoipa::path(get, path = "/v1/organizations/{org}/invoices", tag = "billing",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), ListQuery),
    responses((status = OK, body = Page<Invoice>), Problem))]
async fn list(
    State(app): State<App>,
    Readable(organization): Readable,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<Invoice>>, Problem> {
    let list = Invoices::of(&app.accounts).list(&organization, &query.page()?).await;
    Ok(Answer(page_of(list.map_err(|error| app.refuse(error))?)))
}

#[derive(Deserialize)]
pub struct InvoicePath {
    pub number: String,
}

/// One invoice.
#[utoipa::path(get, path = "/v1/organizations/{org}/invoices/{number}", tag = "billing",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("number" = String, Path, description = "The invoice's number")),
    responses((status = OK, body = Invoice), Problem))]
async fn invoice(
    State(app): State<App>,
    Readable(organization): Readable,
    Path(InvoicePath { number }): Path<InvoicePath>,
) -> Result<Answer<Invoice>, Problem> {
    let invoice = Invoices::of(&app.accounts).get(&organization, &number).await;
    invoice.map(Answer).map_err(|error| app.refuse(error))
}
