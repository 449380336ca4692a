//! How much room a process has for its windows, in memory and on disk, and what becomes of a lane that
//! finds none.

use std::collections::BTreeMap;

use odometer::dedup::{Cache, CacheFull, Expected, Moves};

use super::chance::Chance;
use super::fault::{Fault, Tally};
use super::group::Place;

/// Of one process.
#[derive(Default)]
pub struct Room {
    pub memory: u64,
    pub disk: u64,
    /// While the process runs.
    cache: Option<Cache>,
    /// Windows that are said to come, for which those that are there give memory back.
    squeeze: Option<Expected>,
    waiting: Waiting,
}

/// `pipeline/waiting.rs`, by simulated time: lanes that wait for room while the others are counted.
#[derive(Default)]
struct Waiting {
    /// Until when.
    lanes: BTreeMap<Place, u64>,
    /// The others were begun, and nothing was read since.
    is_unread: bool,
}

const PLENTY: u64 = 1 << 30;
/// A window on disk takes pages of so many bytes.
const PAGE_BYTES: u64 = 4096;
/// Enough for the tables of a lane or two, whose least size is 1,352 bytes, and for a few runs.
const TIGHT_MEMORY: (usize, usize) = (1_700, 5_000);
const MOST_TIGHT_PAGES: usize = 4;
/// Shares of memory, in bytes, of a window that is squeezed: with no table, with no filter, with nothing.
const SHARES: &[u64] = &[1_300, 700, 400, 150];
const TRIED_AGAIN_AFTER_MS: u64 = 20_000;

impl Room {
    pub fn plenty() -> Self {
        Self { memory: PLENTY, disk: PLENTY, ..Self::default() }
    }

    pub fn tight(chance: &mut Chance) -> Self {
        let (least, most) = TIGHT_MEMORY;
        let memory = chance.between(least, most) as u64;
        let disk =
            if chance.one_in(4) { PLENTY } else { chance.below(MOST_TIGHT_PAGES + 1) as u64 * PAGE_BYTES };
        Self { memory, disk, ..Self::default() }
    }

    pub fn is_plenty(&self) -> bool {
        self.memory == PLENTY && self.disk == PLENTY
    }

    pub fn open(&mut self, cache: &Cache) {
        self.cache = Some(cache.clone());
    }

    /// `false`: the process hasn't opened its cache yet.
    pub fn squeeze(&mut self, chance: &mut Chance) -> bool {
        let Some(cache) = &self.cache else { return false };
        let windows = self.memory / chance.pick(SHARES);
        self.squeeze = Some(cache.expect(windows as usize));
        true
    }

    pub fn release(&mut self) {
        self.squeeze = None;
    }

    pub fn wait(&mut self, place: Place, now_ms: u64) {
        self.waiting.lanes.insert(place, now_ms + TRIED_AGAIN_AFTER_MS);
    }

    pub fn waits(&self, place: &Place) -> bool {
        self.waiting.lanes.contains_key(place)
    }

    pub fn give_up(&mut self, place: &Place) {
        self.waiting.lanes.remove(place);
    }

    /// So many others were begun.
    pub fn begun(&mut self, others: usize, now_ms: u64) {
        self.waiting.is_unread = others > 0;
        self.waiting.lanes.values_mut().for_each(|until| *until = now_ms + TRIED_AGAIN_AFTER_MS);
    }

    pub fn read(&mut self) {
        self.waiting.is_unread = false;
    }

    /// Forgets the lanes that have waited long enough; `true` where there are some.
    pub fn end_due(&mut self, now_ms: u64) -> bool {
        let before = self.waiting.lanes.len();
        if !self.waiting.is_unread {
            self.waiting.lanes.retain(|_, until| now_ms < *until);
        }
        self.waiting.lanes.len() < before
    }
}

/// What a window did for want of memory since it was last asked.
pub fn note_moves(tally: &mut Tally, before: &mut Moves, now: Moves) {
    tally.note_times(Fault::WindowSpilled, now.spilled - before.spilled);
    tally.note_times(Fault::RunsMerged, now.merged - before.merged);
    tally.note_times(Fault::FilterDropped, now.filters_dropped - before.filters_dropped);
    *before = now;
}

pub fn full_kind(full: &CacheFull) -> Fault {
    if full.hint.contains("cache.budget") { Fault::DiskFull } else { Fault::MemoryFull }
}
