use super::budget::{CacheFull, Share};
use super::cache::{Cache, Expected, Member};
use super::extent::{Extents, full};
use super::run::{Run, memory_for, pages_for};
use super::shard::Shard;
use super::table::{Last, Layout};
use crate::event::{Content, EventKey};

#[cfg(test)]
mod tests;

/// The keys of a lane's last W offsets.
///
/// They are split by their top bits into shards, each of which grows, moves to disk, and is merged by
/// itself, so that no step takes long and none needs the room of two windows. A key's last occurrence
/// is in its shard's table, or in the newest of the shard's runs that has it. Where a key is never
/// changes what is said of it.
pub struct Window {
    shards: Vec<Shard>,
    shard_bits: u32,
    /// W: offsets, at least 1.
    width: i64,
    /// The greatest offset observed.
    latest: i64,
    extents: Extents,
    /// Runs of one shard beyond which two are merged.
    most_runs: usize,
    /// Of the cache's memory, for all tables, fences and filters.
    memory: Share,
    member: Member,
    /// It is being made from what was counted before, and takes no more than its share.
    is_filling: bool,
    /// The shard whose old runs are looked for next where nothing else happens.
    turn: usize,
    moves: Moves,
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

/// What a window holds, in memory or on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Some of which may have left the window already.
    pub keys: u64,
    pub bytes: u64,
}

/// What was done so far to keep a window in its memory; none of it changes what is said of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Tables that were given up, what they held moved to disk.
    pub spilled: u64,
    /// Pairs of runs that were merged.
    pub merged: u64,
    /// Filters that went while their runs stayed.
    pub filters_dropped: u64,
}

/// A window is at most this wide, so that it fits into half of the relative offsets of a table.
pub const MAX_WIDTH: u64 = 1 << 31;
/// Where one window has all the memory, a shard's table has about so much of it: some milliseconds to
/// write it to disk.
const SHARD_BYTES: u64 = 2 << 20;
/// Where an offset is one key, a shard has at most so many, on disk as well: some milliseconds to merge
/// them. A narrow window has fewer shards.
const SHARD_KEYS: u64 = 1 << 18;
const LEAST_SHARD_KEYS: u64 = 1 << 8;
const MOST_SHARDS: u64 = 1 << 12;
/// A key that is new is looked for in one line of each run's filter.
const MOST_RUNS: usize = 8;
/// Keys that are looked for at once where nobody asks for a verdict.
const REMEMBERED_AT_ONCE: usize = 32;
/// Of the memory that a window holds, filters may be 3 of 4 parts.
const MOST_FILTER_QUARTERS: (u64, u64) = (3, 4);

impl Window {
    /// `width` is 1 ..= [`MAX_WIDTH`] offsets; `base` the first offset that will be observed.
    pub fn new(width: u64, base: i64, cache: &Cache) -> Result<Self, CacheFull> {
        let by_memory = (cache.memory().limit() / SHARD_BYTES).min(width / LEAST_SHARD_KEYS);
        let shards = by_memory.max(width / SHARD_KEYS).clamp(1, MOST_SHARDS);
        Self::with_shards(shards.next_power_of_two().ilog2(), MOST_RUNS, width, base, cache)
    }

    /// One of the windows that are expected: until [`Self::end_filling`] it holds no more memory than
    /// its share, so that there is room for the others.
    pub fn begin(width: u64, base: i64, expected: &Expected) -> Result<Self, CacheFull> {
        let window = Self::begin_again(width, base, expected)?;
        expected.arrive();
        Ok(window)
    }

    /// The same in the place of one that was begun and is gone.
    pub fn begin_again(width: u64, base: i64, expected: &Expected) -> Result<Self, CacheFull> {
        Ok(Self { is_filling: true, ..Self::new(width, base, expected.cache())? })
    }

    /// Everything that was counted before is in it.
    pub fn end_filling(&mut self) {
        self.is_filling = false;
    }

    fn with_shards(
        shard_bits: u32,
        most_runs: usize,
        width: u64,
        base: i64,
        cache: &Cache,
    ) -> Result<Self, CacheFull> {
        assert!((1..=MAX_WIDTH).contains(&width), "a window is 1 to {MAX_WIDTH} offsets wide");
        let member = cache.join();
        let count = 1usize << shard_bits;
        let memory = cache.memory().take((count * size_of::<Shard>()) as u64);
        let memory = memory.ok_or_else(|| memory_full(cache))?;
        let shards = (0..count).map(|number| Shard::new(Layout::new(shard_bits, number))).collect();
        Ok(Self {
            shards,
            shard_bits,
            width: i64::try_from(width).expect("at most 2^31"),
            latest: base,
            extents: Extents::default(),
            most_runs,
            memory,
            member,
            is_filling: false,
            turn: 0,
            moves: Moves::default(),
        })
    }

    fn shard(&self, high: u64) -> usize {
        if self.shard_bits == 0 { 0 } else { (high >> (64 - self.shard_bits)) as usize }
    }

    /// Remembers occurrences that were judged before.
    pub fn remember(&mut self, occurrences: &[Occurrence]) -> Result<(), CacheFull> {
        for together in occurrences.chunks(REMEMBERED_AT_ONCE) {
            together.iter().for_each(|at| self.prefetch(at.key));
            together.iter().for_each(|at| self.approach(at.key));
            together.iter().try_for_each(|at| self.observe(*at).map(drop))?;
        }
        Ok(())
    }

    /// Asks for the memory that a look at `key` needs. Whoever has several keys asks for all of them
    /// first.
    #[inline]
    pub fn prefetch(&self, key: EventKey) {
        let (high, low) = halves(key);
        self.shards[self.shard(high)].prefetch(high, low);
    }

    /// Asks for the memory that a look at `key` needs next, once what [`Self::prefetch`] asked for has
    /// come: right before the first of several keys is looked for, for each of them.
    #[inline]
    pub fn approach(&self, key: EventKey) {
        let (high, low) = halves(key);
        self.shards[self.shard(high)].approach(high, low);
    }

    /// Judges the occurrence and remembers it as its key's latest. Offsets never go down. On an
    /// error nothing was remembered, and the same occurrence may be tried again.
    pub fn observe(&mut self, occurrence: Occurrence) -> Result<Verdict, CacheFull> {
        let Occurrence { offset, key, content } = occurrence;
        assert!(offset >= self.latest, "offset {offset} after {}", self.latest);
        let oldest = offset - self.width;
        let (high, low) = halves(key);
        let number = self.shard(high);
        let last = Last { offset, content };
        let before = match self.shards[number].table.replace(high, low, last, oldest) {
            Some(before) => Some(before),
            None => {
                if self.shards[number].table.is_full() {
                    self.make_room(number, oldest)?;
                }
                let shard = &mut self.shards[number];
                let before = shard
                    .find_in_runs(high, low, oldest)
                    .map_err(|error| unread(&self.member.cache, &error))?;
                shard.table.insert(high, low, last, oldest);
                before
            }
        };
        self.latest = offset;
        Ok(match before {
            Some(before) if before.offset >= oldest => {
                if before.content == content {
                    Verdict::Duplicate
                } else {
                    Verdict::Conflict
                }
            }
            _ => Verdict::New,
        })
    }

    /// Makes room for a key in a shard's table: by what has left the window, by memory, by disk, and
    /// where there is nothing else, by filters.
    fn make_room(&mut self, number: usize, oldest: i64) -> Result<(), CacheFull> {
        self.drop_old_runs(number, oldest);
        loop {
            let table = &mut self.shards[number].table;
            if table.sweep(oldest) {
                return Ok(());
            }
            let (groups, bytes) = table.next_size();
            let kept = self.memory.bytes();
            if self.grow_memory(bytes as u64) {
                let table = &mut self.shards[number].table;
                let before = table.bytes() as u64;
                *table = table.resized(groups);
                self.memory.resize(kept + bytes as u64 - before);
                return Ok(());
            }
            self.free_memory(oldest)?;
        }
    }

    /// One step. Where filters are most of what the window holds, the largest goes before the tables do:
    /// they need room too.
    fn free_memory(&mut self, oldest: i64) -> Result<(), CacheFull> {
        if self.is_mostly_filters() && self.drop_filter(oldest) {
            return Ok(());
        }
        self.spill(oldest).or_else(|full| if self.drop_filter(oldest) { Ok(()) } else { Err(full) })
    }

    /// `false` where the other windows must be left so much.
    fn grow_memory(&mut self, more: u64) -> bool {
        let bytes = self.memory.bytes() + more;
        if self.is_filling && bytes > self.member.cache.filling_bound() {
            return false;
        }
        self.memory.resize_below(bytes, self.member.cache.memory_bound(bytes))
    }

    /// Moves the largest table to disk.
    fn spill(&mut self, oldest: i64) -> Result<(), CacheFull> {
        let largest = (0..self.shards.len()).max_by_key(|number| self.shards[*number].table.bytes());
        let Some(number) = largest.filter(|number| self.shards[*number].table.bytes() > 0) else {
            return Err(memory_full(&self.member.cache));
        };
        let cache = self.member.cache.clone();
        self.drop_old_runs(number, oldest);
        self.change(number, |shard, extents| shard.spill(oldest, extents, &cache)).or_else(|_| {
            // What has left the window in other shards may be the room that is missing.
            self.drop_all_old_runs(oldest);
            self.change(number, |shard, extents| shard.spill(oldest, extents, &cache))
        })?;
        self.moves.spilled += 1;
        self.merge(number, oldest);
        Ok(())
    }

    /// Drops the largest filter, which makes its run slower and nothing else; `false` where there is none.
    fn drop_filter(&mut self, oldest: i64) -> bool {
        // What has left the window needs none.
        if self.drop_all_old_runs(oldest) {
            return true;
        }
        let largest = (0..self.shards.len()).max_by_key(|number| self.shards[*number].filter_bytes());
        let Some(number) = largest.filter(|number| self.shards[*number].filter_bytes() > 0) else {
            return false;
        };
        self.tell_of_filter();
        self.change(number, |shard, _| shard.drop_filter());
        true
    }

    /// A run has no filter any more.
    fn tell_of_filter(&mut self) {
        if self.moves.filters_dropped == 0 {
            tracing::warn!(
                "{} keys of a window on disk outgrow `memory`: from now on old keys are looked for on disk, \
                 which is slow; raise `memory`, or start another process",
                self.on_disk().keys
            );
        }
        self.moves.filters_dropped += 1;
    }

    fn is_mostly_filters(&self) -> bool {
        let filters: u64 = self.shards.iter().map(|shard| shard.filter_bytes() as u64).sum();
        filters > self.memory.bytes() / MOST_FILTER_QUARTERS.1 * MOST_FILTER_QUARTERS.0
    }

    /// Gives back what a shard's runs take that have left the window; `false` where there are none.
    fn drop_old_runs(&mut self, number: usize, oldest: i64) -> bool {
        let has_old = self.shards[number].runs().iter().any(|run| run.is_older_than(oldest));
        if has_old {
            self.change(number, |shard, _| shard.drop_old_runs(oldest));
        }
        has_old
    }

    fn drop_all_old_runs(&mut self, oldest: i64) -> bool {
        (0..self.shards.len()).filter(|number| self.drop_old_runs(*number, oldest)).count() > 0
    }

    /// A change of a shard that takes no more memory than before.
    fn change<T>(&mut self, number: usize, change: impl FnOnce(&mut Shard, &mut Extents) -> T) -> T {
        let shard = &mut self.shards[number];
        let before = shard.memory_bytes();
        let changed = change(shard, &mut self.extents);
        let freed = before - shard.memory_bytes();
        self.memory.resize(self.memory.bytes() - freed as u64);
        changed
    }

    /// Keeps the runs of a shard few. Where there is no room for it now, they stay.
    fn merge(&mut self, number: usize, oldest: i64) {
        while self.shards[number].runs().len() > self.most_runs {
            let Some((at, entries)) = self.shards[number].smallest_neighbours() else { return };
            if let Err(error) = self.merge_at(number, at, entries, oldest) {
                return tracing::debug!("{error}; runs of a window stay unmerged");
            }
        }
    }

    /// Merges a shard's run `at` and the one behind it, of `entries` together.
    fn merge_at(&mut self, number: usize, at: usize, entries: usize, oldest: i64) -> Result<(), CacheFull> {
        // Before any filter goes for it.
        let extent = self.extents.next(pages_for(entries), &self.member.cache)?;
        let kept = self.memory.bytes();
        let before = self.shards[number].memory_bytes() as u64;
        let needed = |has_filter| memory_for(entries, has_filter) as u64;
        let mut has_filter = self.grow_memory(needed(true));
        if !has_filter {
            // They are read from one end to the other, for which they need no filters.
            let freed = self.shards[number].drop_filters_of_two(at) as u64;
            has_filter = self.replace_memory(freed, needed(true));
            if !has_filter {
                self.tell_of_filter();
            }
            if !has_filter && !self.replace_memory(freed, needed(false)) {
                self.memory.resize(kept - freed);
                return Err(memory_full(&self.member.cache));
            }
        }
        let shard = &mut self.shards[number];
        let merged = shard.merge(at, oldest, has_filter, extent);
        self.memory.resize(kept - before + shard.memory_bytes() as u64);
        self.moves.merged += u64::from(merged.is_ok());
        merged.map_err(|error| full(&self.member.cache, error))
    }

    /// Takes `more` memory of which `freed` is there already.
    fn replace_memory(&mut self, freed: u64, more: u64) -> bool {
        more <= freed || self.grow_memory(more - freed)
    }

    /// Gives back what has left the window, and memory that other lanes need more, a step at a time. To
    /// be called again and again, also where nothing is to be observed; `false` where it has no memory
    /// to give.
    pub fn give_back(&mut self) -> bool {
        self.turn = (self.turn + 1) % self.shards.len();
        self.drop_old_runs(self.turn, self.latest - self.width);
        if !self.member.cache.holds_too_much(self.memory.bytes()) {
            return false;
        }
        let given = self.free_memory(self.latest - self.width);
        if let Err(error) = &given {
            // The lane that needs it waits until there is room.
            tracing::debug!("{error}; a window gives no memory back");
        }
        given.is_ok()
    }

    /// W, in offsets.
    pub fn width(&self) -> u64 {
        self.width.unsigned_abs()
    }

    /// What is in memory, with all that belongs to it, also to runs on disk.
    pub fn in_memory(&self) -> Held {
        let keys = self.shards.iter().map(|shard| shard.table.occupied() as u64).sum();
        Held { keys, bytes: self.memory.bytes() }
    }

    pub fn moves(&self) -> Moves {
        self.moves
    }

    pub fn on_disk(&self) -> Held {
        let runs = || self.shards.iter().flat_map(Shard::runs);
        Held { keys: runs().map(|run| run.entries() as u64).sum(), bytes: runs().map(Run::disk_bytes).sum() }
    }
}

fn halves(key: EventKey) -> (u64, u64) {
    ((key.0 >> 64) as u64, key.0 as u64)
}

fn memory_full(cache: &Cache) -> CacheFull {
    CacheFull {
        action: format!("take memory for a window, of {} bytes for all", cache.memory().limit()),
        cause: "other lanes have it".into(),
        hint: "they give some back soon; raise `memory`, or start another process",
        is_disk: false,
    }
}

fn unread(cache: &Cache, error: &std::io::Error) -> CacheFull {
    CacheFull {
        action: format!("read keys of a window in {}", cache.dir().display()),
        cause: error.to_string(),
        hint: "see whether the disk is well",
        is_disk: false,
    }
}
