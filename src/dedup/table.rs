use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

use super::run::Entry;
use crate::processor::{matching, prefetch};

#[cfg(test)]
mod tests;

/// The keys of one shard of a window that are in memory: a hash table of groups of 56 slots.
///
/// A group has a header, one line of memory: a bit for each slot that is taken, a count of keys that
/// had no room here, and a tag for each slot (the key's byte 8, so that most slots are told apart
/// without looking at them). The slots lie behind all headers. A slot is what of the key neither its
/// tag nor its shard says (15 bytes, or 14 where a window has at least 256 shards), position and
/// content: all 128 bits of a key are compared.
///
/// A key belongs into one of two groups, and is put into the emptier, so that nearly all slots are
/// taken before any group is full. Where both are full all the same, it goes to the next one behind the
/// second that is not.
pub(super) struct Table {
    layout: Layout,
    bytes: Bytes,
    groups: usize,
    occupied: usize,
    /// Slots keep offsets relative to this one.
    base: i64,
}

/// What the keys of a shard have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bits at the top of a key that are the shard's number.
    shard_bits: u32,
    /// The shard's number, at the top of a key's high half.
    shard: u64,
}

/// A key's last occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub offset: i64,
    pub content: u32,
}

/// As the processor reads memory.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; HEADER_BYTES]);

struct Slot {
    high: u64,
    low: u64,
    position: u32,
    content: u32,
}

/// Zeros at first.
enum Bytes {
    Heap(Vec<Line>),
    /// Given back to the system when dropped, and in no way in pieces.
    Map(MmapMut),
}

const HEADER_BYTES: usize = 64;
const SLOTS: usize = 56;
/// Where a header keeps its 56 bits, its count, and its tags, in bytes.
const PASSED: usize = 7;
const TAGS: usize = 8;
const ALL_TAKEN: u64 = (1 << SLOTS) - 1;
/// A count of keys that passed a group; at 255 nobody counts any more.
const SATURATED: u8 = u8::MAX;
/// A table is full when so many slots of a group are taken on average.
const MOST_IN_GROUP: usize = 53;
/// A table grows until it has so many bytes for a key, in halves: 27.5. That leaves a half for what is
/// accounted besides, to stay within 28.
const HALF_BYTES_A_KEY: usize = 55;
/// Sweeping reads every position, so it must free at least this part of the slots.
const LEAST_SWEPT_PART: usize = 24;
/// Relative offsets are kept in 32 bits; beyond this the base moves up.
pub(super) const GREATEST_POSITION: i64 = u32::MAX as i64 - 1;
/// Larger tables are maps of their own, so that a heap that has to grow keeps none of their holes.
const LEAST_MAP_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 4096;

impl Layout {
    /// Of the shard `number` of 2^`shard_bits`, at most 2^16.
    pub fn new(shard_bits: u32, number: usize) -> Self {
        let shard = if shard_bits == 0 { 0 } else { (number as u64) << (64 - shard_bits) };
        Self { shard_bits, shard }
    }

    /// Bytes of a key's high half that a slot keeps: not its tag, not what the shard says.
    const fn rest_bytes(self) -> usize {
        if self.shard_bits >= 8 { 6 } else { 7 }
    }

    const fn rest_mask(self) -> u64 {
        (1 << (self.rest_bytes() * 8)) - 1
    }

    const fn slot_bytes(self) -> usize {
        8 + self.rest_bytes() + 8
    }

    const fn group_bytes(self) -> usize {
        HEADER_BYTES + SLOTS * self.slot_bytes()
    }

    /// Bytes that a table of so many groups takes.
    fn table_bytes(self, groups: usize) -> usize {
        let bytes = groups * self.group_bytes();
        bytes.next_multiple_of(if bytes < LEAST_MAP_BYTES { HEADER_BYTES } else { PAGE_BYTES })
    }

    fn high(self, rest: u64, tag: u8) -> u64 {
        let low_bits = (rest << 8) | u64::from(tag);
        if self.rest_bytes() == 6 { low_bits | (self.shard & (0xFF << 56)) } else { low_bits }
    }
}

impl Bytes {
    fn zeros(bytes: usize) -> Self {
        if bytes >= LEAST_MAP_BYTES
            && let Ok(map) = MmapMut::map_anon(bytes)
        {
            return Self::Map(map);
        }
        Self::Heap(vec![Line::zeroed(); bytes.div_ceil(HEADER_BYTES)])
    }

    #[inline]
    fn all(&self) -> &[u8] {
        match self {
            Self::Heap(lines) => bytemuck::cast_slice(lines),
            Self::Map(map) => map,
        }
    }

    #[inline]
    fn all_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(lines) => bytemuck::cast_slice_mut(lines),
            Self::Map(map) => map,
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn half_word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

impl Table {
    /// A table without room; it takes no memory.
    pub fn empty(layout: Layout) -> Self {
        Self { layout, bytes: Bytes::Heap(Vec::new()), groups: 0, occupied: 0, base: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.layout.table_bytes(self.groups)
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub fn occupied(&self) -> usize {
        self.occupied
    }

    pub fn is_full(&self) -> bool {
        self.occupied >= self.groups * MOST_IN_GROUP
    }

    /// Groups that the table has when it has grown by a step, and what it takes then, in bytes.
    pub fn next_size(&self) -> (usize, usize) {
        let groups = self.occupied * HALF_BYTES_A_KEY / (2 * self.layout.group_bytes());
        let groups = groups.max(self.groups + 1);
        (groups, self.layout.table_bytes(groups))
    }

    /// The two groups that the key belongs into: by the bits below its shard's, and by those of its
    /// low half.
    #[inline]
    fn homes(&self, high: u64, low: u64) -> [usize; 2] {
        [(high << self.layout.shard_bits) >> 32, low >> 32]
            .map(|bits| ((bits * self.groups as u64) >> 32) as usize)
    }

    fn next(&self, group: usize) -> usize {
        if group + 1 == self.groups { 0 } else { group + 1 }
    }

    /// Asks for what a look at the key needs first.
    #[inline]
    pub fn prefetch(&self, high: u64, low: u64) {
        if self.groups > 0 {
            for home in self.homes(high, low) {
                prefetch(&self.bytes.all()[home * HEADER_BYTES]);
            }
        }
    }

    /// Asks for what a look at the key needs next, once what it needs first is there: the slots that
    /// have its tag, and the one that it takes if it is new.
    #[inline]
    pub fn approach(&self, high: u64, low: u64) {
        if self.groups == 0 {
            return;
        }
        let homes = self.homes(high, low);
        for home in homes {
            let mut candidates = self.candidates(home, high);
            while candidates != 0 {
                self.prefetch_slot(home, candidates.trailing_zeros() as usize);
                candidates &= candidates - 1;
            }
        }
        let (group, taken) = self.emptier(homes);
        if taken != ALL_TAKEN {
            self.prefetch_slot(group, taken.trailing_ones() as usize);
        }
    }

    #[inline]
    fn prefetch_slot(&self, group: usize, slot: usize) {
        let at = self.slot_at(group, slot);
        prefetch(&self.bytes.all()[at]);
        prefetch(&self.bytes.all()[at + self.layout.slot_bytes() - 1]);
    }

    /// With the slots that are taken in it.
    #[inline]
    fn emptier(&self, homes: [usize; 2]) -> (usize, u64) {
        let [first, second] = homes.map(|group| (group, self.taken(group)));
        if first.1.count_ones() <= second.1.count_ones() { first } else { second }
    }

    #[inline]
    fn header(&self, group: usize) -> &[u8; HEADER_BYTES] {
        let at = group * HEADER_BYTES;
        self.bytes.all()[at..at + HEADER_BYTES].try_into().expect("a header")
    }

    /// A bit for each slot of the group.
    fn taken(&self, group: usize) -> u64 {
        word(self.header(group), 0) & ALL_TAKEN
    }

    fn slot_at(&self, group: usize, slot: usize) -> usize {
        self.groups * HEADER_BYTES + (group * SLOTS + slot) * self.layout.slot_bytes()
    }

    fn position(&self, at: usize) -> u32 {
        half_word(self.bytes.all(), at + 8 + self.layout.rest_bytes())
    }

    /// Where the key's slot begins.
    #[inline]
    fn find(&self, high: u64, low: u64) -> Option<usize> {
        if self.groups == 0 {
            return None;
        }
        let [first, second] = self.homes(high, low);
        if let Some(at) = self.find_in(first, high, low).or_else(|| self.find_in(second, high, low)) {
            return Some(at);
        }
        let mut group = second;
        for _ in 1..self.groups {
            if self.header(group)[PASSED] == 0 {
                return None;
            }
            group = self.next(group);
            if let Some(at) = self.find_in(group, high, low) {
                return Some(at);
            }
        }
        None
    }

    /// A bit for each slot of the group that has the key's tag.
    #[inline]
    fn candidates(&self, group: usize, high: u64) -> u64 {
        let header = self.header(group);
        let (sixteens, _) = header.as_chunks::<16>();
        let [a, b, c, d] = [0, 1, 2, 3].map(|part| u64::from(matching(&sixteens[part], high as u8)));
        let tagged = (a | b << 16 | c << 32 | d << 48) >> TAGS;
        tagged & word(header, 0) & ALL_TAKEN
    }

    #[inline]
    fn find_in(&self, group: usize, high: u64, low: u64) -> Option<usize> {
        let mut candidates = self.candidates(group, high);
        let mask = self.layout.rest_mask();
        while candidates != 0 {
            let at = self.slot_at(group, candidates.trailing_zeros() as usize);
            let slot = &self.bytes.all()[at..at + 16];
            if word(slot, 0) == low && (word(slot, 8) ^ (high >> 8)) & mask == 0 {
                return Some(at);
            }
            candidates &= candidates - 1;
        }
        None
    }

    fn place(&self, offset: i64) -> u32 {
        u32::try_from(offset - self.base + 1).expect("the base follows the offsets")
    }

    /// Makes `last` the key's last occurrence where it has one; answers with the one before.
    #[inline]
    pub fn replace(&mut self, high: u64, low: u64, last: Last, oldest: i64) -> Option<Last> {
        let at = self.find(high, low)?;
        let field = at + 8 + self.layout.rest_bytes();
        let before = Last {
            offset: self.base + i64::from(self.position(at)) - 1,
            content: half_word(self.bytes.all(), field + 4),
        };
        if last.offset - self.base >= GREATEST_POSITION {
            // The key may have left the window, and its slot with it.
            self.move_base(oldest);
            let at = self.find(high, low).unwrap_or_else(|| self.occupy(high, low));
            self.write(at, high, low, self.place(last.offset), last.content);
            return Some(before);
        }
        let position = self.place(last.offset);
        let slot = &mut self.bytes.all_mut()[field..field + 8];
        slot[..4].copy_from_slice(&position.to_le_bytes());
        slot[4..].copy_from_slice(&last.content.to_le_bytes());
        Some(before)
    }

    /// Takes in a key that the table has not. There must be room.
    pub fn insert(&mut self, high: u64, low: u64, last: Last, oldest: i64) {
        if self.occupied == 0 {
            self.base = last.offset;
        } else if last.offset - self.base >= GREATEST_POSITION {
            self.move_base(oldest);
        }
        let at = self.occupy(high, low);
        self.write(at, high, low, self.place(last.offset), last.content);
    }

    fn occupy(&mut self, high: u64, low: u64) -> usize {
        self.occupied += 1;
        self.vacant(high, low)
    }

    fn write(&mut self, at: usize, high: u64, low: u64, position: u32, content: u32) {
        let rest = self.layout.rest_bytes();
        let slot = &mut self.bytes.all_mut()[at..at + 16 + rest];
        slot[..8].copy_from_slice(&low.to_le_bytes());
        // What is too much of the high half is written over at once.
        slot[8..16].copy_from_slice(&(high >> 8).to_le_bytes());
        slot[8 + rest..12 + rest].copy_from_slice(&position.to_le_bytes());
        slot[12 + rest..].copy_from_slice(&content.to_le_bytes());
    }

    /// The slot that a key takes: marked and tagged, and each full group that it passes knows that.
    fn vacant(&mut self, high: u64, low: u64) -> usize {
        let homes = self.homes(high, low);
        let (mut group, mut taken) = self.emptier(homes);
        if taken == ALL_TAKEN {
            group = homes[1];
            while taken == ALL_TAKEN {
                let passed = &mut self.bytes.all_mut()[group * HEADER_BYTES + PASSED];
                *passed = passed.saturating_add(1);
                group = self.next(group);
                taken = self.taken(group);
            }
        }
        let slot = taken.trailing_ones() as usize;
        let header = &mut self.bytes.all_mut()[group * HEADER_BYTES..][..HEADER_BYTES];
        header[slot / 8] |= 1 << (slot % 8);
        header[TAGS + slot] = high as u8;
        self.slot_at(group, slot)
    }

    /// Visits every key; groups that lie side by side come far from one another.
    ///
    /// In their own order they would fill another table from one end to the other, where the emptier
    /// of two groups says nothing of how full they will be: at 53 of 56 a third of all groups would
    /// turn keys away, and so none does.
    fn each(&self, mut visit: impl FnMut(Slot)) {
        let coprime = |stride: &usize| gcd(*stride, self.groups) == 1;
        let stride = (self.groups * 5 / 8..).find(coprime).unwrap_or(1);
        for group in (0..self.groups).map(|number| number * stride % self.groups) {
            let mut taken = self.taken(group);
            while taken != 0 {
                let slot = taken.trailing_zeros() as usize;
                visit(self.slot(group, slot));
                taken &= taken - 1;
            }
        }
    }

    fn slot(&self, group: usize, slot: usize) -> Slot {
        let (at, rest) = (self.slot_at(group, slot), self.layout.rest_bytes());
        let tag = self.header(group)[TAGS + slot];
        let bytes = &self.bytes.all()[at..at + 16 + rest];
        Slot {
            high: self.layout.high(word(bytes, 8) & self.layout.rest_mask(), tag),
            low: word(bytes, 0),
            position: half_word(bytes, 8 + rest),
            content: half_word(bytes, 12 + rest),
        }
    }

    /// Forgets what is older than `oldest`, in place. `true` where that made enough room to go on.
    pub fn sweep(&mut self, oldest: i64) -> bool {
        let before = self.occupied;
        // 1 is the base itself.
        let least = u32::try_from((oldest - self.base + 1).max(1)).unwrap_or(u32::MAX);
        for group in 0..if least > 1 { self.groups } else { 0 } {
            let mut taken = self.taken(group);
            while taken != 0 {
                let slot = taken.trailing_zeros() as usize;
                if self.position(self.slot_at(group, slot)) < least {
                    self.remove(group, slot);
                }
                taken &= taken - 1;
            }
        }
        !self.is_full() && (before - self.occupied) * LEAST_SWEPT_PART >= self.groups * SLOTS
    }

    fn remove(&mut self, group: usize, slot: usize) {
        let Slot { high, low, .. } = self.slot(group, slot);
        let [first, second] = self.homes(high, low);
        self.bytes.all_mut()[group * HEADER_BYTES + slot / 8] &= !(1 << (slot % 8));
        self.occupied -= 1;
        // Where it passed the second group, the first one was full: it is in neither.
        let mut passed = if group == first { group } else { second };
        while passed != group {
            let count = &mut self.bytes.all_mut()[passed * HEADER_BYTES + PASSED];
            if *count != SATURATED {
                *count -= 1;
            }
            passed = self.next(passed);
        }
    }

    /// The same keys in a table of `groups`, which must have room for them.
    pub fn resized(&self, groups: usize) -> Self {
        let layout = self.layout;
        let bytes = Bytes::zeros(layout.table_bytes(groups));
        let mut larger = Self { layout, bytes, groups, occupied: self.occupied, base: self.base };
        self.each(|Slot { high, low, position, content }| {
            let at = larger.vacant(high, low);
            larger.write(at, high, low, position, content);
        });
        larger
    }

    /// Counts offsets from `oldest` on; what is older is forgotten.
    fn move_base(&mut self, oldest: i64) {
        self.sweep(oldest);
        let ahead = u32::try_from(oldest - self.base).unwrap_or(u32::MAX);
        self.base = oldest;
        for group in 0..self.groups {
            let mut taken = self.taken(group);
            while taken != 0 {
                let at = self.slot_at(group, taken.trailing_zeros() as usize);
                let position = self.position(at) - ahead;
                let field = at + 8 + self.layout.rest_bytes();
                self.bytes.all_mut()[field..field + 4].copy_from_slice(&position.to_le_bytes());
                taken &= taken - 1;
            }
        }
    }

    /// The keys from `oldest` on, sorted, relative to the offset that is given beside them.
    pub fn sorted(&self, oldest: i64) -> (Vec<Entry>, i64) {
        let mut entries = Vec::with_capacity(self.occupied);
        let least = oldest - self.base + 1;
        self.each(|Slot { high, low, position, content }| {
            if i64::from(position) >= least {
                entries.push(Entry { high, low, position, content });
            }
        });
        entries.sort_unstable_by_key(|entry| (entry.high, entry.low));
        (entries, self.base - 1)
    }
}
