use super::budget::CacheFull;
use super::cache::Cache;
use super::table::{SLOT_BYTES, Table};
use crate::event::{Content, EventKey};

#[cfg(test)]
mod tests;

/// The keys of a lane's last W offsets.
pub struct Window {
    table: Table,
    /// W: offsets, at least 1.
    width: u64,
    /// Slots keep offsets relative to this one.
    base: i64,
    /// The greatest offset observed.
    latest: i64,
    cache: Cache,
}

/// What the window says of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// The key occurred with the same content.
    Duplicate,
    /// The key occurred with other content.
    Conflict,
}

/// A key at an offset: what the window is made of, and what the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub offset: i64,
    pub key: EventKey,
    /// The low half of [`Content`].
    pub content: u32,
}

impl Occurrence {
    pub fn new(offset: i64, key: EventKey, content: Content) -> Self {
        Self { offset, key, content: content.0 as u32 }
    }
}

/// A new window's slots; it grows by doubling.
const FIRST_CAPACITY: usize = 1 << 12;
/// Relative offsets are kept in 32 bits; beyond this the base moves up.
const GREATEST_POSITION: i64 = u32::MAX as i64 - 1;
/// A window is at most this wide, so that it fits into half of the relative offsets.
pub const MAX_WIDTH: u64 = 1 << 31;

impl Window {
    /// `width` is 1 ..= [`MAX_WIDTH`] offsets; `base` the first offset that will be observed.
    pub fn new(width: u64, base: i64, cache: &Cache) -> Result<Self, CacheFull> {
        assert!((1..=MAX_WIDTH).contains(&width), "a window is 1 to {MAX_WIDTH} offsets wide");
        let table = Table::with_capacity(FIRST_CAPACITY, cache)?;
        Ok(Self { table, width, base, latest: base, cache: cache.clone() })
    }

    /// Judges the occurrence and remembers it as its key's latest. Offsets never go down. On an
    /// error nothing was remembered, and the same occurrence may be tried again.
    pub fn observe(&mut self, occurrence: Occurrence) -> Result<Verdict, CacheFull> {
        self.make_room(occurrence.offset)?;
        self.latest = occurrence.offset;
        let oldest = self.oldest();
        let position = self.position(occurrence.offset);
        let (high, low) = ((occurrence.key.0 >> 64) as u64, occurrence.key.0 as u64);
        let base = self.base;
        let slot = self.table.slot(high, low);
        let was_empty = slot.position == 0;
        let verdict = if was_empty || base + i64::from(slot.position) - 1 < oldest {
            Verdict::New
        } else if slot.content == occurrence.content {
            Verdict::Duplicate
        } else {
            Verdict::Conflict
        };
        *slot = super::table::Slot { high, low, position, content: occurrence.content };
        if was_empty {
            self.table.note_filled();
        }
        Ok(verdict)
    }

    /// Keys of smaller offsets are forgotten.
    fn oldest(&self) -> i64 {
        self.latest - i64::try_from(self.width).expect("width is at most 2^31")
    }

    fn position(&self, offset: i64) -> u32 {
        u32::try_from(offset - self.base + 1).expect("the base follows the offsets")
    }

    fn make_room(&mut self, offset: i64) -> Result<(), CacheFull> {
        assert!(offset >= self.latest, "offset {offset} after {}", self.latest);
        if offset - self.base >= GREATEST_POSITION {
            self.latest = offset;
            self.move_base();
        }
        // Linear probing stays short below four fifths.
        if self.table.occupied() * 5 < self.table.capacity() * 4 {
            return Ok(());
        }
        let oldest = self.oldest();
        let base = self.base;
        self.table.retain(|slot| base + i64::from(slot.position) > oldest);
        // Sweep again only after at least a fifth of the slots was filled anew.
        if self.table.occupied() * 5 >= self.table.capacity() * 3 {
            self.grow()?;
        }
        Ok(())
    }

    fn grow(&mut self) -> Result<(), CacheFull> {
        let mut larger = Table::with_capacity(self.table.capacity() * 2, &self.cache)?;
        self.table.copy_into(&mut larger);
        self.table = larger;
        Ok(())
    }

    fn move_base(&mut self) {
        let (old, new, oldest) = (self.base, self.oldest(), self.oldest());
        self.table.retain(|slot| {
            let offset = old + i64::from(slot.position) - 1;
            let keep = offset >= oldest;
            if keep {
                slot.position = u32::try_from(offset - new + 1).expect("within the window");
            }
            keep
        });
        self.base = new;
    }

    /// Keys that are remembered, some of which may have left the window already.
    pub fn keys(&self) -> usize {
        self.table.occupied()
    }

    pub fn bytes(&self) -> usize {
        self.table.capacity() * SLOT_BYTES
    }

    pub fn is_on_disk(&self) -> bool {
        self.table.is_on_disk()
    }
}
