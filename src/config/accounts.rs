//! What accounts, rating and entitlements are given.

use std::sync::Arc;

use super::{ClockSource, Config, ConfigError, EntitlementsFail, Payments, Place, Problem, Secret};
use crate::accounts::{self, webhook};
use crate::billing::payment;
use crate::event::API_CALLS;
use crate::rating::PriceBook;
use crate::snapshot::FailPolicy;

#[cfg(test)]
mod tests;

/// Connections to the accounts database, of one process.
const MAX_CONNECTIONS: u32 = 8;
/// What a price book may price beside the event meters.
const LASTING_METERS: [&str; 3] = ["services", "published_services", "regions"];

impl Config {
    pub fn accounts_settings(&self) -> Result<accounts::Settings, ConfigError> {
        Ok(accounts::Settings {
            url: self.accounts_url()?,
            max_connections: MAX_CONNECTIONS,
            test_clock: self.clock == ClockSource::Test,
            webhooks: self.webhook_settings()?,
        })
    }

    fn webhook_settings(&self) -> Result<webhook::Settings, ConfigError> {
        let fetch = |name: &str, secret: &Option<Secret>| {
            secret
                .as_ref()
                .map(|secret| super::settings::fetch(&format!("webhooks.{name}"), secret))
                .transpose()
        };
        let settings = webhook::Settings {
            sales: fetch("sales", &self.webhooks.sales)?,
            notices: fetch("notices", &self.webhooks.notices)?,
            secret: fetch("secret", &self.webhooks.secret)?,
            allow_private: self.webhooks.allow_private,
        };
        match webhook::Webhooks::new(&settings) {
            Ok(_) => Ok(settings),
            Err(error) => Err(ConfigError::one(Problem::new(Place::Default, "", error.to_string()))),
        }
    }

    pub fn payment_settings(&self) -> Result<payment::Settings, ConfigError> {
        let Payments::Stripe { secret_key, webhook_secret, base_url } = &self.payments else {
            return Ok(payment::Settings::Sandbox);
        };
        let fetch = super::settings::fetch;
        let webhook_secret = webhook_secret.as_ref();
        let not_empty = |key: &str, secret: &Secret| match fetch(key, secret)? {
            // An empty key would verify what anybody signs.
            empty if empty.trim().is_empty() => {
                Err(ConfigError::one(Problem::new(Place::Default, key, "is empty".to_owned())))
            }
            text => Ok(text),
        };
        Ok(payment::Settings::Stripe {
            secret_key: not_empty("payments.secret_key", secret_key)?,
            webhook_secret: webhook_secret
                .map(|secret| not_empty("payments.webhook_secret", secret))
                .transpose()?,
            base_url: base_url.trim_end_matches('/').to_owned(),
        })
    }

    /// The configured price book, or the built-in one.
    pub fn price_book(&self) -> Result<PriceBook, ConfigError> {
        let Some(path) = &self.plans else { return Ok(PriceBook::built_in()) };
        let file: Arc<str> = path.display().to_string().into();
        let problem = |line: Option<usize>, reason: String| {
            let place = match line {
                Some(line) => Place::Line(file.clone(), line),
                None => Place::File(file.clone()),
            };
            ConfigError::one(Problem::new(place, "", reason))
        };
        let yaml = std::fs::read_to_string(path).map_err(|error| problem(None, error.to_string()))?;
        let book = PriceBook::parse(&yaml).map_err(|error| problem(error.line, error.reason))?;
        match book.meters().into_iter().find(|meter| !self.has_meter(meter)) {
            Some(meter) => {
                Err(problem(None, format!("meter {meter} does not exist: configure it in `meters`")))
            }
            None => Ok(book),
        }
    }

    fn has_meter(&self, meter: &str) -> bool {
        meter == API_CALLS
            || LASTING_METERS.contains(&meter)
            || self.meters.iter().any(|configured| configured.name == meter)
    }

    pub fn fail_policy(&self) -> FailPolicy {
        match self.entitlements_fail {
            EntitlementsFail::Open => FailPolicy::Open,
            EntitlementsFail::Closed => FailPolicy::Closed,
            EntitlementsFail::Auto => FailPolicy::Auto,
        }
    }
}
