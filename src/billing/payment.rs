//! Payments: invoices charged through a provider, never twice.
//!
//! An attempt is written down before the provider hears of it, under an id that is also the
//! provider's idempotency key, and an invoice has one undecided attempt at most. So whatever is cut
//! off where, there is one way on: ask the provider about that attempt, and only where it never heard
//! of it, ask it to charge under the same key.
//!
//! An attempt is [`attempt::Undecided`] from its beginning until an answer makes it
//! [`attempt::Decided`]; the provider is asked for undecided ones alone.

mod amount;
mod attempt;
mod begin;
mod collect;
mod damaged;
mod due;
pub(super) mod dunning;
mod invoice;
mod keep;
mod outcome;
mod provider;
mod sandbox;
mod stripe;
mod unpaid;
mod webhook;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, every};

pub use amount::Amount;
pub(super) use attempt::{is_under_way, withdraw};
pub use collect::{Collected, Collection, Occasion};
pub use dunning::RETRY_DAYS;
pub use keep::KeepError;
pub use provider::{Answer, Charge, Kept, Method, Provider, ProviderError};
pub use sandbox::Sandbox;
pub use stripe::Stripe;
pub use webhook::{Received, WebhookError, sign};

/// How often what is due is looked for.
const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// How often unpaid invoices are counted and old events swept.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);

/// Which provider, and how it is reached.
#[derive(Clone)]
pub enum Settings {
    /// Built in, for trying things out: takes `tok_ok`, declines every other token.
    Sandbox,
    Stripe {
        secret_key: String,
        /// `None`: its webhook is not served.
        webhook_secret: Option<String>,
        /// Without a slash at its end.
        base_url: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("payments: no HTTP client: {reason}")]
    Client { reason: String },
}

/// Has invoices paid. Clones share everything.
#[derive(Clone, Debug)]
pub struct Payments {
    accounts: Arc<Accounts>,
    provider: Arc<dyn Provider>,
    webhook_secret: Option<webhook::Secret>,
    damaged: Arc<damaged::Damaged>,
    /// Invoices that are collected together, where the provider takes so many.
    most_together: NonZeroU32,
}

impl Payments {
    pub fn new(accounts: Arc<Accounts>, settings: &Settings) -> Result<Self, SettingsError> {
        Ok(match settings {
            Settings::Sandbox => {
                let provider = Arc::new(Sandbox::new(accounts.clone()));
                Self::through(accounts, provider)
            }
            Settings::Stripe { secret_key, webhook_secret, base_url } => {
                let provider = Arc::new(Stripe::new(secret_key, base_url)?);
                let webhook_secret = webhook_secret.as_deref().map(webhook::Secret::new);
                Self { webhook_secret, ..Self::through(accounts, provider) }
            }
        })
    }

    /// Through a provider of the caller's.
    pub fn through(accounts: Arc<Accounts>, provider: Arc<dyn Provider>) -> Self {
        let (damaged, most_together) = (Arc::default(), NonZeroU32::MAX);
        Self { accounts, provider, webhook_secret: None, damaged, most_together }
    }

    /// Collects at most so many invoices together.
    pub fn in_batches_of(self, most_together: NonZeroU32) -> Self {
        Self { most_together, ..self }
    }

    /// Collects what is due until it is told to stop. Several processes may run it at once.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = every(COLLECT_INTERVAL, "collect payments", || self.collect_due(None)) => {}
            () = every(TIDY_INTERVAL, "tell of unpaid invoices", || self.tell_of_unpaid()) => {}
            () = every(TIDY_INTERVAL, "sweep the payment provider's events", || self.sweep_events()) => {}
        }
    }
}
