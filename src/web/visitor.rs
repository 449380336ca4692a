//! Who looks at an organization's page, and what turns others away.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::document;
use crate::accounts::portal_session::{SessionHolder, SignedIn};
use crate::accounts::{self, Role, is_organization_id};
use crate::http::session::{self, Cookie};
use crate::http::{App, Problem};

/// Somebody who is signed in and may see the organization.
pub struct Visitor {
    pub organization: Arc<str>,
    pub session: SignedIn,
}

impl Visitor {
    /// Whether they may change something; others see.
    pub fn may_act(&self) -> bool {
        !matches!(self.session.holder, SessionHolder::Member { role: Role::Viewer | Role::Runtime, .. })
    }

    /// As the room accounts knows them.
    pub fn caller(&self) -> accounts::Caller {
        accounts::Caller { actor: session::caller(&self.session).actor(), idempotency: None }
    }

    pub fn place(&self) -> String {
        place(&self.organization)
    }
}

/// Where an organization's page is; ids need no escaping.
pub fn place(organization: &str) -> String {
    format!("/organizations/{organization}/billing")
}

/// Why somebody does not get what they asked for.
pub enum Refusal {
    SignedOut,
    /// A link that opens nothing any more.
    LinkIsOver,
    NotFound,
    /// A form that did not come from this session's page.
    Form,
    Problem(Box<Problem>),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::SignedOut => signed_out(
                "Sign in to see this page",
                "Open it from your portal: its link to billing signs you in for an hour.",
            ),
            Self::LinkIsOver => signed_out(
                "This link is no longer valid",
                "Links sign in for an hour at most. Open billing from your portal again to get a new one.",
            ),
            Self::NotFound => document::not_found(),
            Self::Form => document::message(
                StatusCode::FORBIDDEN,
                "This form is out of date",
                &html! { p { "It was not sent from a page of your session. Go back, load the page again, and repeat it." } },
            ),
            Self::Problem(problem) => {
                let words = html! { p { (problem.detail()) } };
                document::message(problem.status(), problem.title(), &words)
            }
        }
    }
}

fn signed_out(title: &str, words: &str) -> Response {
    let words = html! {
        p { (words) }
        p.quiet {
            "Operators make a link with " code { "POST /v1/organizations/{org}/portal-sessions" } "."
        }
    };
    document::message(StatusCode::UNAUTHORIZED, title, &words)
}

#[derive(Deserialize)]
struct OrganizationPath {
    org: String,
}

/// The organization in the path.
pub struct Organization(pub Arc<str>);

impl FromRequestParts<App> for Organization {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Refusal> {
        let path = Path::<OrganizationPath>::from_request_parts(parts, state).await;
        let Path(OrganizationPath { org }) = path.map_err(|_| Refusal::NotFound)?;
        if is_organization_id(&org) { Ok(Self(org.into())) } else { Err(Refusal::NotFound) }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let Organization(organization) = Organization::from_request_parts(parts, app).await?;
        let session = admitted(app, &parts.headers, &organization).await?;
        Ok(Self { organization, session })
    }
}

/// The session that reaches the organization: its own, or the operator's.
pub async fn admitted(app: &App, headers: &HeaderMap, organization: &str) -> Result<SignedIn, Refusal> {
    let own = session::of(app, Cookie::Portal, headers).await?;
    if let Some(session) = own.as_ref().filter(|session| reaches(session, organization)) {
        return Ok(session.clone());
    }
    match session::of(app, Cookie::Operator, headers).await? {
        Some(session) => Ok(session),
        None if own.is_some() => Err(Refusal::NotFound),
        None => Err(Refusal::SignedOut),
    }
}

pub fn reaches(session: &SignedIn, organization: &str) -> bool {
    match &session.holder {
        SessionHolder::Operator => true,
        SessionHolder::Member { organization: own, .. } => own == organization,
    }
}

/// Whether the browser followed a link on another site to come here.
pub fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|value| value == "cross-site")
}
