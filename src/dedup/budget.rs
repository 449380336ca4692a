use super::sync::{Arc, AtomicU64, Ordering};

/// Bytes that all lanes of a process share, of memory or of the cache's disk.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// The cache's budget, or its disk, is used up. The lane waits: a window never shrinks.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}; raise `cache.budget` or free disk space")]
pub struct CacheFull {
    pub action: String,
    pub cause: String,
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
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
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
        match bytes.checked_sub(self.bytes) {
            None => drop(Self { budget: self.budget.clone(), bytes: self.bytes - bytes }),
            Some(more) => match self.budget.take(more) {
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
