use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate};

use super::budget::{CacheFull, Share};
use super::cache::Cache;

/// Bytes that a file is written, read and given back in.
pub(super) const PAGE_BYTES: usize = 4096;
/// A file takes extents until it is this large.
const FILE_BYTES: u64 = 256 << 20;

/// A part of a file of the cache, and its share of the disk's budget; given back when dropped.
pub(super) struct Extent {
    file: Arc<ExtentFile>,
    start: u64,
    share: Option<Share>,
}

/// It has no name: it goes with its last extent, at the latest with the process.
struct ExtentFile {
    file: File,
    /// Of extents that were dropped where the file system can't give back a part of a file.
    kept: Mutex<Vec<Share>>,
}

/// Where a window's next extent begins.
#[derive(Default)]
pub(super) struct Extents {
    current: Option<(Arc<ExtentFile>, u64)>,
}

impl Extents {
    /// The next `pages`, in the file of those before or in a new one.
    pub fn next(&mut self, pages: usize, cache: &Cache) -> Result<Extent, CacheFull> {
        let bytes = (pages * PAGE_BYTES) as u64;
        let share = cache.disk().take(bytes).ok_or_else(|| full(cache, "the cache's budget is used up"))?;
        let (file, start) = match self.current.take() {
            Some((file, start)) if start < FILE_BYTES => (file, start),
            _ => {
                let file = tempfile::tempfile_in(cache.dir()).map_err(|error| full(cache, error))?;
                (Arc::new(ExtentFile { file, kept: Mutex::default() }), 0)
            }
        };
        self.current = Some((Arc::clone(&file), start + bytes));
        Ok(Extent { file, start, share: Some(share) })
    }
}

pub(super) fn full(cache: &Cache, cause: impl ToString) -> CacheFull {
    CacheFull {
        action: format!("move keys of a window to {}", cache.dir().display()),
        cause: cause.to_string(),
        hint: "raise `cache.budget` or free disk space",
        is_disk: true,
    }
}

impl Extent {
    /// Writes whole pages, from page `from` on.
    pub fn write(&self, from: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.file.write_all_at(bytes, self.place(from))
    }

    /// Reads from the beginning of page `from` on.
    pub fn read(&self, from: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.file.file.read_exact_at(bytes, self.place(from))
    }

    /// Where a page begins in the file.
    pub fn place(&self, page: usize) -> u64 {
        self.start + (page * PAGE_BYTES) as u64
    }

    pub fn bytes(&self) -> u64 {
        self.share.as_ref().map_or(0, Share::bytes)
    }

    /// Blocks of the disk that the whole file takes.
    #[cfg(test)]
    pub fn blocks_of_file(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.file.file.metadata().expect("an open file").blocks()
    }

    /// Gives back what lies behind the first `pages`, which was never written.
    pub fn cut(&mut self, pages: usize) {
        if let Some(share) = &mut self.share {
            share.resize((pages * PAGE_BYTES) as u64);
        }
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        let Some(share) = self.share.take().filter(|share| share.bytes() > 0) else { return };
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file.file, hole, self.start, share.bytes()).is_err() {
            self.file.kept.lock().unwrap_or_else(PoisonError::into_inner).push(share);
        }
    }
}
