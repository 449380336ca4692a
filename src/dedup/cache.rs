use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::Budget;
use super::journal::{first_offset, segments};

#[cfg(test)]
mod tests;

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
    /// Folders of journals that are open, and how often: one that is given up may be open a while longer.
    in_use: Mutex<HashMap<PathBuf, usize>>,
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
/// A file that a process holds locked in its folder.
const LOCK: &str = "lock";
/// Longer than a lane is on its way from one process to another.
const UNUSED_FOR_MS: i64 = 3_600_000;

impl Cache {
    /// Takes a folder within `settings.dir` that no other process uses.
    pub fn open(settings: &CacheSettings) -> io::Result<Self> {
        for number in 0..MOST_PROCESSES {
            let dir = settings.dir.join(number.to_string());
            fs::create_dir_all(&dir)?;
            let lock = File::create(dir.join(LOCK))?;
            match lock.try_lock() {
                Ok(()) => {
                    let memory = Budget::new(settings.memory);
                    let disk = Budget::new(settings.budget);
                    let (windows, expected) = (AtomicU64::new(0), AtomicU64::new(0));
                    let in_use = Mutex::default();
                    let inner = Inner { dir, memory, disk, windows, expected, in_use, _lock: lock };
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

    /// The folders of other processes within the same one, of such that have ended, too; none where they
    /// can't be listed, which costs time alone.
    pub(super) fn other_dirs(&self) -> Vec<PathBuf> {
        let is_other = |path: &PathBuf| *path != self.inner.dir;
        let shared = self.inner.dir.parent().unwrap_or(&self.inner.dir);
        let others = folders(shared).map(|folders| folders.into_iter().filter(is_other).collect());
        others.unwrap_or_else(|error| {
            tracing::warn!("list {}: {error}; no window is found at other processes", shared.display());
            Vec::new()
        })
    }

    /// Keeps a journal's folder from being swept away as long as the answer lives.
    pub(super) fn use_dir(&self, dir: &Path) -> InUse {
        *self.in_use().entry(dir.to_owned()).or_default() += 1;
        InUse { cache: self.clone(), dir: dir.to_owned() }
    }

    fn in_use(&self) -> MutexGuard<'_, HashMap<PathBuf, usize>> {
        self.inner.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes journals that were not written to for an hour, that nobody holds, and that another process
    /// has a later copy of: of lanes that went elsewhere, and of processes that did not come back. What is
    /// nowhere else stays: the log may have lost it.
    ///
    /// `now_ms`: by the system's clock, as the times of files are.
    pub fn sweep(&self, now_ms: i64) {
        let others = self.other_dirs();
        self.sweep_dir(&self.inner.dir, &others, now_ms);
        for other in &others {
            let Ok(lock) = File::options().write(true).open(other.join(LOCK)) else { continue };
            if lock.try_lock().is_ok() {
                let beside: Vec<_> = others.iter().filter(|dir| *dir != other).cloned().collect();
                self.sweep_dir(other, &[&beside[..], std::slice::from_ref(&self.inner.dir)].concat(), now_ms);
            }
        }
    }

    fn sweep_dir(&self, dir: &Path, others: &[PathBuf], now_ms: i64) {
        for journal in folders(dir).unwrap_or_default() {
            // Nobody opens it in the middle of this.
            let in_use = self.in_use();
            let Some(name) = journal.file_name().filter(|_| !in_use.contains_key(&journal)) else { continue };
            let has_later = others.iter().any(|other| is_later_copy(&other.join(name), &journal));
            if has_later && written_at_ms(&journal) < Some(now_ms - UNUSED_FOR_MS) {
                match fs::remove_dir_all(&journal) {
                    Ok(()) => tracing::info!(journal = %journal.display(), "removed a copy that nobody uses"),
                    Err(error) => tracing::warn!("remove journal {}: {error}", journal.display()),
                }
            }
        }
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

/// The folders within one, in the order of their names.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// Whether `other` was written to after `journal`, and knows what that does: it goes on where that ends,
/// or before.
fn is_later_copy(other: &Path, journal: &Path) -> bool {
    let (Ok(theirs), Ok(own)) = (segments(other), segments(journal)) else { return false };
    let knows = match (theirs.first(), own.last()) {
        (Some(theirs), Some(own)) => first_offset(theirs) <= first_offset(own),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    knows && written_at_ms(other) > written_at_ms(journal)
}

fn written_at_ms(dir: &Path) -> Option<i64> {
    let entries = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.metadata().ok());
    entries.chain(fs::metadata(dir)).map(|file| file.mtime() * 1_000 + file.mtime_nsec() / 1_000_000).max()
}

/// A journal's folder that is held.
pub(super) struct InUse {
    cache: Cache,
    dir: PathBuf,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut in_use = self.cache.in_use();
        if let Some(times) = in_use.get_mut(&self.dir) {
            *times -= 1;
            if *times == 0 {
                in_use.remove(&self.dir);
            }
        }
    }
}

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
