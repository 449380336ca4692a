//! What every page has: its frame, and the headers that keep others out.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::ASSETS;

/// Nothing from elsewhere, nothing inline, and in nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    font-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
/// A link's token stands in the first request's address: no later one tells of it.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// A page: its head, the bar on top, and what is on it.
pub fn page(title: &str, bar: &Markup, content: &Markup) -> Markup {
    framed(title, None, bar, content)
}

fn framed(title: &str, refresh: Option<&str>, bar: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(refresh) = refresh {
                    meta http-equiv="refresh" content=(format!("0; url={refresh}"));
                }
                title { (title) " · odometer" }
                link rel="preload" href=(ASSETS.font.path) as="font" type="font/woff2" crossorigin;
                link rel="stylesheet" href=(ASSETS.style.path);
                link rel="icon" href=(ASSETS.icon.path) type="image/svg+xml";
                script src=(ASSETS.script.path) defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.bar {
                    div.inner {
                        span.brand { (mark()) span { "odometer" } }
                        (bar)
                    }
                }
                main #content tabindex="-1" { (content) }
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg viewBox="0 0 24 24" aria-hidden="true" {
            path d="M4 17a8 8 0 1 1 16 0" {}
            path d="M12 17l4-6" {}
            circle cx="12" cy="17" r="1.6" {}
        }
    }
}

/// A calm page with few words.
pub fn message(status: StatusCode, title: &str, words: &Markup) -> Response {
    let content = html! {
        section.message {
            h1 { (title) }
            (words)
        }
    };
    respond(status, page(title, &html! {}, &content))
}

/// A page that is not there, or that is nobody's business.
pub fn not_found() -> Response {
    let words = html! {
        p { "Nothing is at this address, or your session does not reach it." }
        p.quiet { "A session reaches the one organization that it was opened for." }
    };
    message(StatusCode::NOT_FOUND, "Not found", &words)
}

/// Goes on to a page of ours by a step of our own, so that the browser sends the new cookie also
/// where somebody followed a link on another site.
pub fn step(to: &str) -> Response {
    let words = html! { p { a href=(to) { "Go on to the page" } } };
    let content = html! { section.message { h1 { "Signing in" } (words) } };
    respond(StatusCode::OK, framed("Signing in", Some(to), &html! {}, &content))
}

pub fn see_other(to: &str) -> Response {
    let location = HeaderValue::from_str(to).expect("paths of ours are plain ASCII");
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub fn respond(status: StatusCode, page: Markup) -> Response {
    with_headers(status, Body::from(page.into_string()))
}

/// Private, never kept, and with all that keeps others out.
pub fn with_headers(status: StatusCode, body: Body) -> Response {
    let mut response = (status, body).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
