//! Sends the outbox to webhooks by Standard Webhooks 1.0.0: signed, retried with a growing pause
//! for three days, each event under one id. Times here are the system's, also under a test clock:
//! receivers compare them with their own.

mod address;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::{Client, Url, redirect};
use ring::hmac;

use crate::clock::Clock;

use super::Accounts;
use super::database::{DatabaseResult, Row, values};
use super::outbox::Channel;
use super::secret::{base64, from_base64};

/// An event that no webhook took for so long is given up.
const GIVEN_UP_AFTER_MS: i64 = 3 * 86_400_000;
/// The pauses after the first, second, … failed attempt; the last one repeats.
const PAUSES_S: [i64; 9] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800];
const TIMEOUT: Duration = Duration::from_secs(15);
/// Until then an attempt belongs to whoever began it; longer than `TIMEOUT`.
const CLAIMED_MS: i64 = 60_000;
/// Events sent at a time.
const PARALLEL: usize = 8;
const BATCH: i64 = 64;
/// Bytes of a secret, at least, by the specification.
const ENOUGH_SECRET: usize = 24;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub sales: Option<String>,
    pub notices: Option<String>,
    /// `whsec_` and base64; needed where a URL is set.
    pub secret: Option<String>,
    /// Whether a webhook may be at a loopback or private address.
    pub allow_private: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    #[error("webhooks.{name} is no http or https URL")]
    Url { name: &'static str },
    #[error("webhooks.{name} is at a private address: set webhooks.allow_private to allow it")]
    Private { name: &'static str },
    #[error("webhooks.secret is missing: write whsec_ and the base64 of 24 to 64 random bytes")]
    NoSecret,
    #[error("webhooks.secret can't be read: write whsec_ and the base64 of 24 to 64 random bytes")]
    Secret,
    #[error("webhooks: no HTTP client: {reason}")]
    Client { reason: String },
}

/// Knows where events go and signs them.
pub struct Webhooks {
    client: Client,
    key: Option<hmac::Key>,
    endpoints: Vec<(Channel, Url)>,
}

impl Webhooks {
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut endpoints = Vec::new();
        for (channel, name, url) in
            [(Channel::Sales, "sales", &settings.sales), (Channel::Notices, "notices", &settings.notices)]
        {
            let Some(url) = url else { continue };
            let url: Url = url.parse().map_err(|_| SettingsError::Url { name })?;
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                return Err(SettingsError::Url { name });
            }
            // A name is looked at when it is resolved, each time.
            if !settings.allow_private && address::is_private_host(&url) {
                return Err(SettingsError::Private { name });
            }
            endpoints.push((channel, url));
        }
        let key = match &settings.secret {
            Some(secret) => Some(read_secret(secret)?),
            None if endpoints.is_empty() => None,
            None => return Err(SettingsError::NoSecret),
        };
        Ok(Self { client: client(settings.allow_private)?, key, endpoints })
    }

    fn url(&self, channel: &str) -> Option<&Url> {
        self.endpoints.iter().find(|(known, _)| known.as_str() == channel).map(|(_, url)| url)
    }

    /// `v1,` and the base64 HMAC over id, time and body.
    fn sign(&self, id: &str, timestamp_s: i64, body: &str) -> Option<String> {
        let message = format!("{id}.{timestamp_s}.{body}");
        let key = self.key.as_ref()?;
        Some(format!("v1,{}", base64(hmac::sign(key, message.as_bytes()).as_ref())))
    }

    /// Whether the receiver took it: any 2xx. A redirect is none.
    async fn send(&self, event: &Outgoing) -> Result<(), String> {
        let url = self.url(&event.channel).ok_or("no webhook is configured")?;
        let timestamp_s = Clock::System.now_ms().div_euclid(1000);
        let signature = self.sign(&event.id, timestamp_s, &event.body).ok_or("no secret is configured")?;
        let request = self
            .client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", signature)
            .body(event.body.clone());
        // The URL may hold a secret of the receiver's.
        let answer = request.send().await.map_err(|error| describe(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the webhook answered {status}")) }
    }
}

struct Outgoing {
    id: String,
    channel: String,
    body: String,
    attempts: i64,
    stored_ms: i64,
}

impl Accounts {
    /// Sends what is due, a bounded number at a time; answers how many events were taken.
    pub async fn deliver(&self) -> DatabaseResult<u64> {
        let mut taken = 0;
        for (channel, _) in &self.webhooks.endpoints {
            let sql = "SELECT id, channel, body, attempts, stored_ms FROM outbox
                       WHERE state = 'pending' AND channel = $1 AND next_attempt_ms <= $2
                       ORDER BY next_attempt_ms, id LIMIT $3";
            let now_ms = Clock::System.now_ms();
            let rows = self.database.fetch_all(sql, values![channel.as_str(), now_ms, BATCH]).await?;
            let events = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
            let results: Vec<DatabaseResult<bool>> = stream::iter(events)
                .map(|event| self.attempt(event))
                .buffer_unordered(PARALLEL)
                .collect()
                .await;
            for result in results {
                taken += u64::from(result?);
            }
        }
        Ok(taken)
    }

    async fn attempt(&self, event: Outgoing) -> DatabaseResult<bool> {
        let now_ms = Clock::System.now_ms();
        let claim = "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = $3
                     WHERE id = $1 AND attempts = $2 AND state = 'pending'";
        let claimed = self
            .database
            .execute(claim, values![event.id.as_str(), event.attempts, now_ms + CLAIMED_MS])
            .await?;
        if claimed == 0 {
            return Ok(false);
        }
        let (state, next_ms, error) = match self.webhooks.send(&event).await {
            Ok(()) => ("delivered", now_ms, None),
            Err(reason) => {
                let next_ms = Clock::System.now_ms() + pause_ms(event.attempts);
                let given_up = next_ms - event.stored_ms > GIVEN_UP_AFTER_MS;
                let state = if given_up { "failed" } else { "pending" };
                tracing::warn!(event = %event.id, attempt = event.attempts + 1, state, "send webhook: {reason}");
                (state, next_ms, Some(reason))
            }
        };
        let sql = "UPDATE outbox SET state = $2, next_attempt_ms = $3, last_error = $4 WHERE id = $1";
        self.database.execute(sql, values![event.id.as_str(), state, next_ms, error]).await?;
        Ok(state == "delivered")
    }
}

/// The pause after as many attempts failed before this one.
fn pause_ms(attempts_before: i64) -> i64 {
    let index = usize::try_from(attempts_before).unwrap_or(0).min(PAUSES_S.len() - 1);
    PAUSES_S[index] * 1000
}

fn read(row: &Row) -> DatabaseResult<Outgoing> {
    Ok(Outgoing {
        id: row.text(0)?.to_owned(),
        channel: row.text(1)?.to_owned(),
        body: row.text(2)?.to_owned(),
        attempts: row.integer(3)?,
        stored_ms: row.integer(4)?,
    })
}

/// `whsec_` and base64, as the specification has it; base64 alone; else the text's own bytes.
fn read_secret(secret: &str) -> Result<hmac::Key, SettingsError> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => from_base64(encoded),
        None => from_base64(secret).or_else(|| Some(secret.as_bytes().to_vec())),
    };
    let bytes = bytes.filter(|bytes| !bytes.is_empty()).ok_or(SettingsError::Secret)?;
    if bytes.len() < ENOUGH_SECRET {
        tracing::warn!("webhooks.secret has {} bytes: take {ENOUGH_SECRET} to 64 random ones", bytes.len());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn client(allow_private: bool) -> Result<Client, SettingsError> {
    let mut builder = Client::builder()
        .user_agent(concat!("odometer/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        // A proxy would resolve names itself, past the check of their addresses.
        .no_proxy();
    if !allow_private {
        builder = builder.dns_resolver(Arc::new(address::PublicResolver));
    }
    builder.build().map_err(|error| SettingsError::Client { reason: describe(&error) })
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
