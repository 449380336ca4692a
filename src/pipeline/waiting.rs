use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::instant;
use crate::dedup::CacheFull;

/// Lanes (topic, partition) that wait for room in the cache, while the others of their session are
/// counted: the session holds them, but doesn't read them.
#[derive(Debug, Default)]
pub struct WaitingLanes(RefCell<HashMap<(String, i32), Waiting>>);

#[derive(Debug)]
struct Waiting {
    until: Instant,
    why: String,
}

/// A lane is tried again after this long: the session joins anew for it.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(20);

impl WaitingLanes {
    pub fn add(&self, topic: &str, partition: i32, full: &CacheFull) {
        let why = format!("{topic}[{partition}] waits: {full}");
        let waiting = Waiting { until: instant() + TRIED_AGAIN_AFTER, why };
        self.0.borrow_mut().insert((topic.to_owned(), partition), waiting);
    }

    pub fn holds(&self, lane: &(String, i32)) -> bool {
        self.0.borrow().contains_key(lane)
    }

    pub fn remove(&self, lane: &(String, i32)) {
        self.0.borrow_mut().remove(lane);
    }

    /// Why one of them waits.
    pub fn reason(&self) -> Option<String> {
        self.0.borrow().values().next().map(|waiting| waiting.why.clone())
    }

    /// Forgets the lanes that have waited long enough; `true` where there are some.
    pub fn end_due(&self) -> bool {
        let mut lanes = self.0.borrow_mut();
        let (before, now) = (lanes.len(), instant());
        lanes.retain(|_, waiting| now < waiting.until);
        lanes.len() < before
    }
}
