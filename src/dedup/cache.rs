use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Budget;

/// Where windows live: in memory within a budget, beyond it in the cache's folder.
#[derive(Clone, Debug)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    memory: Budget,
    disk: Budget,
    /// How many windows share the memory.
    windows: AtomicU64,
    /// Held while the process lives, so that no other uses the folder.
    _lock: File,
}

#[derive(Clone, Debug)]
pub struct CacheSettings {
    pub dir: PathBuf,
    /// Bytes of memory for the windows of all lanes.
    pub memory: u64,
    /// Bytes of disk for windows and journals of all lanes.
    pub budget: u64,
}

/// Processes of one machine that may share a cache folder.
const MOST_PROCESSES: u32 = 256;

impl Cache {
    /// Takes a folder within `settings.dir` that no other process uses.
    pub fn open(settings: &CacheSettings) -> io::Result<Self> {
        for number in 0..MOST_PROCESSES {
            let dir = settings.dir.join(number.to_string());
            fs::create_dir_all(&dir)?;
            let lock = File::create(dir.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {
                    let memory = Budget::new(settings.memory);
                    let disk = Budget::new(settings.budget);
                    let windows = AtomicU64::new(0);
                    return Ok(Self { inner: Arc::new(Inner { dir, memory, disk, windows, _lock: lock }) });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{MOST_PROCESSES} processes use {} already", settings.dir.display())))
    }

    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    pub fn memory(&self) -> &Budget {
        &self.inner.memory
    }

    pub fn disk(&self) -> &Budget {
        &self.inner.disk
    }

    /// Counts a window among those that share the memory, as long as the answer lives.
    pub(super) fn join(&self) -> Member {
        self.inner.windows.fetch_add(1, Ordering::Relaxed);
        Member { cache: self.clone() }
    }

    /// The memory that each window may hold when all of them want more than there is.
    fn fair_share(&self) -> u64 {
        self.memory().limit() / self.inner.windows.load(Ordering::Relaxed).max(1)
    }

    /// Up to which part of the memory a window that holds `own` bytes then may take it. The last
    /// parts are kept for windows that hold little, so that none waits for the others to give back.
    pub(super) fn memory_bound(&self, own: u64) -> u64 {
        let limit = self.memory().limit();
        if own <= limit / NEWCOMER_PART {
            limit
        } else if own <= self.fair_share() {
            limit - limit / RESERVED_PART
        } else {
            limit - limit / LENT_PART
        }
    }

    /// Whether a window that holds `own` bytes of memory must give some back: it holds more than its
    /// share, and others may want it.
    pub(super) fn holds_too_much(&self, own: u64) -> bool {
        let limit = self.memory().limit();
        own > self.fair_share() && self.memory().used() > limit - limit / LENT_PART
    }
}

/// A window with less than this part of the memory may take the last of it.
const NEWCOMER_PART: u64 = 64;
/// Windows within their share leave this part to those that have just come.
const RESERVED_PART: u64 = 16;
/// Windows that hold more than their share leave this part to the others.
const LENT_PART: u64 = 8;

/// A window's place among those that share the memory.
pub(super) struct Member {
    pub cache: Cache,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.cache.inner.windows.fetch_sub(1, Ordering::Relaxed);
    }
}
