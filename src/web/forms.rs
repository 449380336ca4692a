//! Forms: each carries its session's token, and is read only with it.

use axum::extract::{FromRequest, FromRequestParts, Request};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::visitor::{Refusal, Visitor};
use crate::accounts::Accounts;
use crate::accounts::portal_session::SignedIn;
use crate::http::App;

/// What a form of an organization's page says, once it is known to come from there.
pub struct Form<T>(pub T);

#[derive(Deserialize)]
struct Signed {
    #[serde(default)]
    form_token: String,
}

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        read(request, app, &visitor.session).await.map(Self)
    }
}

/// Reads a form of a session.
pub async fn read<T: DeserializeOwned>(
    request: Request,
    app: &App,
    session: &SignedIn,
) -> Result<T, Refusal> {
    let body = axum::body::Bytes::from_request(request, app).await.map_err(|_| Refusal::Form)?;
    let signed: Signed = serde_urlencoded::from_bytes(&body).map_err(|_| Refusal::Form)?;
    if !Accounts::is_form_token(session, &signed.form_token) {
        return Err(Refusal::Form);
    }
    serde_urlencoded::from_bytes(&body).map_err(|_| Refusal::Form)
}

/// The hidden field that every form of a session has.
pub fn token(session: &SignedIn) -> Markup {
    html! { input type="hidden" name="form_token" value=(session.form_token); }
}

/// A form that says nothing but that it was sent.
#[derive(Deserialize)]
pub struct Nothing {}
