//! What a change of plan means and costs, before it is made.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::billing::{View, alert, bar};
use super::prices::{plan_name, terms};
use super::text::{instant, money};
use super::visitor::{Refusal, Visitor};
use super::{Settings, document, forms, methods};
use crate::event::Plan;
use crate::http::{App, Problem};
use crate::snapshot::Preview;

#[derive(Deserialize)]
pub struct ChangePath {
    plan: Plan,
}

/// The question before the change.
pub async fn page(
    State(app): State<App>,
    Extension(settings): Extension<Arc<Settings>>,
    Path(ChangePath { plan }): Path<ChangePath>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    ask(&app, &settings, &visitor, plan, None).await
}

/// The question, with what went wrong on top.
pub async fn ask(
    app: &App,
    settings: &Settings,
    visitor: &Visitor,
    plan: Plan,
    problem: Option<&Problem>,
) -> Result<Response, Refusal> {
    if !visitor.may_act() {
        let role = "Only an admin of the organization changes its plan. You are signed in to look.";
        return Err(Problem::role(role).into());
    }
    let view = View::read(app, &visitor.organization).await?;
    if plan == Plan::Enterprise || view.account.plan == Plan::Enterprise {
        return Err(Refusal::NotFound);
    }
    let preview = app.snapshots().preview(&visitor.organization, plan).await.map_err(Problem::from)?;
    let preview = preview.ok_or(Refusal::NotFound)?;
    let title = title(&view, plan);
    let content = html! {
        nav.back { a href=(visitor.place()) { "Back to billing" } }
        h1 { (title) }
        @if let Some(problem) = problem { (alert(problem)) }
        section.card { (question(app, settings, visitor, &view, plan, &preview)) }
    };
    let status = problem.map_or(StatusCode::OK, Problem::status);
    Ok(document::respond(status, document::page(title, &bar(visitor, &view.account.name), &content)))
}

fn title(view: &View, plan: Plan) -> &'static str {
    match (plan, &view.account.trial) {
        (Plan::Plus, Some(_)) => "Continue on Plus",
        (Plan::Plus, None) => "Upgrade to Plus",
        (_, Some(_)) => "Go to Free now",
        (_, None) => "Cancel plan",
    }
}

fn question(
    app: &App,
    settings: &Settings,
    visitor: &Visitor,
    view: &View,
    plan: Plan,
    preview: &Preview,
) -> Markup {
    let needs_method = plan == Plan::Plus && view.methods.is_empty();
    html! {
        @if let Some(list) = app.snapshots().price_list() {
            h2 { (plan_name(plan)) }
            (terms(list, plan))
        }
        h2 { "What it will cost" }
        @match plan { Plan::Plus => (of_plus(view, preview)), _ => (of_free(view, preview)) }
        @if needs_method {
            h2 { "First, a payment method" }
            p.quiet { "Plus needs one. Nothing is charged now." }
            (methods::form(visitor, settings, Some(plan)))
        } @else {
            form.actions method="post" action=(format!("{}/plan", visitor.place())) {
                (forms::token(&visitor.session))
                input type="hidden" name="plan" value=(plan);
                button type="submit" { (title(view, plan)) }
                a.button.second href=(visitor.place()) { "Leave it as it is" }
            }
        }
    }
}

fn of_plus(view: &View, preview: &Preview) -> Markup {
    let Preview { this_month, whole_month } = preview;
    let currency = whole_month.currency;
    html! {
        dl.sums {
            @if let Some(trial) = &view.account.trial {
                div { dt { "Until " (instant(trial.ends_at)) } dd { "Nothing: the trial goes on" } }
            }
            @if let Some(month) = this_month {
                div {
                    dt { "This month, by its end" }
                    dd { (money(month.forecast, currency)) }
                }
            }
            div {
                dt { "A whole month like this one" }
                dd { "about " (money(whole_month.forecast, currency)) }
            }
        }
        p.quiet { "From this month's usage so far. Services are prorated by the second, calls are counted by the hour." }
    }
}

fn of_free(view: &View, preview: &Preview) -> Markup {
    let currency = preview.whole_month.currency;
    html! {
        dl.sums {
            @if let Some(month) = preview.this_month.as_ref().filter(|_| view.account.trial.is_none()) {
                div {
                    dt { "This month, for what was used on Plus until now" }
                    dd { (money(month.amount, currency)) }
                }
            }
            div { dt { "From then on" } dd { "Nothing" } }
        }
        p.quiet {
            "It takes effect at once."
            @if view.account.trial.is_some() { " The trial does not come back." }
            " What is there beyond the limits of Free stays, but nothing can be added."
        }
    }
}
