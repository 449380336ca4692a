//! Requests to Stripe: forms out, JSON back, repeated where that is safe.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, header, redirect};
use serde_json::Value;

use super::super::SettingsError;
use super::super::provider::ProviderError;
use super::Fields;

/// The version of Stripe's API whose answers are understood here.
const VERSION: &str = "2024-06-20";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One try. Stripe gives up after 80 s at most; most charges take 2.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Tries of one request, with the pauses between them: 80 s in all, less than an attempt is claimed
/// for.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(2000)];
/// Bytes of an answer: a page of a list with 100 intents has some 300 KB.
const MOST_BYTES: usize = 4 << 20;

#[derive(Clone)]
pub struct Api {
    client: Client,
    secret_key: String,
    base_url: String,
}

/// Without the key.
impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

pub struct Reply {
    pub status: u16,
    pub json: Value,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }

    /// What Stripe says is wrong, for people.
    pub fn message(&self) -> String {
        let message = self.json["error"]["message"].as_str();
        message.unwrap_or("The payment provider gives no reason.").to_owned()
    }

    /// What an answer that is no success says of what was asked.
    pub fn error(&self) -> ProviderError {
        let cause = match self.status {
            // Its message may quote the key.
            401 => "status 401: it does not know payments.secret_key".to_owned(),
            status => format!("status {status}: {}", self.message()),
        };
        // In use: the first request under this key is under way still. A key that was used for other
        // content, too: what became of that is not said.
        let is_about_the_key = self.json["error"]["type"] == "idempotency_error";
        match self.status {
            409 | 429 => ProviderError::Unknown { cause },
            400..500 if !is_about_the_key => ProviderError::Refused { cause },
            _ => ProviderError::Unknown { cause },
        }
    }
}

impl Api {
    pub fn new(secret_key: &str, base_url: &str) -> Result<Self, SettingsError> {
        let client = Client::builder()
            .user_agent(concat!("odometer/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| SettingsError::Client { reason: error.to_string() })?;
        Ok(Self { client, secret_key: secret_key.to_owned(), base_url: base_url.to_owned() })
    }

    /// Under an idempotency key, so that it may be repeated.
    pub async fn post(&self, path: &str, fields: &Fields, key: &str) -> Result<Reply, ProviderError> {
        let request = self.client.post(self.url(path)).form(fields).header("Idempotency-Key", key);
        self.send(request).await
    }

    pub async fn get(&self, path: &str, fields: &[(&'static str, String)]) -> Result<Reply, ProviderError> {
        self.send(self.client.get(self.url(path)).query(fields)).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, ProviderError> {
        let request = request.bearer_auth(&self.secret_key).header("Stripe-Version", VERSION);
        let mut pauses = PAUSES.into_iter();
        loop {
            let again = request.try_clone().ok_or_else(|| unknown("a request can't be repeated"))?;
            let tried = self.try_once(again).await;
            let is_final = tried.as_ref().is_ok_and(|(_, may_help)| !may_help);
            match pauses.next().filter(|_| !is_final) {
                Some(pause) => tokio::time::sleep(jittered(pause)).await,
                None => return tried.map(|(reply, _)| reply),
            }
        }
    }

    /// The answer, and whether asking again may help.
    async fn try_once(&self, request: RequestBuilder) -> Result<(Reply, bool), ProviderError> {
        let response = request.send().await.map_err(|error| unknown(&describe(error.without_url())))?;
        let status = response.status().as_u16();
        let may_help = should_retry(&response).unwrap_or(matches!(status, 409 | 429 | 500..600));
        let json = read(response).await?;
        Ok((Reply { status, json }, may_help))
    }
}

/// Stripe says so itself, mostly.
fn should_retry(response: &Response) -> Option<bool> {
    response.headers().get("stripe-should-retry")?.to_str().ok()?.parse().ok()
}

async fn read(mut response: Response) -> Result<Value, ProviderError> {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unknown(&describe(error.without_url())))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(unknown("the answer is too long"));
        }
    }
    // A proxy's page in place of an answer is none.
    match serde_json::from_slice(&body) {
        Ok(json) if is_json => Ok(json),
        _ => Err(unknown("the answer is no JSON")),
    }
}

fn unknown(cause: &str) -> ProviderError {
    ProviderError::Unknown { cause: cause.to_owned() }
}

/// An error with its causes.
fn describe(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Half to all of the pause, so that what failed together does not come again together.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half * rand::random_range(0..=100) / 100
}
