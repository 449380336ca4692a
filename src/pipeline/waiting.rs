use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::instant;
use crate::dedup::CacheFull;

#[cfg(test)]
mod tests;

/// Lanes (topic, partition) that wait for room in the cache, while the others of their session are
/// counted: the session that the group gives them to holds them, but doesn't read them. All consumers
/// of a process know of them, since the room is the process's.
#[derive(Debug)]
pub struct WaitingLanes {
    shared: Waiting,
    /// The session's own.
    consumer: usize,
    /// The others were begun, and nothing was read since.
    is_unread: Cell<bool>,
}

/// Of a process.
pub type Waiting = Arc<Mutex<HashMap<(String, i32), Lane>>>;

#[derive(Debug)]
pub struct Lane {
    until: Instant,
    why: String,
    /// The consumer whose session holds it, if one does.
    holder: Option<usize>,
}

/// A lane is tried again after this long: the session joins anew for it.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(20);

impl WaitingLanes {
    pub fn of(consumer: usize, shared: &Waiting) -> Self {
        Self { shared: Arc::clone(shared), consumer, is_unread: Cell::new(false) }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<(String, i32), Lane>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, topic: &str, partition: i32, full: &CacheFull) {
        let why = format!("{topic}[{partition}] waits: {full}");
        let waiting = Lane { until: instant() + TRIED_AGAIN_AFTER, why, holder: None };
        self.lanes().insert((topic.to_owned(), partition), waiting);
    }

    /// Whether the lane, which the group has given to this session, waits; the session holds it then.
    pub fn hold(&self, lane: &(String, i32)) -> bool {
        self.lanes().get_mut(lane).map(|waiting| waiting.holder = Some(self.consumer)).is_some()
    }

    /// The session holds these no more.
    pub fn give_up(&self, given_up: &[(String, i32)]) {
        let mut lanes = self.lanes();
        for lane in given_up {
            if let Some(waiting) = lanes.get_mut(lane).filter(|waiting| self.is_own(waiting)) {
                waiting.holder = None;
            }
        }
    }

    /// The session has ended. The next one knows what had no room in this one.
    pub fn give_up_all(&self) {
        let mut lanes = self.lanes();
        lanes.values_mut().filter(|waiting| self.is_own(waiting)).for_each(|waiting| waiting.holder = None);
    }

    fn is_own(&self, waiting: &Lane) -> bool {
        waiting.holder == Some(self.consumer)
    }

    /// Why one of the session's waits.
    pub fn reason(&self) -> Option<String> {
        self.lanes().values().find(|waiting| self.is_own(waiting)).map(|waiting| waiting.why.clone())
    }

    /// So many others were begun, which may have taken long: they are read for a while before the
    /// session ends, or sessions would follow one another and nothing be counted.
    pub fn begun(&self, others: usize) {
        let until = instant() + TRIED_AGAIN_AFTER;
        self.is_unread.set(others > 0);
        let mut lanes = self.lanes();
        lanes.values_mut().filter(|waiting| self.is_own(waiting)).for_each(|waiting| waiting.until = until);
    }

    /// One of the others was read.
    pub fn read(&self) {
        self.is_unread.set(false);
    }

    /// Forgets the lanes of the session that have waited long enough; `true` where there are some.
    pub fn end_due(&self) -> bool {
        if self.is_unread.get() {
            return false;
        }
        let (mut lanes, now) = (self.lanes(), instant());
        let before = lanes.len();
        lanes.retain(|_, waiting| !self.is_own(waiting) || now < waiting.until);
        lanes.len() < before
    }
}
