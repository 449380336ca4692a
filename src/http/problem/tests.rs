use std::time::Duration;

use axum::http::header;
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn the_document_says_what_and_why() {
    let problem = Problem::role("Only an admin changes the plan.").with("contact", "sales@example.com");
    let response = problem.into_response();
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "type": "role", "title": "The token's role does not allow this", "status": 403,
        "detail": "Only an admin changes the plan.", "contact": "sales@example.com",
    });
    assert_eq!(document, expected);
}

#[test]
fn waits_are_whole_seconds_and_never_none() {
    for (wait_ms, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
        let problem = Problem::internal().retry_after(Duration::from_millis(wait_ms));
        assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], seconds);
    }
}
