//! An organization's invoices.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts::{ListQuery, page_of};
use super::extract::{Path, Query, Readable, quality};
use super::page::Page;
use super::{App, Problem};
use crate::billing::{Invoice, Invoices};
use crate::pdf::{self, Recipient};

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

/// One invoice; as a PDF where the client wants that, with the same digits.
#[utoipa::path(get, path = "/v1/organizations/{org}/invoices/{number}", tag = "billing",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("number" = String, Path, description = "The invoice's number")),
    responses(
        (status = OK, description = "The invoice",
            content((Invoice = "application/json"), (String = "application/pdf"))),
        Problem,
    ))]
async fn invoice(
    State(app): State<App>,
    Readable(organization): Readable,
    Path(InvoicePath { number }): Path<InvoicePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let invoice = app.invoice(&organization, &number).await?;
    let json = quality(&headers, &["application/json"]);
    match quality(&headers, &["application/pdf"]) > json {
        true => app.pdf(&invoice).await,
        false => Ok(Answer(invoice).into_response()),
    }
}

impl App {
    pub async fn invoice(&self, organization: &str, number: &str) -> Result<Invoice, Problem> {
        let invoice = Invoices::of(&self.accounts).get(organization, number).await;
        invoice.map_err(|error| self.refuse(error))
    }

    /// The invoice as a document that a browser shows.
    pub async fn pdf(&self, invoice: &Invoice) -> Result<Response, Problem> {
        let account = self.accounts.account(&invoice.organization).await;
        let account = account.map_err(|error| self.refuse(error))?;
        let written = invoice.clone();
        // Laying it out takes some milliseconds of computing.
        let write = move || pdf::invoice(&written, Recipient { name: &account.name, email: &account.email });
        let document = tokio::task::spawn_blocking(write).await.map_err(|_| Problem::internal())?;
        let document = document.map_err(|error| {
            tracing::error!(%error, "answer a request");
            Problem::internal()
        })?;
        // Numbers have digits and dashes alone.
        let name =
            format!("inline; filename=\"invoice-{}.pdf\"", invoice.number.as_deref().unwrap_or("draft"));
        let headers = [
            (header::CONTENT_TYPE, "application/pdf"),
            (header::CONTENT_DISPOSITION, name.as_str()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        Ok((headers, document).into_response())
    }
}
