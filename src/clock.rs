//! The only place that reads time, and how an instant is written.

mod time;

pub use time::{InvalidTime, Time};

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in epoch milliseconds: the system's, or a test's that stands still between the
/// operator's settings (contract: `PUT /v1/test-clock`).
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Test(Arc<AtomicI64>),
}

impl Clock {
    pub fn now(&self) -> Time {
        Time(self.now_ms())
    }

    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System => system_now_ms(),
            Self::Test(now) => now.load(Ordering::Acquire),
        }
    }
}

fn system_now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since_epoch.as_millis()).expect("the clock is before the year 292 million")
}

/// Monotonic time, for durations only.
pub fn instant() -> Instant {
    Instant::now()
}
