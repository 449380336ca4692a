//! The API's description, made from the routes themselves.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Ref, RefOr, Server};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use super::App;
use super::problem::{self, Problem};

const PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "odometer",
        description = "Exact usage metering for API platforms: what every organization used, up to which \
                       instant that is known, and what it costs.",
    ),
    security(("bearer" = [])),
    components(schemas(ProblemDocument)),
    modifiers(&Bearer),
    tags(
        (name = "usage", description = "What an organization used"),
        (name = "accounts", description = "Organizations, their plans, regions, licenses, keys and payment methods"),
        (name = "billing", description = "Invoices and payments"),
        (name = "operation", description = "Whether the process is well; no token is needed"),
    ),
    paths(openapi_json),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The operator's token, or an organization's API key."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        let description = "The payment provider signs what it sends.";
        let scheme = ApiKey::Header(ApiKeyValue::with_description("Stripe-Signature", description));
        components.add_security_scheme("signature", SecurityScheme::ApiKey(scheme));
    }
}

/// An error: RFC 9457 problem details.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
struct ProblemDocument {
    /// Names the kind of error; programs may rely on it.
    #[schema(example = "organization-not-found")]
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// For people: what is wrong and what to do.
    detail: String,
}

impl IntoResponses for Problem {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let described = [
            ("400", "The request can't be read"),
            ("401", "No token, or one that is not known"),
            ("403", "The token's role does not allow this"),
            ("402", "Plan plus needs a payment method"),
            ("404", "No such organization, or the token does not reach it"),
            ("409", "What is there already, or was changed meanwhile, stands against it"),
            ("422", "The request is read, but its values can't be taken"),
            ("429", "Too many requests; Retry-After says when to come back"),
            ("500", "Something is wrong in odometer"),
            ("503", "What is needed does not answer, or too much is asked at once"),
            ("504", "The request took too long"),
        ];
        let response = |description: &str| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            ResponseBuilder::new().description(description).content(problem::CONTENT_TYPE, content).build()
        };
        described.map(|(status, text)| (status.to_owned(), RefOr::T(response(text)))).into()
    }
}

/// What all routes' descriptions are added to.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The whole description, as it is served.
pub fn finish(mut document: utoipa::openapi::OpenApi, public_url: &str) -> Bytes {
    document.servers = Some(vec![Server::new(public_url)]);
    document.to_json().expect("the description is plain data").into()
}

/// This description.
#[utoipa::path(get, path = PATH, tag = "operation", security(()),
    responses((status = OK, body = Object, description = "OpenAPI 3.1")))]
#[expect(dead_code, reason = "it describes the route that `route` makes")]
async fn openapi_json() {}

pub fn route(document: &Bytes) -> Router<App> {
    let document = document.clone();
    let answer = move || {
        let document = document.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], document) }
    };
    Router::new().route(PATH, get(answer))
}
