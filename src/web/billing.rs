//! The Billing & Usage page of an organization.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::{Chart, Charts};
use super::figures::{self, Figures};
use super::prices::plan_name;
use super::visitor::{Organization, Refusal, Visitor};
use super::{Settings, document, forms, invoices, methods, sales, sign_in, text};
use crate::accounts::payment_method::PaymentMethod;
use crate::accounts::{OrganizationAnswer, Page, Status};
use crate::billing::Invoice;
use crate::clock::Time;
use crate::event::{API_CALLS, Plan};
use crate::http::{App, Peer, Problem};
use crate::rating::Estimate;
use crate::snapshot::{Entitlement, SnapshotError, Usage};

pub const CHART: &str = "chart";
pub const DAYS: &str = "chart-days";
/// Where the chart goes once it is there; nothing of ours writes this.
const CHART_HERE: &str = "\u{1}";
const DAYS_HERE: &str = "\u{2}";

#[derive(Deserialize)]
pub struct PageQuery {
    /// Of a link.
    session: Option<String>,
    /// What was done before.
    done: Option<String>,
}

/// All that the page shows, but the chart.
pub struct View {
    pub now: Time,
    pub account: OrganizationAnswer,
    pub usage: Usage,
    pub calls: Option<Entitlement>,
    pub whole_month: Option<Estimate>,
    pub methods: Vec<PaymentMethod>,
    /// The latest month first.
    pub invoices: Vec<Invoice>,
}

impl View {
    pub async fn read(app: &App, organization: &Arc<str>) -> Result<Self, Refusal> {
        let accounts = app.accounts();
        let account = accounts.organization(organization).await.map_err(|error| app.refuse(error))?;
        let usage = usage(app, organization).await?;
        let calls = app.snapshots().entitlement(organization, API_CALLS).await.ok();
        let whole_month = match account.trial {
            Some(_) => whole_month(app, organization).await?,
            None => None,
        };
        let methods = accounts.payment_methods(organization, &Page::new(None, None)).await;
        let methods = methods.map_err(|error| app.refuse(error))?.data;
        let invoices = match account.plan {
            Plan::Enterprise => Vec::new(),
            Plan::Free | Plan::Plus => invoices::latest(app, organization).await?,
        };
        Ok(Self { now: app.clock().now(), account, usage, calls, whole_month, methods, invoices })
    }

    pub fn figures(&self) -> Figures<'_> {
        Figures { usage: &self.usage, calls: self.calls.as_ref(), whole_month: self.whole_month.as_ref() }
    }
}

/// From memory where it is there.
pub async fn usage(app: &App, organization: &Arc<str>) -> Result<Usage, Refusal> {
    let snapshots = app.snapshots();
    if let Some(usage) = snapshots.current(organization) {
        return Ok(usage);
    }
    let usage = snapshots.usage(organization, snapshots.current_month()).await.map_err(Problem::from)?;
    usage.ok_or(Refusal::NotFound)
}

pub async fn whole_month(app: &App, organization: &str) -> Result<Option<Estimate>, Refusal> {
    let preview = app.snapshots().whole_month(organization, Plan::Plus).await;
    Ok(preview.map_err(Problem::from)?)
}

/// The page; by a link it signs in first.
pub async fn page(
    State(app): State<App>,
    Extension(charts): Extension<Arc<Charts>>,
    Extension(settings): Extension<Arc<Settings>>,
    Query(query): Query<PageQuery>,
    mut parts: PageParts,
) -> Result<Response, Refusal> {
    let Organization(organization) = parts.extract(&app).await?;
    if let Some(token) = &query.session {
        let place = super::visitor::place(&organization);
        let peer = parts.peer();
        return sign_in::exchange(&app, peer, parts.headers(), token, Some(&organization), &place).await;
    }
    let visitor: Visitor = parts.extract(&app).await?;
    let view = View::read(&app, &organization).await?;
    let notice = query.done.as_deref().and_then(notice);
    let whole = render(&visitor, &view, &settings, notice, None);
    Ok(in_parts(app, charts, organization, whole))
}

/// The request's head, to be read in the order that the page wants.
pub struct PageParts(Parts);

impl FromRequestParts<App> for PageParts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(parts.clone()))
    }
}

impl PageParts {
    async fn extract<T: FromRequestParts<App>>(&mut self, app: &App) -> Result<T, T::Rejection> {
        T::from_request_parts(&mut self.0, app).await
    }

    fn peer(&self) -> Option<Peer> {
        self.0.extensions.get().copied()
    }

    fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}

/// The page again, with what went wrong on top.
pub async fn again(
    app: &App,
    settings: &Settings,
    charts: Arc<Charts>,
    visitor: &Visitor,
    problem: &Problem,
) -> Result<Response, Refusal> {
    let view = View::read(app, &visitor.organization).await?;
    let whole = render(visitor, &view, settings, None, Some(problem));
    let mut response = in_parts(app.clone(), charts, visitor.organization.clone(), whole);
    *response.status_mut() = problem.status();
    Ok(response)
}

/// What is in memory goes out at once; the chart's days, which the store has, follow in their place.
fn in_parts(app: App, charts: Arc<Charts>, organization: Arc<str>, whole: Markup) -> Response {
    let body = async_stream::stream! {
        let whole = whole.into_string();
        let (head, rest) = whole.split_once(CHART_HERE).unwrap_or((&whole, ""));
        yield Ok::<_, Infallible>(Bytes::copy_from_slice(head.as_bytes()));
        let snapshots = app.snapshots();
        let chart = charts.chart(snapshots, &organization, snapshots.current_month(), app.clock().now()).await;
        let (bars, days) = drawn(chart);
        let rest = rest.replacen(DAYS_HERE, &days.into_string(), 1);
        yield Ok(Bytes::from(bars.into_string() + &rest));
    };
    document::with_headers(StatusCode::OK, Body::from_stream(body))
}

pub fn drawn(chart: Result<Chart, SnapshotError>) -> (Markup, Markup) {
    match chart {
        Ok(chart) => (chart.bars(), chart.table()),
        Err(error) => {
            tracing::warn!(%error, "draw a chart");
            (
                html! { p.empty { "The days can't be read right now. They come back by themselves." } },
                html! {},
            )
        }
    }
}

/// What was done, by the name in the address.
fn notice(done: &str) -> Option<&'static str> {
    Some(match done {
        "plus" => "You are set for Plus.",
        "free" => "You are on Free now.",
        "payment-method" => "The payment method is set up.",
        "default" => "The default payment method has changed.",
        "removed" => "The payment method is removed.",
        "paid" => "Thank you. The invoice is paid.",
        "asked" => "Thank you. Sales will be in touch.",
        _ => return None,
    })
}

/// The bar on top: where one is, as whom, and the way out.
pub fn bar(visitor: &Visitor, name: &str) -> Markup {
    html! {
        span.organization { (name) }
        span.grow {}
        @if !visitor.may_act() { span.chip { "View only" } }
        form method="post" action=(format!("{}/sign-out", visitor.place())) {
            (forms::token(&visitor.session))
            button.plain type="submit" { "Sign out" }
        }
    }
}

fn render(
    visitor: &Visitor,
    view: &View,
    settings: &Settings,
    notice: Option<&str>,
    problem: Option<&Problem>,
) -> Markup {
    let figures = view.figures();
    let content = html! {
        div.head data-stream=(format!("{}/stream", visitor.place())) {
            div {
                h1 { "Billing & usage" }
                p.quiet { (text::month(view.usage.month)) }
            }
            p.standing {
                span.light aria-hidden="true" {}
                span id=(figures::STANDING) { (figures.standing()) }
            }
        }
        @if let Some(notice) = notice { p.notice role="status" { (notice) } }
        @if let Some(problem) = problem { (alert(problem)) }
        @if view.account.status == Status::PastDue {
            p.alert role="alert" { "A payment failed. Pay the open invoice, or change the payment method." }
        }
        section.card.plan aria-labelledby="plan" {
            (plan(visitor, view))
            div.estimate {
                h2.label { "Estimated cost" }
                div id=(figures::COST) { (figures.cost()) }
            }
        }
        dl.tiles id=(figures::FIGURES) { (figures.tiles()) }
        section.card aria-labelledby="days" {
            h2 #days { "API calls by day" }
            div id=(CHART) { (CHART_HERE) }
            details {
                summary { "Show as a table" }
                div id=(DAYS) { (DAYS_HERE) }
            }
        }
        section.card aria-labelledby="costs" {
            h2 #costs { "Cost so far" }
            div id=(figures::BREAKDOWN) { (figures.breakdown()) }
            div id=(figures::BY_REGION) { (figures::regions(&view.usage)) }
        }
        @if view.account.plan != Plan::Enterprise {
            (methods::section(visitor, view, settings))
            (invoices::section(visitor, view))
        }
        (sales::section(visitor, view))
    };
    document::page("Billing & usage", &bar(visitor, &view.account.name), &content)
}

pub fn alert(problem: &Problem) -> Markup {
    html! { p.alert role="alert" { strong { (problem.title()) } " " (problem.detail()) } }
}

/// The plan, what comes after it, and what can be done about it.
fn plan(visitor: &Visitor, view: &View) -> Markup {
    let account = &view.account;
    let to = |plan: Plan| format!("{}/plan/{plan}", visitor.place());
    html! {
        div.current {
            h2.label #plan { "Plan" }
            p.big {
                (plan_name(account.plan))
                @if account.trial.is_some() { " " span.chip { "Trial" } }
            }
            @match &account.trial {
                Some(trial) => (trial_left(view, trial.ends_at, trial.then)),
                None => @match account.plan {
                    Plan::Free => p.quiet { "Up to the limits of Free, at no charge." },
                    Plan::Plus => p.quiet { "Billed at the end of each month for what was used." },
                    Plan::Enterprise => p.quiet { "By agreement. Changes go through your sales contact." },
                },
            }
            @if visitor.may_act() && account.plan != Plan::Enterprise {
                p.actions {
                    @let then = account.trial.as_ref().map_or(account.plan, |trial| trial.then);
                    @if then == Plan::Free {
                        a.button href=(to(Plan::Plus)) {
                            @if account.trial.is_some() { "Continue on Plus" } @else { "Upgrade to Plus" }
                        }
                    }
                    @if account.plan == Plan::Plus {
                        a.button.second href=(to(Plan::Free)) {
                            @if account.trial.is_some() { "Go to Free now" } @else { "Cancel plan" }
                        }
                    }
                }
            }
        }
    }
}

fn trial_left(view: &View, ends_at: Time, then: Plan) -> Markup {
    let days = text::days_left(view.now.0, ends_at.0);
    html! {
        progress.trial max="30" value=(days.min(30)) aria-label="Days left in the trial" {}
        p.quiet {
            strong { (text::counted(days, "day")) " left" }
            ", until " (text::instant(ends_at)) ". "
            @if then == Plan::Plus { "Plus goes on after it." } @else { "Then Free, unless you continue on Plus." }
        }
    }
}
