use super::sync::{Arc, AtomicU64, Ordering};

/// Bytes that all lanes of a process share, of memory or of the cache's disk.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// The cache's budget, or its disk, is used up or can't be read. The lane waits: a window never
/// shrinks.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}; {hint}")]
pub struct CacheFull {
    pub action: String,
    pub cause: String,
    /// What to do.
    pub hint: &'static str,
    /// Disk, not memory.
    pub is_disk: bool,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self { limit, used: Arc::new(AtomicU64::new(0)) }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` where there is room for them.
    pub(super) fn take(&self, bytes: u64) -> Option<Share> {
        self.take_below(bytes, self.limit)
    }

    /// Takes `bytes` where no more than `bound` are taken then; the limit holds besides.
    fn take_below(&self, bytes: u64, bound: u64) -> Option<Share> {
        let bound = bound.min(self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= bound)
            })
            .ok()
            .map(|_| Share { budget: self.clone(), bytes })
    }
}

/// A part of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `false`, and nothing is changed, where the budget has no room for more.
    pub fn resize(&mut self, bytes: u64) -> bool {
        self.resize_below(bytes, self.budget.limit)
    }

    /// The same, where more is only taken as long as no more than `bound` of the budget is taken.
    pub fn resize_below(&mut self, bytes: u64, bound: u64) -> bool {
        match bytes.checked_sub(self.bytes) {
            None => drop(Self { budget: self.budget.clone(), bytes: self.bytes - bytes }),
            Some(more) => match self.budget.take_below(more, bound) {
                // One share from now on: this one.
                Some(mut share) => share.bytes = 0,
                None => return false,
            },
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
