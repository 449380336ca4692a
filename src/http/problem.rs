//! Errors as RFC 9457 problem details.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not done. `type` is a slug that programs may rely on; `detail` is for people
/// and says what to do.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, slug, title, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// A further member of the document, e.g. `contact`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to try again; started seconds count whole.
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn title(&self) -> &'static str {
        self.title
    }

    /// For people: what is wrong and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn slug(&self) -> &'static str {
        self.slug
    }

    pub fn bad_request(
        slug: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, slug, title, detail)
    }

    pub fn unauthorized(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"odometer\""))
    }

    pub fn role(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "role", "The token's role does not allow this", detail)
    }

    pub fn organization_not_found(organization: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "organization-not-found",
            "No such organization",
            format!(
                "Organization {organization:?} has neither an account nor usage, or this token does not reach it."
            ),
        )
    }

    pub fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Nothing is here",
            format!("No route matches {path}. The routes are listed at /openapi.json."),
        )
    }

    /// Something of ours is wrong; what, stands in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here",
            "The request was not done; the server's log says why.",
        )
    }

    pub fn store_unavailable() -> Self {
        Self::unavailable(
            "store-unavailable",
            "The store does not answer",
            "ClickHouse could not be reached; try again as Retry-After says. /readyz says more.",
        )
    }

    /// The log has told of it once.
    pub fn organization_unreadable(organization: &str) -> Self {
        Self::unavailable(
            "organization-unreadable",
            "The organization can't be read",
            format!(
                "What is stored of organization {organization:?} can't be read; its operator has to mend it."
            ),
        )
    }

    pub fn accounts_unavailable() -> Self {
        Self::unavailable(
            "accounts-unavailable",
            "The accounts database does not answer",
            "It could not be reached; try again as Retry-After says.",
        )
    }

    pub fn unavailable(
        slug: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, title, detail).retry_after(Duration::from_secs(1))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = Map::new();
        document.insert("type".into(), self.slug.into());
        document.insert("title".into(), self.title.into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("detail".into(), self.detail.into_owned().into());
        document.extend(self.members);
        let body = Value::Object(document).to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.extend(self.headers);
        response
    }
}
