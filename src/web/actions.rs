//! What an admin does on the page. What is refused is told on the page that it was asked on.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::chart::Charts;
use super::forms::{Form, Nothing};
use super::invoices::InvoicePath;
use super::visitor::{Refusal, Visitor};
use super::{Settings, billing, change, document, methods};
use crate::accounts::payment_method::NewPaymentMethod;
use crate::accounts::{AccountError, AccountResult};
use crate::event::Plan;
use crate::http::{App, Problem};

/// What every action needs to answer.
pub struct Acting {
    app: App,
    settings: Arc<Settings>,
    charts: Arc<Charts>,
    visitor: Visitor,
}

impl axum::extract::FromRequestParts<App> for Acting {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> Result<Self, Refusal> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let missing = |_| Refusal::from(Problem::internal());
        let Extension(settings) = Extension::from_request_parts(parts, app).await.map_err(missing)?;
        let Extension(charts) = Extension::from_request_parts(parts, app).await.map_err(missing)?;
        Ok(Self { app: app.clone(), settings, charts, visitor })
    }
}

impl Acting {
    /// Back to the page, which says what was done, or the page again with why it was not.
    async fn end<T>(self, result: AccountResult<T>, done: &str) -> Result<Response, Refusal> {
        match result {
            Ok(_) => Ok(document::see_other(&format!("{}?done={done}", self.visitor.place()))),
            Err(error) => self.refused(error).await,
        }
    }

    async fn refused(self, error: AccountError) -> Result<Response, Refusal> {
        let problem = self.app.refuse(error);
        self.explained(&problem).await
    }

    async fn explained(self, problem: &Problem) -> Result<Response, Refusal> {
        billing::again(&self.app, &self.settings, self.charts, &self.visitor, problem).await
    }
}

#[derive(Deserialize)]
pub struct PlanForm {
    plan: Plan,
}

pub async fn set_plan(acting: Acting, Form(form): Form<PlanForm>) -> Result<Response, Refusal> {
    let Acting { app, settings, visitor, .. } = &acting;
    let changed = app.accounts().set_plan(&visitor.caller(), &visitor.organization, form.plan).await;
    match changed {
        Err(error @ AccountError::PaymentMethodRequired { .. }) => {
            change::ask(app, settings, visitor, form.plan, Some(&app.refuse(error))).await
        }
        changed => acting.end(changed, form.plan.as_str()).await,
    }
}

#[derive(Deserialize)]
pub struct MethodForm {
    /// The sandbox's, by name.
    card: Option<String>,
    token: Option<String>,
    brand: Option<String>,
    last4: Option<String>,
    exp: Option<String>,
    /// The plan that is asked for next.
    then: Option<Plan>,
}

pub async fn add_payment_method(
    State(app): State<App>,
    acting: Acting,
    Form(form): Form<MethodForm>,
) -> Result<Response, Refusal> {
    let then = form.then;
    let visitor = &acting.visitor;
    let method = match form.card.as_deref().filter(|_| acting.settings.sandbox_payments) {
        Some(card) => methods::sandbox_method(card, app.clock().now()).ok_or(Refusal::Form)?,
        // Searched for a card's number before anything else looks at it.
        None => {
            let fields = json!({
                "token": form.token, "brand": form.brand, "last4": form.last4, "exp": form.exp,
            });
            match NewPaymentMethod::read(&fields) {
                Ok(method) => method,
                Err(error) => return acting.refused(error).await,
            }
        }
    };
    let method = match app.kept(&visitor.organization, method).await {
        Ok(method) => method,
        Err(problem) => return acting.explained(&problem).await,
    };
    let added = app.accounts().add_payment_method(&visitor.caller(), &visitor.organization, &method).await;
    match (added, then) {
        (Ok(_), Some(plan)) => Ok(document::see_other(&format!("{}/plan/{plan}", visitor.place()))),
        (added, _) => acting.end(added, "payment-method").await,
    }
}

#[derive(Deserialize)]
pub struct MethodPath {
    id: String,
}

pub async fn set_default_payment_method(
    acting: Acting,
    Path(MethodPath { id }): Path<MethodPath>,
    _: Form<Nothing>,
) -> Result<Response, Refusal> {
    let Acting { app, visitor, .. } = &acting;
    let (caller, organization) = (visitor.caller(), &visitor.organization);
    let changed = app.accounts().set_default_payment_method(&caller, organization, &id).await;
    acting.end(changed, "default").await
}

pub async fn remove_payment_method(
    acting: Acting,
    Path(MethodPath { id }): Path<MethodPath>,
    _: Form<Nothing>,
) -> Result<Response, Refusal> {
    let Acting { app, visitor, .. } = &acting;
    let (caller, organization) = (visitor.caller(), &visitor.organization);
    let removed = app.accounts().delete_payment_method(&caller, organization, &id).await;
    acting.end(removed, "removed").await
}

pub async fn pay_invoice(
    acting: Acting,
    Path(InvoicePath { number }): Path<InvoicePath>,
    _: Form<Nothing>,
) -> Result<Response, Refusal> {
    let Acting { app, visitor, .. } = &acting;
    if !visitor.may_act() {
        let role = Problem::role("Only an admin of the organization pays its invoices.");
        return acting.explained(&role).await;
    }
    match app.pay(&visitor.caller(), &visitor.organization, &number).await {
        Ok(_) => Ok(document::see_other(&format!("{}?done=paid", visitor.place()))),
        Err(problem) => acting.explained(&problem).await,
    }
}

#[derive(Deserialize)]
pub struct SalesForm {
    message: String,
}

pub async fn request_sales(acting: Acting, Form(form): Form<SalesForm>) -> Result<Response, Refusal> {
    let Acting { app, visitor, .. } = &acting;
    let (caller, organization) = (visitor.caller(), &visitor.organization);
    let asked = app.accounts().request_sales(&caller, organization, &form.message).await;
    acting.end(asked, "asked").await
}
