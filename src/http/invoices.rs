//! An organization's invoices.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts::{Changing, ListQuery, Operating, page_of};
use super::extract::{Changeable, Json, Path, Query, Readable, quality};
use super::page::Page;
use super::{App, Problem};
use crate::billing::{self, Invoice, Invoices, VoidError, VoidOrder};
use crate::pdf::{self, Recipient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(invoice)).routes(routes!(void_invoice))
}

/// The invoices, the latest month first. A month that is not closed yet may have a draft.
#[utoipa::path(get, path = "/v1/organizations/{org}/invoices", tag = "billing",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), ListQuery),
    responses((status = OK, body = Page<Invoice>), Problem))]
async fn list(
    State(app): State<App>,
    Readable(organization): Readable,
    Changing(asking): Changing,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<Invoice>>, Problem> {
    let list = Invoices::of(&app.accounts).list(&organization, &query.page()?).await;
    let Page { data, next_cursor } = page_of(list.map_err(|error| app.refuse(error))?);
    let data = data.into_iter().map(|invoice| invoice.told_to(&asking)).collect();
    Ok(Answer(Page { data, next_cursor }))
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
    Changing(asking): Changing,
    Path(InvoicePath { number }): Path<InvoicePath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let invoice = app.invoice(&organization, &number).await?;
    let json = quality(&headers, &["application/json"]);
    match quality(&headers, &["application/pdf"]) > json {
        true => app.pdf(&invoice).await,
        false => Ok(Answer(invoice.told_to(&asking)).into_response()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VoidRequest {
    /// For the customer too: 1 to 500 characters.
    #[schema(example = "sent to the wrong address")]
    reason: String,
}

/// Voids an open invoice; one that is void stays as it is. For the operator. Nobody pays it any more,
/// and the next invoice bills again what stood on it. While a payment of it is under way, it is
/// refused.
#[utoipa::path(post, path = "/v1/organizations/{org}/invoices/{number}/void", tag = "billing",
    request_body = VoidRequest,
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("number" = String, Path, description = "The invoice's number")),
    responses((status = OK, body = Invoice, description = "It is void"), Problem))]
async fn void_invoice(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Operating(change): Operating,
    Path(InvoicePath { number }): Path<InvoicePath>,
    Json(VoidRequest { reason }): Json<VoidRequest>,
) -> Result<Answer<Invoice>, Problem> {
    let order = VoidOrder { number: &number, organization: Some(&organization), reason: &reason };
    billing::void(&app.accounts, &change, order).await.map(Answer).map_err(|error| app.not_voided(error))
}

impl App {
    fn not_voided(&self, error: VoidError) -> Problem {
        let detail = error.to_string();
        match error {
            VoidError::Account(error) => self.refuse(error),
            VoidError::NotOpen { .. } => {
                let title = "The invoice is not open";
                Problem::new(StatusCode::CONFLICT, "invoice-not-open", title, detail)
            }
            VoidError::PaymentUnderWay { .. } => {
                Problem::new(StatusCode::CONFLICT, "conflict", "A payment is under way", detail)
            }
            VoidError::Billing(error) => {
                tracing::error!(%error, "void an invoice");
                Problem::internal()
            }
        }
    }

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
