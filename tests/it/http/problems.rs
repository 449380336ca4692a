use axum::body::Body;
use axum::http::{Request, header};

use odometer::http::MAX_BODY_BYTES;

use super::ledger::calls;
use super::{Answer, Service, TOKEN, authorized, request};

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, slug: &str) {
    assert_eq!((answer.status.as_u16(), &*answer.problem()), (status, slug), "{answer:?}");
}

#[tokio::test]
async fn every_mistake_is_answered_with_a_problem() {
    let service = Service::new("problems").await;
    service.lane(0).live(1, &[calls("acme", 1)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 1).await;
    let usage = "/v1/organizations/acme/usage";
    let cases = [
        ("", 404, "not-found"),
        ("/v2", 404, "not-found"),
        ("/v1/organizations/acme/usages", 404, "not-found"),
        ("/v1/organizations//usage", 404, "organization-not-found"),
        ("/v1/organizations/nobody/usage", 404, "organization-not-found"),
        ("/v1/organizations/nobody/usage/series", 404, "organization-not-found"),
        ("/v1/organizations/nobody/usage/stream", 404, "organization-not-found"),
        ("/v1/organizations/%FF/usage", 400, "invalid-path"),
        ("/v1/organizations/acme/usage?month=2026-13", 400, "invalid-month"),
        ("/v1/organizations/acme/usage?month=", 400, "invalid-month"),
        ("/v1/organizations/acme/usage?month=2026-1", 400, "invalid-month"),
        ("/v1/organizations/acme/usage?month=now", 400, "invalid-month"),
        ("/v1/organizations/acme/usage?mont=2026-11", 400, "invalid-query"),
        ("/v1/organizations/acme/usage?month=2026-11&month=2026-10", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?window=week", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?limit=0", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?limit=10001", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?limit=x", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?cursor=x", 400, "invalid-cursor"),
        ("/v1/organizations/acme/usage/series?meter=calls", 400, "invalid-meter"),
        ("/v1/organizations/acme/usage/series?region=US", 400, "invalid-query"),
        ("/v1/organizations/acme/usage/series?from=yesterday", 400, "invalid-range"),
        ("/v1/organizations/acme/usage/series?from=2026-11-02&to=2026-11-01", 400, "invalid-range"),
        ("/v1/organizations/acme/usage/series?from=2001&to=2002", 400, "invalid-range"),
        ("/v1/organizations/acme/usage/series?from=2001-01&to=2026-01&window=hour", 400, "invalid-range"),
    ];
    for (path, status, slug) in cases {
        let answer = service.get(if path.is_empty() { "/" } else { path }).await;
        assert_eq!((answer.status.as_u16(), &*answer.problem()), (status, slug), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let answer = service.send(request(method, usage, Some(TOKEN))).await;
        assert_problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.header(header::ALLOW), "GET,HEAD");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token() {
    let service = Service::new("problems_token").await;
    let routes = [
        "/v1/organizations/acme/usage",
        "/v1/organizations/acme/usage?month=bad",
        "/v1/organizations/acme/usage/series",
        "/v1/organizations/acme/usage/stream",
    ];
    for path in routes {
        for token in [None, Some("wrong"), Some("operator-secre"), Some("operator-secrets")] {
            let answer = service.send(request("GET", path, token)).await;
            assert_problem(&answer, 401, "unauthorized");
            assert!(answer.header(header::WWW_AUTHENTICATE).starts_with("Bearer"));
        }
        let basic = Request::get(path).header(header::AUTHORIZATION, format!("Basic {TOKEN}"));
        assert_problem(&service.send(basic.body(Body::empty()).unwrap()).await, 401, "unauthorized");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_read_strictly() {
    let service = Service::new("problems_bodies").await;
    let post = async |media_type: &str, body: String| {
        let request = Request::post("/v1/organizations")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, media_type);
        service.send(request.body(Body::from(body)).unwrap()).await
    };
    let json = "application/json";
    assert_problem(&post(json, "{".into()).await, 400, "invalid-body");
    assert_problem(&post(json, "[]".into()).await, 400, "invalid-body");
    let typo = r#"{ "name": "Acme", "emial": "a@acme.example", "region": "us" }"#;
    let answer = post(json, typo.into()).await;
    assert_problem(&answer, 400, "invalid-body");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/emial");
    assert_problem(&post("text/plain", "{}".into()).await, 415, "unsupported-media-type");
    let large = format!(r#"{{ "name": "{}" }}"#, "a".repeat(MAX_BODY_BYTES));
    assert_problem(&post(json, large).await, 413, "body-too-large");
}

#[tokio::test]
async fn operation_needs_no_token() {
    let service = Service::new("problems_operation").await;
    let get = async |path: &str| service.send(request("GET", path, None)).await;
    let health = get("/healthz").await;
    assert_eq!((health.status.as_u16(), &*health.text), (200, r#"{"status":"alive"}"#));
    let ready = get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["ready"]), (200, &true.into()));
    let assignment = service.readiness.check("assignment");
    assignment.not_ready("no partition of gateway.events is assigned");
    let ready = get("/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert_eq!(ready.json()["checks"][0]["reason"], "no partition of gateway.events is assigned");
    let metrics = get("/metrics").await;
    assert_eq!((metrics.status.as_u16(), &*metrics.text), (200, "odometer_up 1\n"));
    assert!(metrics.header(header::CONTENT_TYPE).starts_with("text/plain"));
    assert_eq!(service.send(authorized("/healthz")).await.status.as_u16(), 200);
}
