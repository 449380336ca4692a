//! Who asks, and what they may do.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{App, Problem, session};
pub use crate::accounts::Role;
use crate::accounts::api_key::KeyHolder;
use crate::accounts::{AccountError, Actor};

#[cfg(test)]
mod tests;

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The one who runs odometer: reaches every organization.
    Operator,
    /// The holder of an API key: reaches one organization.
    Member { organization: Arc<str>, role: Role, key_id: Arc<str> },
}

impl Caller {
    /// To anyone else an organization looks as if it did not exist.
    fn must_reach(&self, organization: &str) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Member { organization: own, .. } if **own == *organization => Ok(()),
            Self::Member { .. } => Err(Problem::organization_not_found(organization)),
        }
    }

    /// As the room accounts knows them.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Operator => Actor::Operator,
            Self::Member { organization, role, key_id } => {
                Actor::Key { id: key_id.to_string(), organization: organization.to_string(), role: *role }
            }
        }
    }

    fn role(&self) -> Option<Role> {
        match self {
            Self::Operator => None,
            Self::Member { role, .. } => Some(*role),
        }
    }

    /// For what gateways may do too.
    pub fn may_ask(&self, organization: &str) -> Result<(), Problem> {
        self.must_reach(organization)
    }

    pub fn may_read(&self, organization: &str) -> Result<(), Problem> {
        self.must_reach(organization)?;
        match self.role() {
            None | Some(Role::Admin | Role::Viewer) => Ok(()),
            Some(Role::Runtime) => Err(Problem::role(
                "A key of role runtime fetches the licence and asks entitlements, nothing else; \
                 use a key of role viewer or admin.",
            )),
        }
    }

    pub fn may_change(&self, organization: &str) -> Result<(), Problem> {
        self.may_read(organization)?;
        match self.role() {
            None | Some(Role::Admin) => Ok(()),
            Some(_) => Err(Problem::role("A key of role viewer changes nothing; use a key of role admin.")),
        }
    }

    pub fn must_be_operator(&self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Member { .. } => Err(Problem::role("This takes the operator's token.")),
        }
    }
}

/// The tokens that open the API.
#[derive(Clone)]
pub struct Tokens {
    /// Hashes are compared, so that neither length nor a common beginning shows in the time.
    operator: [u8; 32],
}

impl Tokens {
    /// `operator` is not empty.
    pub fn new(operator: &str) -> Self {
        Self { operator: Sha256::digest(operator).into() }
    }

    pub(super) fn caller(&self, token: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        bool::from(hash.ct_eq(&self.operator)).then_some(Caller::Operator)
    }
}

/// Lets a request on only with a token that is known, and notes whose it is.
pub async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let takes_cookie = session::is_stream(&request);
    match identify(&app, request.headers(), takes_cookie).await {
        Ok(caller) => {
            if let Err(problem) = app.rates.take(&caller) {
                return problem.into_response();
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether a stream that was begun with these headers may go on. Only a clear no ends it.
pub(super) async fn may_still_read(app: &App, headers: &HeaderMap, organization: &str) -> bool {
    let takes_cookie = !headers.contains_key(header::AUTHORIZATION);
    match identify(app, headers, takes_cookie).await {
        Ok(caller) => caller.may_read(organization).is_ok(),
        Err(problem) => problem.status() != StatusCode::UNAUTHORIZED,
    }
}

async fn identify(app: &App, headers: &HeaderMap, takes_cookie: bool) -> Result<Caller, Problem> {
    if takes_cookie && let Some(session) = session::of(app, session::Cookie::Portal, headers).await? {
        return Ok(session::caller(&session));
    }
    let token = bearer_token(headers)?;
    if let Some(caller) = app.tokens.caller(token) {
        return Ok(caller);
    }
    let holder = app.accounts.authenticate(token).await.map_err(AccountError::from);
    let holder = holder.map_err(|error| app.refuse(error))?;
    let KeyHolder { id, organization, role } =
        holder.ok_or_else(|| Problem::unauthorized("The bearer token is not known."))?;
    Ok(Caller::Member { organization: organization.into(), role, key_id: id.into() })
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| Problem::unauthorized("Send the header `Authorization: Bearer TOKEN`."))?;
    let malformed = || {
        Problem::unauthorized("The Authorization header is not of the form `Authorization: Bearer TOKEN`.")
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(malformed()) }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a route that needs a caller authenticates nobody");
            Problem::internal()
        })
    }
}
