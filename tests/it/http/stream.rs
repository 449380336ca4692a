use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::header;
use axum::response::Response;
use futures::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::ledger::calls;
use super::{PATIENCE, Service, authorized};

/// The events of a stream, one by one.
pub struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn of(service: &Service, organization: &str) -> Self {
        let path = format!("/v1/organizations/{organization}/usage/stream");
        Self::from(service.app.clone().oneshot(authorized(&path)).await.unwrap())
    }

    pub fn from(response: Response) -> Self {
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The data of the next event; `None` at the stream's end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return Some(serde_json::from_str(&data).expect("JSON"));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.expect("a chunk")).expect("a text"));
        }
    }

    async fn is_silent_for(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.next()).await.is_err()
    }
}

#[tokio::test]
async fn each_change_is_one_event() {
    let service = Service::new("stream").await;
    let mut lane = service.lane(0);
    lane.live(2, &[calls("acme", 1), calls("other", 1)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 1).await;
    let mut events = Events::of(&service, "acme").await;
    let first = events.next().await.unwrap();
    assert_eq!(first, service.get("/v1/organizations/acme/usage").await.json(), "first what is");
    lane.live(1, &[calls("acme", 4)], &[]).await;
    assert_eq!(events.next().await.unwrap()["usage"]["api_calls"], 5);
    // Another organization's usage, and time that passes, are no change of this one's.
    lane.live(1, &[calls("other", 4)], &[]).await;
    service.usage_once("other", "/usage/api_calls", 5).await;
    service.set_now("2026-11-23T18:00:05Z");
    assert!(events.is_silent_for(Duration::from_millis(700)).await);
    lane.live(1, &[calls("acme", 1)], &[]).await;
    assert_eq!(events.next().await.unwrap()["usage"]["api_calls"], 6);
    service.shutdown.cancel();
    assert_eq!(events.next().await, None, "a stop ends the stream");
}
