//! How often one API key may ask.

use std::net::IpAddr;
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

fn too_many(words: String, wait: Duration) -> Problem {
    metrics::counter!("odometer_http_rate_limited_total").increment(1);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", words).retry_after(wait)
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Holds those who try to sign in with what opens nothing: an address may be wrong ten times at once
/// and once a second for ever. Whoever is right never waits, whoever else comes from that address: many
/// do behind one proxy. So a try is looked at first and held against the address once it was wrong:
/// what opens nothing is found out by hashing it, without the database, but for links that are over.
/// What signs in has 256 random bits, which no number of tries finds; this bounds what strangers cost.
#[derive(Debug)]
pub struct SignIns(Rates);

impl Default for SignIns {
    fn default() -> Self {
        Self(Rates::new(Rate { per_second: 1, burst: 10 }))
    }
}

impl SignIns {
    /// Somebody tried with what opens nothing: how they are refused, where that was too often.
    pub fn failed(&self, peer: Option<Peer>) -> Result<(), Problem> {
        self.0.take_at(&key_of(peer), clock::instant()).map_err(|wait| {
            let words = "Signing in failed too often from your address; wait a few seconds and try again.";
            too_many(words.to_owned(), wait)
        })
    }
}

fn key_of(peer: Option<Peer>) -> Arc<str> {
    peer.map_or_else(String::new, |Peer(address)| address.to_string()).into()
}

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
            let Rate { per_second, burst } = self.rate;
            let words = format!(
                "A key may ask {per_second} times a second, {burst} at once; wait as Retry-After says."
            );
            too_many(words, wait)
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
