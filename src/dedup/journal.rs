use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::budget::Share;
use super::cache::Cache;
use super::window::Occurrence;
use crate::event::{EventKey, Lane, RulesHash};

#[cfg(test)]
mod tests;

/// The keys of a lane's published blocks, on local disk, so that a restart reads them instead of the
/// log. It is a cache: what is missing, damaged or in doubt is read from the log again.
///
/// A journal is a folder of segments; a segment is a run of frames, one a block. A frame is a
/// bincode header of fixed meaning ([`Header`]), its length before it and its checksum behind, then
/// the entries: 24 bytes each, little-endian.
pub struct Journal {
    dir: PathBuf,
    /// The segment that is written to.
    current: Option<Segment>,
    /// Bytes after which a new segment begins.
    segment_bytes: u64,
    /// Of the cache's disk, for all segments. Where that is used up the journal goes: a window needs
    /// its room to count, the journal only saves time.
    share: Share,
}

struct Segment {
    file: File,
    bytes: u64,
}

/// One block's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The offsets [first, next).
    pub first: i64,
    pub next: i64,
    /// The rules under which the keys were made.
    pub rules: RulesHash,
    /// In the order of the log.
    pub occurrences: Vec<Occurrence>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u16,
    first: i64,
    next: i64,
    rules: u128,
    entries: u64,
    /// xxh3-64 of the entries.
    checksum: u64,
}

const VERSION: u16 = 1;
const ENTRY_BYTES: usize = 24;
const SEGMENT_BYTES: u64 = 32 << 20;
/// A header is far smaller; a greater length is damage.
const MAX_HEADER_BYTES: u32 = 256;

impl Journal {
    pub fn open(cache: &Cache, lane: &Lane) -> io::Result<Self> {
        let dir = cache.dir().join(format!("{}-{}-{}", lane.topic, lane.partition, lane.topic_id));
        fs::create_dir_all(&dir)?;
        let share = cache.disk().take(0).ok_or_else(used_up)?;
        let mut journal = Self { dir, current: None, segment_bytes: SEGMENT_BYTES, share };
        let bytes = journal.stored_bytes()?;
        if !journal.share.resize(bytes) {
            journal.clear()?;
        }
        Ok(journal)
    }

    /// Appends a published block's keys and forgets segments that end at or before `needed_from`.
    pub fn append(&mut self, frame: &Frame, needed_from: i64) -> io::Result<()> {
        let bytes = encode(frame);
        if !self.share.resize(self.share.bytes() + bytes.len() as u64) {
            self.clear()?;
            return Err(used_up());
        }
        if self.current.as_ref().is_none_or(|segment| segment.bytes >= self.segment_bytes) {
            self.start_segment(frame.first)?;
            self.forget(needed_from, bytes.len() as u64)?;
        }
        let segment = self.current.as_mut().expect("started above");
        segment.file.write_all(&bytes)?;
        segment.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The frames that cover [`from`, `end`) without a gap up to where the journal's knowledge ends,
    /// each checked by `is_valid` (whether the ledger's rows there were made under its rules). What
    /// lies beyond is cut off, so that the journal goes on where the window does.
    ///
    /// `visit` is called for each frame, in order, until it breaks off; the answer is the offset that
    /// they reach, or `from` where there is none.
    pub fn replay(
        &mut self,
        from: i64,
        end: i64,
        is_valid: impl FnMut(&Frame) -> bool,
        visit: impl FnMut(Frame) -> ControlFlow<()>,
    ) -> io::Result<i64> {
        let reached = self.read_back(from, end, is_valid, visit);
        // It never grows by this.
        self.share.resize(self.stored_bytes()?);
        reached
    }

    fn read_back(
        &mut self,
        from: i64,
        end: i64,
        mut is_valid: impl FnMut(&Frame) -> bool,
        mut visit: impl FnMut(Frame) -> ControlFlow<()>,
    ) -> io::Result<i64> {
        self.current = None;
        let mut reached: Option<i64> = None;
        let segments = self.segments()?;
        for (index, path) in segments.iter().enumerate() {
            let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
            let mut kept_bytes = 0u64;
            while let Some((frame, length)) = read_frame(&mut reader, path) {
                let fits = reached.is_none_or(|reached| frame.first == reached) && frame.next <= end;
                if !fits || !is_valid(&frame) {
                    self.cut(path, kept_bytes, &segments[index + 1..])?;
                    return Ok(reached.unwrap_or(from).max(from));
                }
                kept_bytes += length;
                if frame.next > from {
                    if reached.is_none() && frame.first > from {
                        // The journal begins too late: of no use before its own start.
                        self.cut(path, 0, &segments[index + 1..])?;
                        return Ok(from);
                    }
                    let next = frame.next;
                    if visit(frame).is_break() {
                        return Ok(next);
                    }
                    reached = Some(next);
                }
            }
            let length = fs::metadata(path)?.len();
            if kept_bytes < length {
                tracing::warn!(
                    segment = %path.display(),
                    "journal is damaged after {kept_bytes} of {length} bytes; the rest is read from the log again"
                );
                self.cut(path, kept_bytes, &segments[index + 1..])?;
                break;
            }
        }
        Ok(reached.unwrap_or(from))
    }

    /// Throws everything away, e.g. because a lane's window starts anew.
    pub fn clear(&mut self) -> io::Result<()> {
        self.current = None;
        for path in self.segments()? {
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
        let segments = self.segments()?;
        for pair in segments.windows(2) {
            if first_offset(&pair[1]).is_some_and(|next| next <= needed_from) {
                fs::remove_file(&pair[0])?;
            }
        }
        self.share.resize(self.stored_bytes()? + coming);
        Ok(())
    }

    fn stored_bytes(&self) -> io::Result<u64> {
        self.segments()?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum()
    }

    fn cut(&self, path: &Path, bytes: u64, later: &[PathBuf]) -> io::Result<()> {
        if bytes == 0 {
            fs::remove_file(path)?;
        } else {
            OpenOptions::new().write(true).open(path)?.set_len(bytes)?;
        }
        for path in later {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// In the order of their first offsets.
    fn segments(&self) -> io::Result<Vec<PathBuf>> {
        let mut segments: Vec<_> = fs::read_dir(&self.dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| first_offset(path).is_some())
            .collect();
        segments.sort();
        Ok(segments)
    }
}

fn used_up() -> io::Error {
    io::Error::other("the cache's budget is used up")
}

fn first_offset(path: &Path) -> Option<i64> {
    path.file_name()?.to_str()?.strip_suffix(".journal")?.parse().ok()
}

fn encode(frame: &Frame) -> Vec<u8> {
    let mut entries = Vec::with_capacity(frame.occurrences.len() * ENTRY_BYTES);
    for at in &frame.occurrences {
        let ahead = u32::try_from(at.offset - frame.first).expect("a block is shorter than 2^32 offsets");
        entries.extend_from_slice(&at.key.0.to_le_bytes());
        entries.extend_from_slice(&ahead.to_le_bytes());
        entries.extend_from_slice(&at.content.to_le_bytes());
    }
    let header = Header {
        version: VERSION,
        first: frame.first,
        next: frame.next,
        rules: frame.rules.0,
        entries: frame.occurrences.len() as u64,
        checksum: xxh3_64(&entries),
    };
    let header = bincode::serde::encode_to_vec(&header, bincode::config::standard()).expect("plain numbers");
    let mut bytes = Vec::with_capacity(entries.len() + header.len() + 12);
    bytes.extend_from_slice(&u32::try_from(header.len()).expect("a small header").to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    bytes.extend_from_slice(&entries);
    bytes
}

/// The next frame and its length in bytes; `None` at the end or where it is torn or damaged.
fn read_frame(reader: &mut impl Read, path: &Path) -> Option<(Frame, u64)> {
    let header_length = u32::from_le_bytes(read_array(reader)?);
    if header_length > MAX_HEADER_BYTES {
        return None;
    }
    let mut header = vec![0; header_length as usize];
    reader.read_exact(&mut header).ok()?;
    if xxh3_64(&header) != u64::from_le_bytes(read_array(reader)?) {
        return None;
    }
    let (header, _): (Header, usize) =
        bincode::serde::decode_from_slice(&header, bincode::config::standard()).ok()?;
    if header.version != VERSION {
        tracing::warn!(segment = %path.display(), "journal is of version {}, not {VERSION}", header.version);
        return None;
    }
    let length = usize::try_from(header.entries).ok()?.checked_mul(ENTRY_BYTES)?;
    let mut entries = Vec::new();
    reader.take(length as u64).read_to_end(&mut entries).ok()?;
    if entries.len() != length || xxh3_64(&entries) != header.checksum {
        return None;
    }
    let occurrences = entries
        .chunks_exact(ENTRY_BYTES)
        .map(|entry| Occurrence {
            key: EventKey(u128::from_le_bytes(entry[..16].try_into().expect("16 bytes"))),
            offset: header.first + i64::from(u32::from_le_bytes(entry[16..20].try_into().expect("4 bytes"))),
            content: u32::from_le_bytes(entry[20..].try_into().expect("4 bytes")),
        })
        .collect();
    let frame = Frame { first: header.first, next: header.next, rules: RulesHash(header.rules), occurrences };
    Some((frame, (12 + header_length as usize + length) as u64))
}

fn read_array<const N: usize>(reader: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).ok().map(|()| bytes)
}
