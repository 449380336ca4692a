use std::fs::File;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

use super::budget::{CacheFull, Share};
use super::cache::Cache;

/// One key of the window: 24 bytes. All zero is an empty slot.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Slot {
    pub high: u64,
    pub low: u64,
    /// Offset of the last occurrence, relative to the window's base, plus 1; 0: empty.
    pub position: u32,
    /// The low half of the content's hash: tells a conflicting duplicate from a repeated one.
    pub content: u32,
}

pub(super) const SLOT_BYTES: usize = size_of::<Slot>();

/// An open-addressing table with linear probing, in memory or in a file of the cache.
pub(super) struct Table {
    slots: Slots,
    occupied: usize,
    _share: Share,
}

enum Slots {
    Memory(Vec<Slot>),
    /// The file has no name any more; it goes with the map.
    Mapped(MmapMut),
}

impl Table {
    /// Takes memory where the budget has room, disk otherwise.
    pub fn with_capacity(slots: usize, cache: &Cache) -> Result<Self, CacheFull> {
        let bytes = (slots * SLOT_BYTES) as u64;
        if let Some(share) = cache.memory().take(bytes) {
            return Ok(Self {
                slots: Slots::Memory(vec![Slot::default(); slots]),
                occupied: 0,
                _share: share,
            });
        }
        let full = |cause: String| CacheFull {
            action: format!(
                "make room for {slots} keys of a window ({bytes} bytes) in {}",
                cache.dir().display()
            ),
            cause,
        };
        let share = cache.disk().take(bytes).ok_or_else(|| full("the cache's budget is used up".into()))?;
        let map = map_file(cache.dir(), bytes).map_err(|error| full(error.to_string()))?;
        Ok(Self { slots: Slots::Mapped(map), occupied: 0, _share: share })
    }

    fn all(&self) -> &[Slot] {
        match &self.slots {
            Slots::Memory(slots) => slots,
            Slots::Mapped(map) => bytemuck::cast_slice(map),
        }
    }

    fn all_mut(&mut self) -> &mut [Slot] {
        match &mut self.slots {
            Slots::Memory(slots) => slots,
            Slots::Mapped(map) => bytemuck::cast_slice_mut(map),
        }
    }

    pub fn capacity(&self) -> usize {
        self.all().len()
    }

    pub fn occupied(&self) -> usize {
        self.occupied
    }

    pub fn is_on_disk(&self) -> bool {
        matches!(self.slots, Slots::Mapped(_))
    }

    /// The key's slot: its own where the key is there, else the empty one that it would take. There
    /// must be an empty slot.
    pub fn slot(&mut self, high: u64, low: u64) -> &mut Slot {
        let slots = self.all_mut();
        let mut at = home(high, slots.len());
        loop {
            let slot = &slots[at];
            if slot.position == 0 || (slot.high == high && slot.low == low) {
                return &mut slots[at];
            }
            at += 1;
            if at == slots.len() {
                at = 0;
            }
        }
    }

    /// To be called after an empty slot was filled.
    pub fn note_filled(&mut self) {
        self.occupied += 1;
    }

    /// Keeps the slots that `keep` says (it may change positions), in place.
    ///
    /// Starting behind an empty slot, no run of occupied slots wraps around, so each kept slot moves
    /// to the first free place between its home and where it stood.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut Slot) -> bool) {
        let slots = self.all_mut();
        let length = slots.len();
        let Some(start) = slots.iter().position(|slot| slot.position == 0) else {
            unreachable!("a table is never filled to the last slot")
        };
        let mut kept = 0;
        for step in 1..=length {
            let at = (start + step) % length;
            let mut slot = std::mem::take(&mut slots[at]);
            if slot.position == 0 || !keep(&mut slot) {
                continue;
            }
            let mut to = home(slot.high, length);
            while slots[to].position != 0 {
                to = if to + 1 == length { 0 } else { to + 1 };
            }
            slots[to] = slot;
            kept += 1;
        }
        self.occupied = kept;
    }

    /// Copies every slot into `other`, which must be larger and empty.
    pub fn copy_into(&self, other: &mut Self) {
        for slot in self.all().iter().filter(|slot| slot.position != 0) {
            *other.slot(slot.high, slot.low) = *slot;
            other.note_filled();
        }
    }
}

/// Where a key's probe starts: its high bits scaled to the table's length.
fn home(high: u64, length: usize) -> usize {
    ((u128::from(high) * length as u128) >> 64) as usize
}

/// Room on the disk is allocated at once: a full disk is an error here, not a fault at a later write.
fn map_file(dir: &Path, bytes: u64) -> std::io::Result<MmapMut> {
    let file: File = tempfile::tempfile_in(dir)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    // SAFETY: the file has no name, so nothing else changes or cuts it while it is mapped.
    unsafe { MmapMut::map_mut(&file) }
}
