use std::cmp::Ordering;
use std::{io, mem};

use bytemuck::{Pod, Zeroable};
use xxhash_rust::xxh3::xxh3_64;

use super::budget::CacheFull;
use super::cache::Cache;
use super::extent::{Extent, PAGE_BYTES, full};
use super::filter::Filter;
use super::table::Last;

#[cfg(test)]
mod tests;

/// Keys of one shard of a window on disk, sorted, each with its last occurrence within the range of
/// offsets that the run covers. It is written once, from one end to the other.
pub(super) struct Run {
    extent: Extent,
    entries: usize,
    /// Positions are relative to this offset.
    base: i64,
    /// The greatest offset.
    last: i64,
    /// The first high half of each page.
    fences: Box<[u64]>,
    /// Missing where memory had no room for it: each look goes to the disk.
    filter: Option<Filter>,
}

/// A key's last occurrence on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Entry {
    pub high: u64,
    pub low: u64,
    /// Offset less the run's base.
    pub position: u32,
    pub content: u32,
}

const ENTRY_BYTES: usize = size_of::<Entry>();
/// No look at a key reads two pages. The rest of a page, 16 bytes, says where in the file it belongs, and
/// then xxh3-64 of all before: what a disk loses must not be taken for keys that never were.
const PAGE_ENTRIES: usize = PAGE_BYTES / ENTRY_BYTES;
const CHECKSUM: usize = PAGE_BYTES - size_of::<u64>();
const PLACE: usize = CHECKSUM - size_of::<u64>();
/// Pages that are written and read at once.
const BUFFERED_PAGES: usize = 64;

pub(super) fn pages_for(entries: usize) -> usize {
    entries.div_ceil(PAGE_ENTRIES)
}

/// Ends a page that belongs at byte `place` of its file.
fn seal(page: &mut [u8], place: u64) {
    page[PLACE..CHECKSUM].copy_from_slice(&place.to_le_bytes());
    let checksum = xxh3_64(&page[..CHECKSUM]);
    page[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
}

fn check(page: &[u8], place: u64) -> io::Result<()> {
    if page[PLACE..CHECKSUM] == place.to_le_bytes()
        && page[CHECKSUM..] == xxh3_64(&page[..CHECKSUM]).to_le_bytes()
    {
        return Ok(());
    }
    let cause =
        format!("the {PAGE_BYTES} bytes at {place} of a window's file are not what was written there");
    Err(io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// What a run of so many entries takes in memory, in bytes.
pub(super) fn memory_for(entries: usize, has_filter: bool) -> usize {
    let filter = if has_filter { Filter::bytes_for(entries) } else { 0 };
    size_of::<Run>() + pages_for(entries) * size_of::<u64>() + filter
}

impl Run {
    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.fences.len() * size_of::<u64>() + self.filter_bytes()
    }

    pub fn disk_bytes(&self) -> u64 {
        self.extent.bytes()
    }

    pub fn filter_bytes(&self) -> usize {
        self.filter.as_ref().map_or(0, Filter::bytes)
    }

    pub fn drop_filter(&mut self) {
        self.filter = None;
    }

    /// Whether nothing of it is from `oldest` on.
    pub fn is_older_than(&self, oldest: i64) -> bool {
        self.last < oldest
    }

    #[inline]
    pub fn prefetch(&self, low: u64) {
        if let Some(filter) = &self.filter {
            filter.prefetch(low);
        }
    }

    /// The key's last occurrence within the run.
    pub fn find(&self, high: u64, low: u64) -> io::Result<Option<Last>> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_hold(high, low)) {
            return Ok(None);
        }
        // Keys with one high half may begin within a page and end within another.
        let first = self.fences.partition_point(|fence| *fence < high).saturating_sub(1);
        let end = self.fences.partition_point(|fence| *fence <= high);
        let mut page = [0u64; PAGE_BYTES / size_of::<u64>()];
        for number in first..end {
            self.read(number, bytemuck::cast_slice_mut(&mut page))?;
            let entries: &[Entry] = bytemuck::cast_slice(&page[..PLACE / size_of::<u64>()]);
            let entries = &entries[..PAGE_ENTRIES.min(self.entries - number * PAGE_ENTRIES)];
            if let Ok(at) = entries.binary_search_by_key(&(high, low), |entry| (entry.high, entry.low)) {
                return Ok(Some(self.last_of(&entries[at])));
            }
        }
        Ok(None)
    }

    /// Reads whole pages from page `from` on.
    fn read(&self, from: usize, pages: &mut [u8]) -> io::Result<()> {
        self.extent.read(from, pages)?;
        let mut numbered = (from..).zip(pages.chunks(PAGE_BYTES));
        numbered.try_for_each(|(number, page)| check(page, self.extent.place(number)))
    }

    fn last_of(&self, entry: &Entry) -> Last {
        Last { offset: self.base + i64::from(entry.position), content: entry.content }
    }

    /// The run of `entries`, which are sorted, relative to `base`, and have room in `extent`.
    pub fn write(entries: &[Entry], base: i64, extent: Extent, cache: &Cache) -> Result<Self, CacheFull> {
        let mut writer = Writer::new(entries.len(), base, true, extent);
        entries.iter().try_for_each(|entry| writer.push(*entry)).map_err(|error| full(cache, error))?;
        let run = writer.finish().map_err(|error| full(cache, error))?;
        run.ok_or_else(|| full(cache, "there is no key"))
    }

    /// What both hold from `oldest` on, of a key in both the occurrence in `newer`, in an extent that has
    /// room for all of both; `None` where that is nothing.
    pub fn merge(
        older: &Self,
        newer: &Self,
        oldest: i64,
        has_filter: bool,
        extent: Extent,
    ) -> io::Result<Option<Self>> {
        let base = oldest.max(older.base.min(newer.base));
        let mut writer = Writer::new(older.entries + newer.entries, base, has_filter, extent);
        writer.take_both(older, newer, oldest)?;
        writer.finish()
    }
}

/// Reads a run from one end to the other.
struct Reader<'a> {
    run: &'a Run,
    buffer: Vec<u8>,
    /// The next entry.
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(run: &'a Run) -> Self {
        Self { run, buffer: vec![0; BUFFERED_PAGES * PAGE_BYTES], at: 0 }
    }

    fn next(&mut self) -> io::Result<Option<(Entry, Last)>> {
        if self.at == self.run.entries {
            return Ok(None);
        }
        let (page, within) = (self.at / PAGE_ENTRIES, self.at % PAGE_ENTRIES);
        if within == 0 && page.is_multiple_of(BUFFERED_PAGES) {
            let pages = BUFFERED_PAGES.min(pages_for(self.run.entries) - page);
            self.run.read(page, &mut self.buffer[..pages * PAGE_BYTES])?;
        }
        let start = page % BUFFERED_PAGES * PAGE_BYTES + within * ENTRY_BYTES;
        let entry: Entry = bytemuck::pod_read_unaligned(&self.buffer[start..start + ENTRY_BYTES]);
        self.at += 1;
        Ok(Some((entry, self.run.last_of(&entry))))
    }
}

/// Writes a run, page by page, behind what was written before.
struct Writer {
    extent: Extent,
    base: i64,
    entries: usize,
    last: i64,
    fences: Vec<u64>,
    filter: Option<Filter>,
    /// Whole pages and the one that is being filled.
    buffer: Vec<u8>,
    /// Pages that were written.
    written: usize,
}

impl Writer {
    /// For at most so many entries, for which `extent` has room.
    fn new(most: usize, base: i64, has_filter: bool, extent: Extent) -> Self {
        Self {
            extent,
            base,
            entries: 0,
            last: i64::MIN,
            fences: Vec::with_capacity(pages_for(most)),
            filter: has_filter.then(|| Filter::with_room_for(most)),
            buffer: Vec::with_capacity(BUFFERED_PAGES.min(pages_for(most)) * PAGE_BYTES),
            written: 0,
        }
    }

    fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.entries.is_multiple_of(PAGE_ENTRIES) {
            self.end_page();
            if self.buffer.len() == BUFFERED_PAGES * PAGE_BYTES {
                self.write()?;
            }
            self.fences.push(entry.high);
        }
        self.buffer.extend_from_slice(bytemuck::bytes_of(&entry));
        if let Some(filter) = &mut self.filter {
            filter.insert(entry.high, entry.low);
        }
        self.last = self.last.max(self.base + i64::from(entry.position));
        self.entries += 1;
        Ok(())
    }

    fn end_page(&mut self) {
        let end = self.buffer.len().next_multiple_of(PAGE_BYTES);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
            let number = self.written + end / PAGE_BYTES - 1;
            seal(&mut self.buffer[end - PAGE_BYTES..], self.extent.place(number));
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.extent.write(self.written, &self.buffer)?;
        self.written += self.buffer.len() / PAGE_BYTES;
        self.buffer.clear();
        Ok(())
    }

    fn take_both(&mut self, older: &Run, newer: &Run, oldest: i64) -> io::Result<()> {
        let (mut left, mut right) = (Reader::new(older), Reader::new(newer));
        let (mut one, mut other) = (left.next()?, right.next()?);
        loop {
            let order = match (&one, &other) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => (one.high, one.low).cmp(&(other.high, other.low)),
            };
            if order == Ordering::Equal {
                one = left.next()?;
            }
            let next = if order == Ordering::Less {
                mem::replace(&mut one, left.next()?)
            } else {
                mem::replace(&mut other, right.next()?)
            };
            if let Some((entry, last)) = next.filter(|(_, last)| last.offset >= oldest) {
                let position =
                    u32::try_from(last.offset - self.base).expect("a window is 2^31 offsets at most");
                self.push(Entry { position, ..entry })?;
            }
        }
    }

    /// `None` where nothing was written.
    fn finish(mut self) -> io::Result<Option<Run>> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.end_page();
        self.write()?;
        self.extent.cut(self.written);
        Ok(Some(Run {
            extent: self.extent,
            entries: self.entries,
            base: self.base,
            last: self.last,
            fences: self.fences.into_boxed_slice(),
            filter: self.filter,
        }))
    }
}
