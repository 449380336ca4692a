//! Reads the log again, range by range, and compares what it gives with what was stored.

mod compare;
mod counter;
mod plan;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;

pub use compare::{compare, compare_totals};
pub use counter::{Counted, Slice, Totals};
pub use plan::{LogBounds, Plan, plan};

use counter::Counter;

use super::naive::{NaiveReader, UnreadableRules};
use crate::event::{Lane, Rules, RulesHash};
use crate::source::{KafkaError, PartitionReader, Settings};

/// Rows are handed over for comparing when they hold so many keys together: about 150 bytes each.
const KEYS_AT_A_TIME: usize = 500_000;
const ROWS_AT_A_TIME: usize = 500;
/// Records after which progress is told.
const RECORDS_AT_A_TIME: u64 = 200_000;

/// Counts one lane's planned rows again, in the order of their offsets.
pub struct LaneRecount {
    settings: Settings,
    lane: Lane,
    ranges: VecDeque<Range<i64>>,
    reader: Option<(PartitionReader, i64)>,
    counter: Counter,
}

impl LaneRecount {
    pub fn new(
        settings: &Settings,
        lane: &Lane,
        plan: Plan,
        rules: &HashMap<RulesHash, Rules>,
        slice: Slice,
    ) -> Result<Self, UnreadableRules> {
        let mut readers = HashMap::new();
        for row in &plan.rows {
            if let Some(rules) = rules.get(&row.row.rules)
                && !readers.contains_key(&row.row.rules)
            {
                readers.insert(row.row.rules, (NaiveReader::new(&lane.topic, rules)?, rules.dedup_window));
            }
        }
        Ok(Self {
            settings: settings.clone(),
            lane: lane.clone(),
            ranges: plan.ranges.into(),
            reader: None,
            counter: Counter::new(plan.rows, readers, slice),
        })
    }

    /// Reads on, and gives the rows that are complete and the number of records read; `None` after the
    /// last. Blocks for as long as that takes.
    pub fn next(&mut self) -> Result<Option<(Vec<Counted>, u64)>, KafkaError> {
        let mut read = 0;
        loop {
            if self.counter.finished_keys() >= KEYS_AT_A_TIME
                || self.counter.finished_rows() >= ROWS_AT_A_TIME
                || read >= RECORDS_AT_A_TIME
            {
                return Ok(Some((self.counter.take_finished(), read)));
            }
            let Some((reader, end)) = &mut self.reader else {
                let Some(range) = self.ranges.pop_front() else {
                    self.counter.reach(i64::MAX);
                    let last = self.counter.take_finished();
                    return Ok((!last.is_empty() || read > 0).then_some((last, read)));
                };
                let end = range.end;
                let reader =
                    PartitionReader::open(&self.settings, &self.lane.topic, self.lane.partition, range)?;
                self.reader = Some((reader, end));
                continue;
            };
            let counter = &mut self.counter;
            let more = reader.read(|record| {
                counter.take(record);
                read += 1;
            })?;
            if !more {
                counter.reach(*end);
                self.reader = None;
            }
        }
    }
}
