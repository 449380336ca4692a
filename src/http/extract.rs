//! Parts of a request, read so that a mistake is answered with a problem that names it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Caller, Problem};

#[cfg(test)]
mod tests;

/// Query parameters; an unknown one is an error where `T` denies unknown fields.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| invalid_query(rejection.body_text()))
    }
}

pub fn invalid_query(detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid-query", "The query can't be read", detail.into())
}

/// The parameters of the path, percent-decoded.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection| {
                Problem::bad_request("invalid-path", "The path can't be read", rejection.body_text())
            })
    }
}

/// A JSON body. What is wrong with it is said with a JSON pointer to the place.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        let body = read_body(request, state).await?;
        parse(&body).map(Self)
    }
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => body_too_large(),
        _ => Problem::bad_request("invalid-body", "The body can't be read", rejection.body_text()),
    })
}

pub fn body_too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        "The body is too large",
        format!("A body may have {} bytes.", super::MAX_BODY_BYTES),
    )
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = named.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        None | Some("application/json") => Ok(()),
        Some(other) if other.starts_with("application/") && other.ends_with("+json") => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body's type is not supported",
            "Send JSON with `Content-Type: application/json`.",
        )),
    }
}

/// How much the client likes the best of some media ranges: 0 (not at all) to 1.
pub fn quality(headers: &HeaderMap, wanted: &[&str]) -> f32 {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let weight = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).unwrap_or("1");
        wanted.contains(&name.as_str()).then(|| weight.parse::<f32>().unwrap_or(0.0))
    };
    accepted.flat_map(|value| value.split(',')).filter_map(weight).fold(0.0, f32::max)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer_to(error.path());
        invalid_body(&error.inner().to_string(), &pointer)
    })?;
    deserializer.end().map_err(|error| invalid_body(&error.to_string(), ""))?;
    Ok(value)
}

/// What stands at `pointer` (RFC 6901) is wrong.
pub fn invalid_body(detail: &str, pointer: &str) -> Problem {
    Problem::bad_request("invalid-body", "The body can't be read", detail.to_owned())
        .with("errors", serde_json::json!([{ "pointer": pointer, "detail": detail }]))
}

fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

/// The organization that a request is about, once its caller may read it.
pub struct Readable(pub Arc<str>);

/// The organization that a request is about, once its caller may change it.
pub struct Changeable(pub Arc<str>);

/// The organization that a request is about, once its caller may ask what gateways ask.
pub struct Askable(pub Arc<str>);

macro_rules! organization_for {
    ($name:ident, $permission:ident) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let organization = organization(parts, state).await?;
                Caller::from_request_parts(parts, state).await?.$permission(&organization)?;
                Ok(Self(organization.into()))
            }
        }
    };
}

organization_for!(Readable, may_read);
organization_for!(Changeable, may_change);
organization_for!(Askable, may_ask);

#[derive(Deserialize)]
struct OrganizationPath {
    org: String,
}

async fn organization<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    Path::<OrganizationPath>::from_request_parts(parts, state).await.map(|Path(path)| path.org)
}
