//! Paying an invoice, and setting up what pays it.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts::Changing;
use super::extract::{Changeable, Path};
use super::invoices::InvoicePath;
use super::{App, Problem};
use crate::accounts::payment_method::NewPaymentMethod;
use crate::accounts::{AccountError, Caller};
use crate::billing::payment::{Collected, KeepError, Occasion};
use crate::billing::{Invoice, InvoiceState, Invoices};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pay))
}

/// Charges an open invoice now, by the default payment method; one that is paid stays as it is. A
/// request that is repeated charges nothing twice, whether its answer came or not. Declined, or
/// without a payment method: 402 `payment-declined`, `payment-method-required`. While another payment
/// of the invoice is under way: 409 `conflict`; of a void invoice: 409 `invoice-not-open`. Where
/// the payment provider gave no answer: 503 `payment-pending`; where it takes no payments: 503
/// `payment-provider-unavailable`.
#[utoipa::path(post, path = "/v1/organizations/{org}/invoices/{number}/pay", tag = "billing",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("number" = String, Path, description = "The invoice's number")),
    responses((status = OK, body = Invoice, description = "It is paid"), Problem))]
async fn pay(
    State(app): State<App>,
    Changeable(organization): Changeable,
    Changing(change): Changing,
    Path(InvoicePath { number }): Path<InvoicePath>,
) -> Result<Answer<Invoice>, Problem> {
    let paid = app.pay(&change, &organization, &number).await?;
    Ok(Answer(paid.told_to(&change)))
}

/// Most payments are over by then.
const UNDER_WAY: Duration = Duration::from_secs(5);

impl App {
    /// Has an organization's invoice paid; who may ask for that is looked at before. Answers it paid.
    pub async fn pay(&self, caller: &Caller, organization: &str, number: &str) -> Result<Invoice, Problem> {
        let payments = self.payments.as_ref().ok_or_else(|| Problem::not_found("pay"))?;
        let invoices = Invoices::of(&self.accounts);
        invoices.get(organization, number).await.map_err(|error| self.refuse(error))?;
        let collected = payments.collect(caller, number, Occasion::Asked).await;
        match collected.map_err(|error| self.refuse(error))? {
            Collected::Paid | Collected::NotOpen(InvoiceState::Paid) => {
                invoices.get(organization, number).await.map_err(|error| self.refuse(error))
            }
            other => Err(self.not_paid(number, other)),
        }
    }

    fn not_paid(&self, number: &str, collected: Collected) -> Problem {
        match collected {
            Collected::Declined { code, message } => {
                let title = "The payment was declined";
                Problem::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", title, message)
                    .with("code", code)
            }
            Collected::NoPaymentMethod => Problem::new(
                StatusCode::PAYMENT_REQUIRED,
                "payment-method-required",
                "A payment method is needed",
                format!("Set a payment method up, then pay invoice {number}."),
            ),
            Collected::Unknown => Problem::unavailable(
                "payment-pending",
                "Whether the payment succeeded is not known yet",
                "The payment provider has not answered. Ask again as Retry-After says: nothing is charged twice.",
            ),
            Collected::UnderWay => Problem::new(
                StatusCode::CONFLICT,
                "conflict",
                "A payment of the invoice is under way",
                format!(
                    "Nothing more was begun. Ask for invoice {number} again: within two minutes it says what came of it."
                ),
            )
            .retry_after(UNDER_WAY),
            Collected::Refused { .. } => Problem::unavailable(
                "payment-provider-unavailable",
                "The payment provider takes no payments now",
                "Nothing was charged; the operator has to mend it. Try again later.",
            ),
            Collected::NotOpen(state) => Problem::new(
                StatusCode::CONFLICT,
                "invoice-not-open",
                "The invoice is not to be paid",
                format!("Invoice {number} is {}.", state.as_str()),
            ),
            // The log says what.
            Collected::Damaged => Problem::internal(),
            Collected::Paid | Collected::NotFound => {
                self.refuse(AccountError::NotFound { what: "invoice", id: number.to_owned() })
            }
        }
    }

    /// The method with the token that can be charged again and again, as the provider gives it for
    /// the one that it gave first.
    pub async fn kept(
        &self,
        organization: &str,
        method: NewPaymentMethod,
    ) -> Result<NewPaymentMethod, Problem> {
        let Some(payments) = &self.payments else { return Ok(method) };
        method.validate(self.clock.now_ms()).map_err(|error| self.refuse(error))?;
        let account = self.accounts.account(organization).await.map_err(|error| self.refuse(error))?;
        let kept = payments.keep(&account, &method.token).await;
        let token = kept.map_err(|error| self.not_kept(error))?;
        Ok(NewPaymentMethod { token, ..method })
    }

    fn not_kept(&self, error: KeepError) -> Problem {
        match error {
            KeepError::Account(error) => self.refuse(error),
            KeepError::Declined { message } => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "payment-method-declined",
                "The payment provider does not take this payment method",
                message,
            ),
            KeepError::Provider(error) => {
                tracing::warn!(%error, "set a payment method up");
                Problem::unavailable(
                    "payment-provider-unavailable",
                    "The payment provider does not answer",
                    "It could not be asked for the payment method; try again as Retry-After says.",
                )
            }
        }
    }
}
