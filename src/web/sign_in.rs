//! From a link to a cookie, and out again.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::document;
use super::forms::{Form, Nothing};
use super::visitor::{Refusal, Visitor, comes_from_elsewhere, reaches};
use crate::accounts::portal_session::SessionHolder;
use crate::http::session::Cookie;
use crate::http::{App, Peer};

/// Exchanges a link's token for a cookie and goes on to the page, whose address has no token.
pub async fn exchange(
    app: &App,
    peer: Option<Peer>,
    headers: &HeaderMap,
    token: &str,
    organization: Option<&str>,
    place: &str,
) -> Result<Response, Refusal> {
    let session = app.accounts().signed_in(token).await;
    let session = session.map_err(|error| app.refuse(error.into()))?;
    let Some(session) = session else {
        app.sign_ins().failed(peer)?;
        return Err(Refusal::LinkIsOver);
    };
    let cookie = match session.holder {
        SessionHolder::Operator => Cookie::Operator,
        SessionHolder::Member { .. } => Cookie::Portal,
    };
    let is_for_this = match organization {
        Some(organization) => reaches(&session, organization),
        None => session.holder == SessionHolder::Operator,
    };
    if !is_for_this {
        return Err(Refusal::NotFound);
    }
    Ok(go_on(headers, place, cookie.set(app.public_url(), token)))
}

pub fn go_on(headers: &HeaderMap, place: &str, cookie: HeaderValue) -> Response {
    let mut response = match comes_from_elsewhere(headers) {
        true => document::step(place),
        false => document::see_other(place),
    };
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Ends the session, not only its cookie.
pub async fn sign_out(
    State(app): State<App>,
    visitor: Visitor,
    _: Form<Nothing>,
) -> Result<Response, Refusal> {
    let ended = app.accounts().sign_out(&visitor.caller(), &visitor.session).await;
    ended.map_err(|error| app.refuse(error))?;
    let cookie = match visitor.session.holder {
        SessionHolder::Operator => Cookie::Operator,
        SessionHolder::Member { .. } => Cookie::Portal,
    };
    let mut response = document::see_other(&visitor.place());
    response.headers_mut().insert(header::SET_COOKIE, cookie.clear(app.public_url()));
    Ok(response)
}
