//! The pages: Billing & Usage for an organization's people, and the operator's own.
//!
//! Everything is rendered here and works without a script; the one script that there is puts new
//! figures in place as they come. Nothing is loaded from elsewhere, nothing is inline, and every form
//! carries its session's token.

mod actions;
mod assets;
mod billing;
mod change;
mod chart;
mod document;
mod figures;
mod forms;
mod invoices;
mod live;
mod methods;
mod operator;
mod prices;
mod sales;
mod sign_in;
mod text;
mod visitor;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::http::App;
use crate::source;

use chart::Charts;
use operator::DeadLetters;

/// What decides how the pages behave.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Payment methods of the sandbox are set up on the page; a real provider's come with a token
    /// that the provider's own form gave.
    pub sandbox_payments: bool,
    /// Where dead letters are read for the operator; `None`: they are not.
    pub kafka: Option<source::Settings>,
}

/// Every page, for [`crate::http::app_with`].
pub fn pages(settings: Settings) -> Router<App> {
    let page = "/organizations/{org}/billing";
    let at = |rest: &str| format!("{page}/{rest}");
    Router::new()
        .route(page, get(billing::page))
        .route(&at("stream"), get(live::stream))
        .route(&at("plan/{plan}"), get(change::page))
        .route(&at("plan"), post(actions::set_plan))
        .route(&at("payment-methods"), post(actions::add_payment_method))
        .route(&at("payment-methods/{id}/default"), post(actions::set_default_payment_method))
        .route(&at("payment-methods/{id}/remove"), post(actions::remove_payment_method))
        .route(&at("invoices/{number}"), get(invoices::pdf))
        .route(&at("invoices/{number}/pay"), post(actions::pay_invoice))
        .route(&at("sales-requests"), post(actions::request_sales))
        .route(&at("sign-out"), post(sign_in::sign_out))
        .route(operator::PLACE, get(operator::page))
        .route("/operator/sign-in", post(operator::sign_in))
        .route("/operator/sign-out", post(operator::sign_out))
        .route("/assets/{name}", get(assets::asset))
        .layer(Extension(Arc::new(Charts::default())))
        .layer(Extension(Arc::new(DeadLetters::default())))
        .layer(Extension(Arc::new(settings)))
}
