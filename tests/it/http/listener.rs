//! The listener: what a socket sees.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use odometer::http::{bind, serve};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_takes_nothing_more() {
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "done"
    };
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let app = Router::new().route("/slow", get(slow));
    let serving = tokio::spawn(serve(listener, app, shutdown.clone(), Duration::from_secs(5)));
    let url = format!("http://{address}/slow");
    let under_way = tokio::spawn(reqwest::get(url.clone()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    let answer = under_way.await.unwrap().expect("an answer");
    assert_eq!(answer.text().await.unwrap(), "done");
    serving.await.unwrap();
    assert!(reqwest::get(url).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = bind(&address).await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("http.listen"), "{error}");
}
