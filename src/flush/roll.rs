use std::ops::Range;

use crate::aggregate::{BlockId, BlockKind, LedgerRow, Tally};
use crate::source::Tenure;

#[cfg(test)]
mod tests;

/// Rolls of one level that become one of the next. A value is rewritten once a level, and a lane has
/// fewer than `FAN_IN` blocks of each level but the lowest.
pub const FAN_IN: usize = 16;

/// The runs of rows to roll up, the earliest first: of equal level, of the same rules and window, so
/// that a roll is counted again under the rules and the window that its blocks were counted under;
/// without losses, and without recounts, whose keys are others than those that a journal may hold.
/// Live blocks are rolled up whenever there are two, rolls once there are [`FAN_IN`]. No run crosses
/// a closed offset: what a closed month counted stays apart from what came later.
pub fn plan(rows: &[LedgerRow], closed: &[i64]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for end in 1..=rows.len() {
        if end < rows.len()
            && together(&rows[start], &rows[end])
            && rows[end - 1].next_offset == rows[end].first_offset
            && !closed.contains(&rows[end].first_offset)
        {
            continue;
        }
        let least = if rows[start].level == 0 { 2 } else { FAN_IN };
        if end - start >= least && rows[start].loss.is_empty() {
            runs.push(start..end);
        }
        start = end;
    }
    runs
}

fn together(one: &LedgerRow, other: &LedgerRow) -> bool {
    let is_recount = |row: &LedgerRow| row.kind == BlockKind::Recount;
    one.level == other.level
        && !is_recount(one)
        && !is_recount(other)
        && one.rules == other.rules
        && one.window_from == other.window_from
        && one.loss.is_empty()
        && other.loss.is_empty()
}

/// The roll of `covered`, which is not empty; its quantity is the store's to say.
pub(super) fn row(covered: &[LedgerRow], tenure: &Tenure, sequence: u64, block: BlockId) -> LedgerRow {
    let (first, last) = (&covered[0], &covered[covered.len() - 1]);
    let mut tally = Tally::default();
    for row in covered {
        tally.counted += row.tally.counted;
        tally.duplicate += row.tally.duplicate;
        tally.rejected += row.tally.rejected;
        tally.ignored += row.tally.ignored;
    }
    LedgerRow {
        lane: tenure.lane.clone(),
        group: last.group.clone(),
        token: tenure.token,
        tenure: tenure.id,
        sequence,
        block,
        kind: BlockKind::Roll,
        level: covered.iter().map(|row| row.level).max().unwrap_or(0).saturating_add(1),
        first_offset: first.first_offset,
        next_offset: last.next_offset,
        tally,
        quantity: covered.iter().map(|row| row.quantity).sum(),
        times: covered.iter().filter_map(|row| row.times).reduce(
            |(earliest, latest), (other_earliest, other_latest)| {
                (earliest.min(other_earliest), latest.max(other_latest))
            },
        ),
        window_from: first.window_from,
        leader_epoch: covered
            .iter()
            .rev()
            .map(|row| row.leader_epoch)
            .find(|epoch| *epoch >= 0)
            .unwrap_or(-1),
        digest: covered.iter().fold(0, |sum, row| sum.wrapping_add(row.digest)),
        rules: first.rules,
        loss: String::new(),
    }
}
