//! How often one API key may ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use dashmap::DashMap;

use super::{Caller, Problem};
use crate::clock;

#[cfg(test)]
mod tests;

/// Idle keys are forgotten when more than this many are known.
const KEYS_KEPT: usize = 10_000;

/// A key may ask `burst` times at once and `per_second` times a second for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub per_second: u32,
    /// At least 1.
    pub burst: u32,
}

/// Holds each API key to its rate. The operator is not limited.
#[derive(Debug)]
pub struct Rates {
    rate: Rate,
    /// The instant by which everything that the key asked for so far is paid for, at its rate.
    paid_until: DashMap<Arc<str>, Instant>,
}

impl Rates {
    pub fn new(rate: Rate) -> Self {
        Self { rate, paid_until: DashMap::new() }
    }

    pub fn take(&self, caller: &Caller) -> Result<(), Problem> {
        let Caller::Member { key_id, .. } = caller else { return Ok(()) };
        self.take_at(key_id, clock::instant()).map_err(|wait| {
            metrics::counter!("odometer_http_rate_limited_total").increment(1);
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate-limited",
                "Too many requests",
                format!(
                    "A key may ask {} times a second, {} at once; wait as Retry-After says.",
                    self.rate.per_second, self.rate.burst
                ),
            )
            .retry_after(wait)
        })
    }

    fn take_at(&self, key: &Arc<str>, now: Instant) -> Result<(), Duration> {
        let price = Duration::from_secs(1) / self.rate.per_second;
        if self.paid_until.len() > KEYS_KEPT {
            self.paid_until.retain(|_, paid_until| *paid_until > now);
        }
        let mut paid_until = self.paid_until.entry(key.clone()).or_insert(now);
        let from = now.max(*paid_until);
        let ahead = from + price - now;
        let most = price * self.rate.burst;
        if ahead > most {
            return Err(ahead - most);
        }
        *paid_until = from + price;
        Ok(())
    }
}
