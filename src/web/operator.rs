//! The operator's page: who uses most, whether everything is counted, and who waits for sales.

mod health;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::figures::scrolling;
use super::prices::plan_name;
use super::sign_in;
use super::text::{data, instant, money};
use super::visitor::{Refusal, place};
use super::{Settings, document, forms};
use crate::accounts;
use crate::accounts::outbox::{Channel, OutboxEvent};
use crate::accounts::portal_session::SignedIn;
use crate::audit::letters;
use crate::clock::{self, Clock};
use crate::event::API_CALLS;
use crate::http::session::{self, Cookie};
use crate::http::{App, Peer, Problem};
use crate::snapshot::Usage;
use crate::snapshot::usage::SERVICES;

pub const PLACE: &str = "/operator";
/// Organizations and sales requests that are shown.
const SHOWN: usize = 50;
const REQUESTS: u32 = 20;
/// Dead letters are read from their topic this seldom, and for no longer than that.
const LETTERS_KEPT: Duration = Duration::from_secs(30);
const LETTERS_DEADLINE: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 86_400_000;

/// Dead letters of the last day by reason, as they were read last.
#[derive(Debug, Default)]
pub struct DeadLetters {
    known: Mutex<Option<(Instant, Arc<BTreeMap<String, u64>>)>>,
}

impl DeadLetters {
    /// `None`: Kafka does not answer.
    async fn by_reason(&self, settings: &Settings) -> Option<Arc<BTreeMap<String, u64>>> {
        let mut known = self.known.lock().await;
        if let Some((read_at, reasons)) = &*known
            && clock::instant() - *read_at < LETTERS_KEPT
        {
            return Some(reasons.clone());
        }
        let kafka = settings.kafka.clone()?;
        // Letters have the time of the system's clock.
        let now_ms = Clock::System.now_ms();
        let count = tokio::task::spawn_blocking(move || letters::count_since(&kafka, now_ms - DAY_MS));
        let counted = tokio::time::timeout(LETTERS_DEADLINE, count).await.ok()?.ok()?;
        let reasons = counted.inspect_err(|error| tracing::warn!(%error, "count dead letters")).ok()?;
        let reasons = Arc::new(reasons);
        *known = Some((clock::instant(), reasons.clone()));
        Some(reasons)
    }
}

#[derive(Deserialize)]
pub struct OperatorQuery {
    /// Of a link.
    session: Option<String>,
}

pub async fn page(
    State(app): State<App>,
    Extension(settings): Extension<Arc<Settings>>,
    Extension(dead_letters): Extension<Arc<DeadLetters>>,
    Query(query): Query<OperatorQuery>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(token) = &query.session {
        let peer = peer.map(|Extension(peer)| peer);
        return sign_in::exchange(&app, peer, &headers, token, None, PLACE).await;
    }
    let Some(session) = session::of(&app, Cookie::Operator, &headers).await? else {
        return Ok(signed_out(StatusCode::UNAUTHORIZED, None));
    };
    let now = app.clock().now();
    let ranked = app.snapshots().clone();
    let busiest = tokio::task::spawn_blocking(move || ranked.busiest(SHOWN));
    let (busiest, regions, reasons) =
        tokio::join!(busiest, app.snapshots().health(), dead_letters.by_reason(&settings));
    let busiest = busiest.map_err(|_| Problem::internal())?;
    let requests = app.accounts().latest_events(Channel::Sales, REQUESTS).await;
    let requests = requests.map_err(|error| app.refuse(error))?;
    let usages: Vec<Usage> = busiest.iter().filter_map(|name| app.snapshots().current(name)).collect();
    let content = html! {
        div.head {
            div {
                h1 { "Operator" }
                p.quiet { (instant(now)) }
            }
        }
        (health::section(&regions, now))
        (health::letters(reasons.as_deref()))
        section.card aria-labelledby="organizations" {
            h2 #organizations { "Organizations by API calls this month" }
            @if usages.is_empty() { p.empty { "Nothing was used this month yet." } }
            @else { (scrolling("Organizations by API calls", &organizations(&app, &usages))) }
        }
        section.card aria-labelledby="requests" {
            h2 #requests { "Sales requests" }
            @if requests.is_empty() { p.empty { "Nobody waits for sales." } }
            @else { ul.rows { @for request in &requests { (sales_request(request)) } } }
        }
    };
    Ok(document::respond(StatusCode::OK, document::page("Operator", &bar(&session), &content)))
}

fn bar(session: &SignedIn) -> Markup {
    html! {
        span.organization { "Operator" }
        span.grow {}
        form method="post" action=(format!("{PLACE}/sign-out")) {
            (forms::token(session))
            button.plain type="submit" { "Sign out" }
        }
    }
}

fn organizations(app: &App, usages: &[Usage]) -> Markup {
    let used = |usage: &Usage, meter: &str| data(usage.usage.get(meter).unwrap_or(0));
    html! {
        table {
            caption.hidden { "Organizations by API calls of the current month" }
            thead {
                tr {
                    th scope="col" { "Organization" }
                    th scope="col" { "Plan" }
                    th.number scope="col" { "API calls" }
                    th.number scope="col" { "Services" }
                    th.number scope="col" { "Cost so far" }
                    th.number scope="col" { "By month's end" }
                }
            }
            tbody {
                @for usage in usages {
                    tr {
                        th scope="row" { (organization(app, usage)) }
                        td { (usage.plan.map_or("None", plan_name)) @if usage.trial.is_some() { " " span.chip { "Trial" } } }
                        td.number { (used(usage, API_CALLS)) }
                        td.number { (used(usage, SERVICES)) }
                        @match &usage.estimated_cost {
                            Some(cost) => {
                                td.number { (money(cost.amount, cost.currency)) }
                                td.number { (money(cost.forecast, cost.currency)) }
                            }
                            None => { td.number { "–" } td.number { "–" } }
                        }
                    }
                }
            }
        }
    }
}

/// Those that have an account have a page.
fn organization(app: &App, usage: &Usage) -> Markup {
    let account = app.accounts().directory().and_then(|directory| directory.get(&usage.organization));
    match account {
        Some(account) => html! {
            a href=(place(&usage.organization)) { (account.name) }
            span.quiet.block { (usage.organization) }
        },
        None => html! { (usage.organization) span.quiet.block { "has no account" } },
    }
}

fn sales_request(request: &OutboxEvent) -> Markup {
    let text = |name: &str| request.data[name].as_str().unwrap_or_default().to_owned();
    html! {
        li.request {
            p { strong { (text("name")) } " " span.quiet { (text("email")) ", " (instant(request.timestamp)) } }
            p.said { (text("message")) }
        }
    }
}

#[derive(Deserialize)]
pub struct TokenForm {
    token: String,
}

/// The operator's token for a cookie of a session that ends within the hour.
pub async fn sign_in(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    axum::Form(form): axum::Form<TokenForm>,
) -> Result<Response, Refusal> {
    let peer = peer.map(|Extension(peer)| peer);
    if !app.is_operator_token(&form.token) {
        app.sign_ins().failed(peer)?;
        return Ok(signed_out(StatusCode::UNAUTHORIZED, Some("This is not the operator's token.")));
    }
    let opened = app.accounts().open_operator_session(&accounts::Caller::operator(), "").await;
    let opened = opened.map_err(|error| app.refuse(error))?;
    Ok(sign_in::go_on(&headers, PLACE, Cookie::Operator.set(app.public_url(), &opened.url)))
}

/// Ends the session, not only its cookie.
pub async fn sign_out(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let session = session::of(&app, Cookie::Operator, request.headers()).await?;
    let session = session.ok_or(Refusal::SignedOut)?;
    forms::read::<forms::Nothing>(request, &app, &session).await?;
    let ended = app.accounts().sign_out(&accounts::Caller::operator(), &session).await;
    ended.map_err(|error| app.refuse(error))?;
    let mut response = document::see_other(PLACE);
    response.headers_mut().insert(header::SET_COOKIE, Cookie::Operator.clear(app.public_url()));
    Ok(response)
}

fn signed_out(status: StatusCode, wrong: Option<&str>) -> Response {
    let words = html! {
        @if let Some(wrong) = wrong { p.alert role="alert" { (wrong) } }
        form.stack method="post" action=(format!("{PLACE}/sign-in")) {
            label {
                "The operator's token"
                input type="password" name="token" required autocomplete="current-password";
            }
            button type="submit" { "Sign in" }
        }
        p.quiet { "It is " code { "auth.operator_token" } " of the configuration. A session lasts an hour." }
    };
    document::message(status, "Operator", &words)
}
