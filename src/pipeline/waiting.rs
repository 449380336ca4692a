use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::clock::instant;
use crate::dedup::CacheFull;

#[cfg(test)]
mod tests;

/// Lanes (topic, partition) that wait for room in the cache, while the others of their session are
/// counted: the session that the group gives them to holds them, but doesn't read them. That the
/// process has no room for a lane is known also while others hold it.
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
    /// By the session that runs.
    is_held: bool,
}

/// A lane is tried again after this long: the session joins anew for it.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(20);

impl WaitingLanes {
    pub fn add(&self, topic: &str, partition: i32, full: &CacheFull) {
        let why = format!("{topic}[{partition}] waits: {full}");
        let waiting = Waiting { until: instant() + TRIED_AGAIN_AFTER, why, is_held: false };
        self.lanes.borrow_mut().insert((topic.to_owned(), partition), waiting);
    }

    /// Whether the lane, which the group has given to the session, waits; the session holds it then.
    pub fn hold(&self, lane: &(String, i32)) -> bool {
        self.lanes.borrow_mut().get_mut(lane).map(|waiting| waiting.is_held = true).is_some()
    }

    /// The session holds these no more.
    pub fn give_up(&self, lanes: &[(String, i32)]) {
        let mut waiting = self.lanes.borrow_mut();
        for lane in lanes {
            if let Some(waiting) = waiting.get_mut(lane) {
                waiting.is_held = false;
            }
        }
    }

    /// The session has ended. The next one knows what had no room in this one.
    pub fn give_up_all(&self) {
        self.lanes.borrow_mut().values_mut().for_each(|waiting| waiting.is_held = false);
    }

    /// Why one of those that are held waits.
    pub fn reason(&self) -> Option<String> {
        self.lanes.borrow().values().find(|waiting| waiting.is_held).map(|waiting| waiting.why.clone())
    }

    /// So many others were begun, which may have taken long: they are read for a while before the
    /// session ends, or sessions would follow one another and nothing be counted.
    pub fn begun(&self, others: usize) {
        let until = instant() + TRIED_AGAIN_AFTER;
        self.is_unread.set(others > 0);
        let mut lanes = self.lanes.borrow_mut();
        lanes.values_mut().filter(|waiting| waiting.is_held).for_each(|waiting| waiting.until = until);
    }

    /// One of the others was read.
    pub fn read(&self) {
        self.is_unread.set(false);
    }

    /// Forgets those that are held and have waited long enough; `true` where there are some.
    pub fn end_due(&self) -> bool {
        if self.is_unread.get() {
            return false;
        }
        let mut lanes = self.lanes.borrow_mut();
        let (before, now) = (lanes.len(), instant());
        lanes.retain(|_, waiting| !waiting.is_held || now < waiting.until);
        lanes.len() < before
    }
}
