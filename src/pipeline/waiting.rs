use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::instant;
use crate::dedup::CacheFull;

#[cfg(test)]
mod tests;

/// Lanes (topic, partition) that wait for room in the cache, while the others of their session are
/// counted: the session holds them, but doesn't read them.
#[derive(Debug, Default)]
pub struct WaitingLanes {
    lanes: RefCell<HashMap<(String, i32), Waiting>>,
    /// The others were begun, and nothing was read since.
    is_unread: Cell<bool>,
}

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
        self.lanes.borrow_mut().insert((topic.to_owned(), partition), waiting);
    }

    pub fn holds(&self, lane: &(String, i32)) -> bool {
        self.lanes.borrow().contains_key(lane)
    }

    pub fn remove(&self, lane: &(String, i32)) {
        self.lanes.borrow_mut().remove(lane);
    }

    /// Why one of them waits.
    pub fn reason(&self) -> Option<String> {
        self.lanes.borrow().values().next().map(|waiting| waiting.why.clone())
    }

    /// So many others were begun, which may have taken long: they are read for a while before the
    /// session ends, or sessions would follow one another and nothing be counted.
    pub fn begun(&self, others: usize) {
        let until = instant() + TRIED_AGAIN_AFTER;
        self.is_unread.set(others > 0);
        self.lanes.borrow_mut().values_mut().for_each(|waiting| waiting.until = until);
    }

    /// One of the others was read.
    pub fn read(&self) {
        self.is_unread.set(false);
    }

    /// Forgets the lanes that have waited long enough; `true` where there are some.
    pub fn end_due(&self) -> bool {
        if self.is_unread.get() {
            return false;
        }
        let mut lanes = self.lanes.borrow_mut();
        let (before, now) = (lanes.len(), instant());
        lanes.retain(|_, waiting| now < waiting.until);
        lanes.len() < before
    }
}
