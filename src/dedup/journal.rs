use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::budget::Share;
use super::cache::{Cache, InUse};
use crate::event::Lane;

mod frame;

#[cfg(test)]
mod tests;

use frame::FrameReader;
pub use frame::{Frame, StoredFrame};

/// The keys of a lane's published blocks, on local disk, so that a restart reads them instead of the
/// log. It is a cache: what is missing, damaged or in doubt is read from the log again.
///
/// A journal is a folder of segments; a segment is a run of frames, one a block. A frame is a
/// bincode header of fixed meaning, its length before it and its checksum behind, then the entries:
/// 24 bytes each, little-endian.
///
/// Where processes share a cache folder, a lane that goes from one to another finds its window in the
/// journal that its last owner kept.
pub struct Journal {
    dir: PathBuf,
    /// What other processes keep, or kept, of the lane, if anything.
    others: Vec<PathBuf>,
    /// The segment that is written to.
    current: Option<Segment>,
    /// Bytes after which a new segment begins.
    segment_bytes: u64,
    /// So long the cache does not sweep it away.
    _in_use: InUse,
    /// Of the cache's disk, for all segments. Where that is used up the journal goes: a window needs
    /// its room to count, the journal only saves time.
    share: Share,
}

struct Segment {
    file: File,
    bytes: u64,
}

const SEGMENT_BYTES: u64 = 32 << 20;

impl Journal {
    pub fn open(cache: &Cache, lane: &Lane) -> io::Result<Self> {
        let name = format!("{}-{}-{}", lane.topic, lane.partition, lane.topic_id);
        let dir = cache.dir().join(&name);
        let in_use = cache.use_dir(&dir);
        fs::create_dir_all(&dir)?;
        let others = cache.other_dirs().into_iter().map(|other| other.join(&name)).collect();
        let share = cache.disk().take(0).ok_or_else(used_up)?;
        let mut journal =
            Self { dir, others, current: None, segment_bytes: SEGMENT_BYTES, _in_use: in_use, share };
        let bytes = journal.stored_bytes()?;
        if !journal.share.resize(bytes) {
            journal.clear()?;
        }
        Ok(journal)
    }

    /// Appends a published block's keys and forgets segments that end at or before `needed_from`.
    pub fn append(&mut self, frame: &Frame, needed_from: i64) -> io::Result<()> {
        self.write(frame.first, &frame.encode(), needed_from)
    }

    fn write(&mut self, first: i64, bytes: &[u8], needed_from: i64) -> io::Result<()> {
        if !self.share.resize(self.share.bytes() + bytes.len() as u64) {
            self.clear()?;
            return Err(used_up());
        }
        if self.current.as_ref().is_none_or(|segment| segment.bytes >= self.segment_bytes) {
            self.start_segment(first)?;
            self.forget(needed_from, bytes.len() as u64)?;
        }
        let segment = self.current.as_mut().expect("started above");
        segment.file.write_all(bytes)?;
        segment.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The frames that cover [`from`, `end`) without a gap up to where the journal's knowledge ends,
    /// each checked by `is_valid` (whether the ledger's rows there were made under its rules). What
    /// lies beyond is cut off, and what other processes know beyond is added, so that the journal goes
    /// on where the window does.
    ///
    /// `visit` is called for each frame, in order, until it breaks off; the answer is the offset that
    /// they reach, or `from` where there is none.
    pub fn replay(
        &mut self,
        from: i64,
        end: i64,
        mut is_valid: impl FnMut(&StoredFrame) -> bool,
        mut visit: impl FnMut(&StoredFrame) -> ControlFlow<()>,
    ) -> io::Result<i64> {
        let mut replay = Replay {
            from,
            end,
            reached: None,
            is_kept: true,
            is_broken_off: false,
            is_valid: &mut is_valid,
            visit: &mut visit,
        };
        self.read_back(&mut replay)?;
        // It never grows by this.
        self.share.resize(self.stored_bytes()?);
        while !replay.is_over() && self.learn_from_others(&mut replay)? {}
        Ok(replay.reached())
    }

    fn read_back(&mut self, replay: &mut Replay<'_>) -> io::Result<()> {
        self.current = None;
        let segments = segments(&self.dir)?;
        for (index, path) in segments.iter().enumerate() {
            let mut reader = FrameReader::open(path)?;
            let mut kept_bytes = 0u64;
            while let Some(frame) = reader.next() {
                if !replay.follows(&frame) {
                    return cut(path, kept_bytes, &segments[index + 1..]);
                }
                kept_bytes += frame.bytes().len() as u64;
                if frame.next <= replay.from {
                    continue;
                }
                if replay.begins_late(&frame) {
                    // Of no use before its own start.
                    return cut(path, 0, &segments[index + 1..]);
                }
                replay.take(&frame);
                if replay.is_broken_off {
                    return Ok(());
                }
            }
            let length = fs::metadata(path)?.len();
            if kept_bytes < length {
                tracing::warn!(
                    segment = %path.display(),
                    "journal is damaged after {kept_bytes} of {length} bytes; the rest is read from elsewhere"
                );
                return cut(path, kept_bytes, &segments[index + 1..]);
            }
        }
        Ok(())
    }

    /// Adds what the journals of other processes know beyond this one; `false` where that is nothing.
    fn learn_from_others(&mut self, replay: &mut Replay<'_>) -> io::Result<bool> {
        let before = replay.reached();
        for other in self.others.clone() {
            if replay.is_over() {
                break;
            }
            self.learn(&other, replay)?;
        }
        Ok(replay.reached() > before)
    }

    /// Its owner may write to the other journal, or remove parts of it: what can't be read isn't there.
    fn learn(&mut self, other: &Path, replay: &mut Replay<'_>) -> io::Result<()> {
        let Ok(segments) = segments(other) else { return Ok(()) };
        let is_begun = |path: &PathBuf| first_offset(path).is_some_and(|first| first <= replay.reached());
        let first = segments.partition_point(is_begun).saturating_sub(1);
        for path in &segments[first..] {
            let Ok(mut reader) = FrameReader::open(path) else { return Ok(()) };
            while let Some(frame) = reader.next_behind(replay.reached()) {
                if !replay.follows(&frame) || replay.begins_late(&frame) {
                    return Ok(());
                }
                self.keep(&frame, replay)?;
                replay.take(&frame);
                if replay.is_over() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Where it has no room it begins anew behind all this: the window knows it nevertheless.
    fn keep(&mut self, frame: &StoredFrame, replay: &mut Replay<'_>) -> io::Result<()> {
        if replay.is_kept
            && let Err(error) = self.write(frame.first, frame.bytes(), replay.from)
        {
            tracing::warn!(journal = %self.dir.display(), "copy another process's journal: {error}");
            replay.is_kept = false;
            self.clear()?;
        }
        Ok(())
    }

    /// Of all segments.
    pub fn bytes(&self) -> u64 {
        self.share.bytes()
    }

    /// Throws everything away, e.g. because a lane's window starts anew.
    pub fn clear(&mut self) -> io::Result<()> {
        self.current = None;
        for path in segments(&self.dir)? {
            fs::remove_file(path)?;
        }
        self.share.resize(0);
        Ok(())
    }

    fn start_segment(&mut self, first: i64) -> io::Result<()> {
        let path = self.dir.join(format!("{first:020}.journal"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        self.current = Some(Segment { file, bytes });
        Ok(())
    }

    /// Removes segments whose successor starts at or before `needed_from`. `coming`: bytes that are
    /// still to be written.
    fn forget(&mut self, needed_from: i64, coming: u64) -> io::Result<()> {
        let segments = segments(&self.dir)?;
        for pair in segments.windows(2) {
            if first_offset(&pair[1]).is_some_and(|next| next <= needed_from) {
                fs::remove_file(&pair[0])?;
            }
        }
        self.share.resize(self.stored_bytes()? + coming);
        Ok(())
    }

    fn stored_bytes(&self) -> io::Result<u64> {
        segments(&self.dir)?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum()
    }
}

/// How far frames were read that follow one another.
struct Replay<'a> {
    /// What is asked for: the offsets [from, end).
    from: i64,
    end: i64,
    /// The end of the last frame; `None` before the first.
    reached: Option<i64>,
    /// What others know is written down.
    is_kept: bool,
    /// Whoever visits wants no more.
    is_broken_off: bool,
    is_valid: &'a mut dyn FnMut(&StoredFrame) -> bool,
    visit: &'a mut dyn FnMut(&StoredFrame) -> ControlFlow<()>,
}

impl Replay<'_> {
    fn reached(&self) -> i64 {
        self.reached.unwrap_or(self.from)
    }

    fn is_over(&self) -> bool {
        self.is_broken_off || self.reached() >= self.end
    }

    fn follows(&mut self, frame: &StoredFrame) -> bool {
        let is_next = self.reached.is_none_or(|reached| frame.first == reached);
        is_next && frame.next <= self.end && (self.is_valid)(frame)
    }

    /// Whether what is asked for began before what would be the first frame.
    fn begins_late(&self, frame: &StoredFrame) -> bool {
        self.reached.is_none() && frame.first > self.from
    }

    fn take(&mut self, frame: &StoredFrame) {
        self.reached = Some(frame.next);
        self.is_broken_off = (self.visit)(frame).is_break();
    }
}

fn cut(path: &Path, bytes: u64, later: &[PathBuf]) -> io::Result<()> {
    if bytes == 0 {
        fs::remove_file(path)?;
    } else {
        OpenOptions::new().write(true).open(path)?.set_len(bytes)?;
    }
    later.iter().try_for_each(fs::remove_file)
}

/// In the order of their first offsets.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut segments: Vec<_> = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| first_offset(path).is_some())
        .collect();
    segments.sort();
    Ok(segments)
}

fn used_up() -> io::Error {
    io::Error::other("the cache's budget is used up")
}

pub(super) fn first_offset(path: &Path) -> Option<i64> {
    path.file_name()?.to_str()?.strip_suffix(".journal")?.parse().ok()
}
