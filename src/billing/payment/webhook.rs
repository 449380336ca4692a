//! What the provider tells by itself: events, signed, possibly old, repeated and out of order.

use std::fmt;

use ring::hmac;
use serde::Deserialize;
use serde_json::json;

use crate::accounts::database::{DatabaseResult, values};
use crate::accounts::{AccountError, Caller, Change};
use crate::clock::Clock;

use super::Payments;
use super::attempt::{Decided, Undecided, Verdict, charge_of};
use super::collect::Occasion;
use super::outcome::conclude;
use super::stripe::{ATTEMPT, Intent};

#[cfg(test)]
mod tests;

/// How far a signature's time may lie from ours, in milliseconds.
const TOLERANCE_MS: i64 = 300_000;

/// How long events are known, in milliseconds: 35 days. The provider sends one again for three days
/// by itself, and for 30 days by hand.
const KEPT_MS: i64 = 35 * 86_400_000;

/// What events are signed with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// The text as the provider shows it, `whsec_` and all.
    pub fn new(text: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("no webhook secret is configured")]
    NotConfigured,
    #[error("the signature is missing or can't be read")]
    NoSignature,
    #[error("the signature is not that of the body")]
    WrongSignature,
    #[error("the signature is more than five minutes from now")]
    Old,
    #[error("the event can't be read")]
    Malformed,
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// What an event was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A payment of ours is decided by it.
    Taken,
    /// It was taken in before.
    Again,
    /// It says nothing that we need.
    Ignored,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: serde_json::Value,
}

impl Payments {
    /// Takes an event in. `signature` is the header `Stripe-Signature`, `body` the bytes as sent.
    pub async fn receive(&self, signature: &str, body: &[u8]) -> Result<Received, WebhookError> {
        let secret = self.webhook_secret.as_ref().ok_or(WebhookError::NotConfigured)?;
        // Under a test clock the provider's own time goes on.
        let clocks = [self.accounts.clock().now_ms(), Clock::System.now_ms()];
        verify(secret, signature, body, &clocks)?;
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
        Ok(self.take_in(&event).await?)
    }

    /// Forgets events that are too old to come again; answers how many.
    pub async fn sweep_events(&self) -> DatabaseResult<u64> {
        let sql = "DELETE FROM provider_events WHERE received_ms < $1";
        let kept_from_ms = Clock::System.now_ms() - KEPT_MS;
        self.accounts.database().execute(sql, values![kept_from_ms]).await
    }

    async fn take_in(&self, event: &Event) -> Result<Received, AccountError> {
        let mut change = self.accounts.begin(&Caller::schedule()).await?;
        if !is_new(&mut change, event).await? {
            return Ok(Received::Again);
        }
        let received = apply(&mut change, event).await?;
        change.commit(200, &()).await?;
        Ok(received)
    }
}

async fn is_new(change: &mut Change<'_>, event: &Event) -> DatabaseResult<bool> {
    let sql = "INSERT INTO provider_events (id, type, received_ms) VALUES ($1, $2, $3)
               ON CONFLICT (id) DO NOTHING";
    let values = values![event.id.as_str(), event.event_type.as_str(), Clock::System.now_ms()];
    Ok(change.execute(sql, values).await? == 1)
}

async fn apply(change: &mut Change<'_>, event: &Event) -> Result<Received, AccountError> {
    let is_payment = event.event_type.starts_with("payment_intent.");
    let intent = is_payment.then(|| Intent::deserialize(&event.data.object).ok()).flatten();
    let Some(intent) = intent else { return Ok(Received::Ignored) };
    let Some(attempt) = intent.metadata.get(ATTEMPT) else { return Ok(Received::Ignored) };
    let decided = match event.event_type.as_str() {
        "payment_intent.succeeded" => succeeded(change, attempt, &intent).await?,
        "payment_intent.payment_failed" | "payment_intent.canceled" => {
            failed(change, attempt, &intent).await?
        }
        _ => None,
    };
    let Some(decided) = decided else { return Ok(Received::Ignored) };
    conclude(change, decided, Occasion::Scheduled).await?;
    Ok(Received::Taken)
}

/// Money that moved has moved, also where a failure was told of the attempt before.
async fn succeeded(
    change: &mut Change<'_>,
    attempt: &str,
    intent: &Intent,
) -> Result<Option<Decided>, AccountError> {
    let Some(charge) = charge_of(change, attempt).await? else { return Ok(None) };
    if !intent.is_of(&charge) {
        let (invoice, organization) = (&charge.invoice, &charge.organization);
        tracing::error!(payment = attempt, invoice, "an event tells of another amount than was asked for");
        let data = json!({ "payment": attempt, "invoice": invoice, "reference": intent.id });
        change.record("payment.mismatch", Some(organization), None, Some(data)).await?;
        return Ok(None);
    }
    let succeeded = Decided::by_provider(change, vec![(charge, intent.id.clone())]).await?;
    Ok(succeeded.into_iter().next())
}

/// Says something of an attempt that is under way alone: it may come after the success of a later
/// try of the same payment.
async fn failed(
    change: &mut Change<'_>,
    attempt: &str,
    intent: &Intent,
) -> Result<Option<Decided>, AccountError> {
    let Some(undecided) = Undecided::of_id(change, attempt).await? else { return Ok(None) };
    let (code, message) = intent.failure();
    let verdict = Verdict::Declined { reference: Some(intent.id.clone()), code, message };
    Ok(undecided.decide(change, verdict).await?)
}

/// The header for a body, as the provider makes it; for tests and for trying a webhook out.
pub fn sign(secret: &str, epoch_s: i64, body: &[u8]) -> String {
    let tag = hmac::sign(&Secret::new(secret).0, &signed(epoch_s, body));
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={epoch_s},v1={hex}")
}

fn signed(epoch_s: i64, body: &[u8]) -> Vec<u8> {
    [epoch_s.to_string().as_bytes(), b".", body].concat()
}

/// `t=SECONDS,v1=HEX,…`: one of the signatures of scheme v1 must be right, and its time near.
pub(super) fn verify(
    secret: &Secret,
    header: &str,
    body: &[u8],
    clocks_ms: &[i64],
) -> Result<(), WebhookError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let epoch_s = parts().find(|(name, _)| *name == "t").and_then(|(_, value)| value.parse::<i64>().ok());
    let epoch_s = epoch_s.ok_or(WebhookError::NoSignature)?;
    let mut signatures = parts().filter(|(name, _)| *name == "v1").map(|(_, value)| value).peekable();
    if signatures.peek().is_none() {
        return Err(WebhookError::NoSignature);
    }
    let message = signed(epoch_s, body);
    let is_right =
        |hex: &str| bytes_of(hex).is_some_and(|tag| hmac::verify(&secret.0, &message, &tag).is_ok());
    if !signatures.any(is_right) {
        return Err(WebhookError::WrongSignature);
    }
    let signed_ms = epoch_s.saturating_mul(1000);
    let is_near = |clock_ms: &i64| clock_ms.saturating_sub(signed_ms).saturating_abs() <= TOLERANCE_MS;
    if clocks_ms.iter().any(is_near) { Ok(()) } else { Err(WebhookError::Old) }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}
