use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::dedup::window::Occurrence;
use crate::event::{EventKey, RulesHash};

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

/// A frame that was read back, whole and undamaged. Its keys stay as they are stored, which takes less
/// memory than what they are made from.
#[derive(Debug)]
pub struct StoredFrame {
    pub first: i64,
    pub next: i64,
    pub rules: RulesHash,
    bytes: Vec<u8>,
    /// Where the entries begin.
    entries: usize,
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
/// A header is far smaller; a greater length is damage.
const MAX_HEADER_BYTES: u32 = 256;

impl Frame {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut entries = Vec::with_capacity(self.occurrences.len() * ENTRY_BYTES);
        for at in &self.occurrences {
            let ahead = u32::try_from(at.offset - self.first).expect("a block is shorter than 2^32 offsets");
            entries.extend_from_slice(&at.key.0.to_le_bytes());
            entries.extend_from_slice(&ahead.to_le_bytes());
            entries.extend_from_slice(&at.content.to_le_bytes());
        }
        let header = Header {
            version: VERSION,
            first: self.first,
            next: self.next,
            rules: self.rules.0,
            entries: self.occurrences.len() as u64,
            checksum: xxh3_64(&entries),
        };
        let header =
            bincode::serde::encode_to_vec(&header, bincode::config::standard()).expect("plain numbers");
        let mut bytes = Vec::with_capacity(entries.len() + header.len() + 12);
        bytes.extend_from_slice(&u32::try_from(header.len()).expect("a small header").to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&xxh3_64(&header).to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes
    }
}

impl StoredFrame {
    /// In the order of the log.
    pub fn occurrences(&self) -> impl Iterator<Item = Occurrence> {
        self.bytes[self.entries..].chunks_exact(ENTRY_BYTES).map(|entry| Occurrence {
            key: EventKey(u128::from_le_bytes(entry[..16].try_into().expect("16 bytes"))),
            offset: self.first + i64::from(u32::from_le_bytes(entry[16..20].try_into().expect("4 bytes"))),
            content: u32::from_le_bytes(entry[20..].try_into().expect("4 bytes")),
        })
    }

    /// As they stand in the segment.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads one segment's frames.
pub(super) struct FrameReader {
    reader: BufReader<File>,
    path: PathBuf,
}

impl FrameReader {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(1 << 20, File::open(path)?), path: path.to_owned() })
    }

    /// The next frame; `None` at the end or where it is torn or damaged.
    pub fn next(&mut self) -> Option<StoredFrame> {
        let (header, bytes) = self.header()?;
        self.rest(&header, bytes)
    }

    /// The next frame that ends behind `known`; the keys of those before are passed over.
    pub fn next_behind(&mut self, known: i64) -> Option<StoredFrame> {
        loop {
            let (header, bytes) = self.header()?;
            if header.next > known {
                return self.rest(&header, bytes);
            }
            self.reader.seek_relative(i64::try_from(length(&header)?).ok()?).ok()?;
        }
    }

    /// A header, and the bytes of the frame so far.
    fn header(&mut self) -> Option<(Header, Vec<u8>)> {
        let mut bytes = self.take(4)?;
        let header_length = u32::from_le_bytes(bytes[..].try_into().expect("4 bytes"));
        if header_length > MAX_HEADER_BYTES {
            return None;
        }
        let encoded = self.take(header_length as usize)?;
        let checksum = self.take(8)?;
        if xxh3_64(&encoded).to_le_bytes()[..] != checksum {
            return None;
        }
        let (header, _): (Header, usize) =
            bincode::serde::decode_from_slice(&encoded, bincode::config::standard()).ok()?;
        if header.version != VERSION {
            let (path, version) = (self.path.display(), header.version);
            tracing::warn!(segment = %path, "journal is of version {version}, not {VERSION}");
            return None;
        }
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&checksum);
        Some((header, bytes))
    }

    fn rest(&mut self, header: &Header, mut bytes: Vec<u8>) -> Option<StoredFrame> {
        let (entries, length) = (bytes.len(), length(header)?);
        self.reader.by_ref().take(length as u64).read_to_end(&mut bytes).ok()?;
        if bytes.len() != entries + length || xxh3_64(&bytes[entries..]) != header.checksum {
            return None;
        }
        let (first, next, rules) = (header.first, header.next, RulesHash(header.rules));
        Some(StoredFrame { first, next, rules, bytes, entries })
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).ok().map(|()| bytes)
    }
}

/// Of the entries, in bytes.
fn length(header: &Header) -> Option<usize> {
    usize::try_from(header.entries).ok()?.checked_mul(ENTRY_BYTES)
}
