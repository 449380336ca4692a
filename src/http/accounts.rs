//! Accounts over HTTP: each handler reads a request, lets the room accounts do it, and answers.

mod api_keys;
mod license;
mod operator;
mod organizations;
mod payment_methods;
mod portal_sessions;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;

use super::page::{self, Page};
use super::{App, Caller, Problem};
use crate::accounts::idempotency::Pending;
use crate::accounts::{self, AccountError, List};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(organizations::routes())
        .merge(license::routes())
        .merge(api_keys::routes())
        .merge(payment_methods::routes())
        .merge(portal_sessions::routes())
        .merge(operator::routes())
}

/// Who asks for a change, with the idempotency key that it came with.
pub struct Changing(pub accounts::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Changing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let idempotency = parts.extensions.get::<Pending>().cloned();
        Ok(Self(accounts::Caller { actor: caller.actor(), idempotency }))
    }
}

/// The operator, who asks for a change or for what is the operator's to see. It is looked at before
/// a body is.
pub struct Operating(pub accounts::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Operating {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, state).await?.must_be_operator()?;
        Changing::from_request_parts(parts, state).await.map(|Changing(caller)| Self(caller))
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Items in a page, at most 1000.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListQuery {
    pub fn page(&self) -> Result<accounts::Page, Problem> {
        let limit = page::page_limit(self.limit, page::DEFAULT_LIMIT, page::GREATEST_LIMIT)?;
        let cursor: Option<String> = page::decode_cursor(self.cursor.as_deref())?;
        // Nothing sorts after such a text, and Postgres can't be asked for it.
        if cursor.as_ref().is_some_and(|cursor| cursor.contains('\0')) {
            return Err(page::invalid_cursor());
        }
        Ok(accounts::Page::new(u32::try_from(limit).ok(), cursor))
    }
}

pub fn page_of<T>(list: List<T>) -> Page<T> {
    let next_cursor = list.next_cursor.as_ref().map(page::encode_cursor);
    Page { data: list.data, next_cursor }
}

impl App {
    /// The problem that the room's refusal is.
    pub fn refuse(&self, error: AccountError) -> Problem {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match &error {
            AccountError::Database(cause) => {
                tracing::warn!(%cause, "answer a request");
                return Problem::accounts_unavailable();
            }
            AccountError::Signing { .. } => {
                tracing::error!(%error, "answer a request");
                return Problem::internal();
            }
            AccountError::OrganizationUnreadable { organization } => {
                return Problem::organization_unreadable(organization);
            }
            AccountError::OrganizationNotFound { organization } => {
                return Problem::organization_not_found(organization);
            }
            _ => {}
        }
        let problem = Problem::new(status, error.slug(), title(&error), error.to_string());
        match &error {
            AccountError::ContactSales { organization, .. } => {
                problem.with("contact", format!("{}/organizations/{organization}/billing", self.public_url))
            }
            AccountError::Invalid { errors } => problem.with("errors", serde_json::json!(errors)),
            _ => problem,
        }
    }
}

fn title(error: &AccountError) -> &'static str {
    match error {
        AccountError::OrganizationNotFound { .. } => "No such organization",
        AccountError::OrganizationUnreadable { .. } => "The organization can't be read",
        AccountError::OrganizationExists { .. } => "The organization exists",
        AccountError::PaymentMethodRequired { .. } => "A payment method is needed",
        AccountError::ContactSales { .. } => "This goes through sales",
        AccountError::Role { .. } => "The token's role does not allow this",
        AccountError::Conflict { .. } => "Someone else was quicker",
        AccountError::TooManyRegions { .. } => "There are too many regions for the plan",
        AccountError::DefaultPaymentMethod { .. } => "A paid plan needs its payment method",
        AccountError::NotFound { .. } => "No such thing",
        AccountError::CardNumber => "Card numbers are not taken",
        AccountError::Invalid { .. } => "The request's values can't be taken",
        AccountError::ClockBackwards { .. } => "The clock does not go backwards",
        AccountError::ClockNotTest => "The clock is the system's",
        AccountError::Database(_) | AccountError::Signing { .. } => "Something went wrong here",
    }
}
