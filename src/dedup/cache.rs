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
    /// How many are about to.
    expected: AtomicU64,
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
                    let (windows, expected) = (AtomicU64::new(0), AtomicU64::new(0));
                    let inner = Inner { dir, memory, disk, windows, expected, _lock: lock };
                    return Ok(Self { inner: Arc::new(inner) });
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

    /// The folders of other processes within the same one, of such that have ended, too.
    pub(super) fn other_dirs(&self) -> io::Result<Vec<PathBuf>> {
        let Some(shared) = self.inner.dir.parent() else { return Ok(Vec::new()) };
        let mut others: Vec<_> = fs::read_dir(shared)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir() && *path != self.inner.dir)
            .collect();
        others.sort();
        Ok(others)
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

    /// Says how many windows are about to be made, so that none of them, nor of those there are, takes
    /// as its share what the others will need.
    pub fn expect(&self, windows: usize) -> Expected {
        let windows = windows as u64;
        self.inner.expected.fetch_add(windows, Ordering::Relaxed);
        Expected { cache: self.clone(), left: AtomicU64::new(windows) }
    }

    fn expected(&self) -> u64 {
        self.inner.expected.load(Ordering::Relaxed)
    }

    /// The memory that each window may hold when all of them want more than there is.
    fn fair_share(&self) -> u64 {
        let windows = self.inner.windows.load(Ordering::Relaxed) + self.expected();
        self.memory().limit() / windows.max(1)
    }

    /// The memory that a window may hold while it is filled: nothing is given back meanwhile, so it
    /// takes no more than its share of what windows don't leave to newcomers.
    pub(super) fn filling_bound(&self) -> u64 {
        let share = self.fair_share();
        share - share / RESERVED_PART
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
    /// share, and others want it, or are about to.
    pub(super) fn holds_too_much(&self, own: u64) -> bool {
        let (limit, share) = (self.memory().limit(), self.fair_share());
        let wanted = self.memory().used().saturating_add(share * self.expected());
        own > share && wanted > limit - limit / LENT_PART
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

/// Windows that are about to be made; those that were not, when it is dropped, are expected no more.
#[derive(Debug)]
pub struct Expected {
    cache: Cache,
    left: AtomicU64,
}

impl Expected {
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// One of them is there.
    pub(super) fn arrive(&self) {
        let less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.cache.inner.expected.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.cache.inner.expected.fetch_sub(*self.left.get_mut(), Ordering::Relaxed);
    }
}
