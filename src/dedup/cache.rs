use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
                    return Ok(Self { inner: Arc::new(Inner { dir, memory, disk, _lock: lock }) });
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
}
