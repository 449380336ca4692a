//! Who is signed in to the pages, by a cookie.
//!
//! A session of the operator has a cookie of its own, so that an operator who looks at a customer's
//! page stays signed in to the operator's.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};

use super::{App, Caller, Problem};
use crate::accounts::portal_session::{SessionHolder, SignedIn};

/// A cookie of one of the two kinds of session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    Portal,
    Operator,
}

impl Cookie {
    /// Over TLS the prefix makes browsers take it only from this host and only for all its paths.
    pub fn name(self, public_url: &str) -> &'static str {
        match (self, is_secure(public_url)) {
            (Self::Portal, true) => "__Host-odometer-portal",
            (Self::Portal, false) => "odometer-portal",
            (Self::Operator, true) => "__Host-odometer-operator",
            (Self::Operator, false) => "odometer-operator",
        }
    }

    /// Signs in. It lasts as long as the browser is open: when it is over, the server says.
    pub fn set(self, public_url: &str, token: &str) -> HeaderValue {
        self.header(public_url, &format!("{token}; Path=/; HttpOnly; SameSite=Strict"))
    }

    pub fn clear(self, public_url: &str) -> HeaderValue {
        self.header(public_url, "; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn header(self, public_url: &str, rest: &str) -> HeaderValue {
        let secure = if is_secure(public_url) { "; Secure" } else { "" };
        let text = format!("{}={rest}{secure}", self.name(public_url));
        HeaderValue::from_str(&text).expect("tokens that are signed in with are plain ASCII")
    }

    fn read(self, public_url: &str, headers: &HeaderMap) -> Option<String> {
        let name = self.name(public_url);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).map(str::trim);
        let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }
}

fn is_secure(public_url: &str) -> bool {
    public_url.starts_with("https://")
}

/// The session of a cookie, where it is open. It is held to the rate of any key.
pub async fn of(app: &App, cookie: Cookie, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    let Some(token) = cookie.read(&app.public_url, headers) else { return Ok(None) };
    let found = app.accounts.signed_in(&token).await;
    let found = found.map_err(|error| app.refuse(error.into()))?;
    if let Some(session) = &found {
        app.rates.take(&caller(session))?;
    }
    Ok(found)
}

/// The caller that a session's holder is.
pub fn caller(session: &SignedIn) -> Caller {
    match &session.holder {
        SessionHolder::Operator => Caller::Operator,
        SessionHolder::Member { organization, role } => Caller::Member {
            organization: organization.as_str().into(),
            role: *role,
            key_id: session.id.as_str().into(),
        },
    }
}

/// Browsers open event streams without a header of ours, so those take the page's cookie too.
pub(super) fn is_stream(request: &Request) -> bool {
    request.method() == Method::GET
        && request.uri().path().ends_with("/usage/stream")
        && !request.headers().contains_key(header::AUTHORIZATION)
}
