use std::io;

use super::budget::CacheFull;
use super::cache::Cache;
use super::extent::{Extent, Extents};
use super::run::{Run, pages_for};
use super::table::{Last, Layout, Table};

/// The keys of a window that begin with the same bits: the latest in memory, those before in runs on
/// disk, each of which covers a range of offsets behind the one before it.
pub(super) struct Shard {
    pub table: Table,
    /// From the oldest to the newest.
    runs: Vec<Run>,
}

impl Shard {
    pub fn new(layout: Layout) -> Self {
        Self { table: Table::empty(layout), runs: Vec::new() }
    }

    /// Asks for what a look at the key needs first.
    #[inline]
    pub fn prefetch(&self, high: u64, low: u64) {
        self.table.prefetch(high, low);
        for run in &self.runs {
            run.prefetch(low);
        }
    }

    /// Asks for what a look at the key needs next.
    #[inline]
    pub fn approach(&self, high: u64, low: u64) {
        self.table.approach(high, low);
    }

    /// The key's last occurrence on disk; `None` where it is older than `oldest`.
    #[inline]
    pub fn find_in_runs(&self, high: u64, low: u64, oldest: i64) -> io::Result<Option<Last>> {
        for run in self.runs.iter().rev().filter(|run| !run.is_older_than(oldest)) {
            if let Some(last) = run.find(high, low)? {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    pub fn memory_bytes(&self) -> usize {
        self.table.bytes() + self.runs.iter().map(Run::memory_bytes).sum::<usize>()
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Forgets the runs that have left the window, and gives their disk back.
    pub fn drop_old_runs(&mut self, oldest: i64) {
        self.runs.retain(|run| !run.is_older_than(oldest));
    }

    /// Moves the table's keys to disk. What is kept of them in memory is less than the table was; on
    /// an error the table has all of them.
    pub fn spill(&mut self, oldest: i64, extents: &mut Extents, cache: &Cache) -> Result<(), CacheFull> {
        self.table.sweep(oldest);
        if self.table.occupied() > 0 {
            // Before they are sorted: where the disk is full that is tried again and again.
            let extent = extents.next(pages_for(self.table.occupied()), cache)?;
            let (entries, base) = self.table.sorted(oldest);
            let run = Run::write(&entries, base, extent, cache)?;
            self.runs.reserve_exact(1);
            self.runs.push(run);
        }
        self.table = Table::empty(self.table.layout());
        Ok(())
    }

    /// Merges the run `at` and the one behind it into `extent`.
    pub fn merge(&mut self, at: usize, oldest: i64, has_filter: bool, extent: Extent) -> io::Result<()> {
        let merged = Run::merge(&self.runs[at], &self.runs[at + 1], oldest, has_filter, extent)?;
        self.runs.splice(at..at + 2, merged);
        Ok(())
    }

    /// The first of the two neighbours among the runs that are smallest together, and how many keys
    /// they hold at most.
    pub fn smallest_neighbours(&self) -> Option<(usize, usize)> {
        let entries = |at: usize| self.runs[at].entries() + self.runs[at + 1].entries();
        let at = (0..self.runs.len().saturating_sub(1)).min_by_key(|at| entries(*at))?;
        Some((at, entries(at)))
    }

    pub fn filter_bytes(&self) -> usize {
        self.runs.iter().map(Run::filter_bytes).sum()
    }

    /// Drops the largest filter.
    pub fn drop_filter(&mut self) {
        if let Some(run) = self.runs.iter_mut().max_by_key(|run| run.filter_bytes()) {
            run.drop_filter();
        }
    }

    /// Drops the filters of the run `at` and of the one behind it; answers with the bytes they took.
    pub fn drop_filters_of_two(&mut self, at: usize) -> usize {
        let two = &mut self.runs[at..at + 2];
        let bytes = two.iter().map(Run::filter_bytes).sum();
        two.iter_mut().for_each(Run::drop_filter);
        bytes
    }
}
