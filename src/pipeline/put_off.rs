use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::dedup::{Cache, Expected};

#[cfg(test)]
mod tests;

/// A lane's recounts that found no room for their windows, each to be tried again later.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    waiting: HashMap<u128, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    tries: u32,
    until: Instant,
    /// So that the lanes' windows give memory back meanwhile.
    _room: Expected,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Over ten minutes: 1 + 2 + 4 + 8 + 16 + 32 + 9 × 60 s.
pub(super) const MOST_TRIES: u32 = 16;

impl PutOff {
    /// Whether a request is to be left alone for now.
    pub fn holds(&self, request: u128, now: Instant) -> bool {
        self.waiting.get(&request).is_some_and(|waiting| now < waiting.until)
    }

    /// A request has found no room; answers with the pause until it is tried again, or with `None` where
    /// it has had its tries.
    pub fn add(&mut self, request: u128, now: Instant, cache: &Cache) -> Option<Duration> {
        let tries = self.waiting.get(&request).map_or(0, |waiting| waiting.tries) + 1;
        if tries >= MOST_TRIES {
            self.waiting.remove(&request);
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (tries - 1)).min(LONGEST_PAUSE);
        self.waiting.insert(request, Waiting { tries, until: now + pause, _room: cache.expect(1) });
        Some(pause)
    }

    /// A request was answered.
    pub fn remove(&mut self, request: u128) {
        self.waiting.remove(&request);
    }
}
