use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::*;

async fn ask(app: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, document["type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let fails = async || -> () { panic!("out of cheese") };
    let app = Router::new()
        .route("/fails", get(fails))
        .route("/works", get(async || "fine"))
        .layer(CatchPanicLayer::custom(panicked));
    assert_eq!(ask(&app, "/fails").await, (500, "internal".into()));
    assert_eq!(ask(&app, "/works").await.0, 200);
}

#[tokio::test]
async fn too_much_at_once_is_refused_and_let_in_later() {
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let waits = move || {
        let waiting = waiting.clone();
        async move { waiting.notified().await }
    };
    let app = Router::new()
        .route("/waits", get(waits))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(1)), shed));
    let first = tokio::spawn({
        let app = app.clone();
        async move { ask(&app, "/waits").await }
    });
    tokio::task::yield_now().await;
    assert_eq!(ask(&app, "/waits").await, (503, "overloaded".into()));
    go_on.notify_one();
    assert_eq!(first.await.unwrap().0, 200);
    go_on.notify_one();
    assert_eq!(ask(&app, "/waits").await.0, 200);
}

#[tokio::test]
async fn a_request_ends_in_time() {
    let limit = Duration::from_millis(20);
    let app = Router::new()
        .route("/hangs", get(std::future::pending::<()>))
        .layer(from_fn_with_state(limit, end_in_time));
    assert_eq!(ask(&app, "/hangs").await, (504, "timeout".into()));
}
