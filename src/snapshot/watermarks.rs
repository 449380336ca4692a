//! How far each lane's log was seen, against how far the ledger has come.

use std::collections::{BTreeMap, VecDeque};

use super::completeness::LaneStanding;
use crate::event::Lane;
use crate::store::{LaneProgress, Watermark};

#[cfg(test)]
mod tests;

/// Looks at one lane that are kept while the ledger has not reached them; at one a second, an hour
/// of lag is dated exactly.
const LOOKS_KEPT: usize = 4096;

/// What was seen of every lane.
#[derive(Debug, Default)]
pub struct Watermarks {
    lanes: BTreeMap<Lane, LaneLooks>,
}

#[derive(Debug, Default)]
struct LaneLooks {
    /// (high watermark, epoch ms of the look) that the ledger's end has not reached; both rise.
    ahead: VecDeque<(i64, i64)>,
    /// The latest look whose watermark the end has reached.
    reached_at: Option<i64>,
    seen_at: Option<i64>,
    /// The ledger's end, and when the latest block was published.
    end: Option<(i64, i64)>,
}

impl LaneLooks {
    fn look(&mut self, high: i64, observed_at: i64) {
        if self.seen_at.is_some_and(|seen_at| observed_at <= seen_at) {
            return;
        }
        self.seen_at = Some(observed_at);
        // A watermark that fell back (truncation) takes back what was seen beyond it.
        while self.ahead.back().is_some_and(|(ahead, _)| *ahead >= high) {
            self.ahead.pop_back();
        }
        self.ahead.push_back((high, observed_at));
        if self.ahead.len() > LOOKS_KEPT {
            self.thin();
        }
        self.settle();
    }

    /// Forgets every second look but the latest: what would be dated by a forgotten one is dated
    /// earlier than it could be, never later.
    fn thin(&mut self) {
        let latest = self.ahead.len() - 1;
        let mut place = 0;
        self.ahead.retain(|_| {
            let keep = place % 2 == 0 || place == latest;
            place += 1;
            keep
        });
    }

    fn settle(&mut self) {
        let Some((end, _)) = self.end else { return };
        while let Some((_, observed_at)) = self.ahead.pop_front_if(|(high, _)| *high <= end) {
            self.reached_at = self.reached_at.max(Some(observed_at));
        }
    }
}

impl Watermarks {
    pub fn observe(&mut self, marks: &[Watermark]) {
        for mark in marks {
            self.lanes.entry(mark.lane.clone()).or_default().look(mark.high, mark.observed_at_ms);
        }
    }

    /// Takes over what the store worked out of all its looks.
    pub fn take(&mut self, progress: &[LaneProgress]) {
        for lane in progress {
            let looks = self.lanes.entry(lane.lane.clone()).or_default();
            looks.reached_at = looks.reached_at.max(lane.complete_through_ms);
            looks.look(lane.newest.high, lane.newest.observed_at_ms);
        }
    }

    /// The ledger's end of a lane, and when (epoch ms) its latest block was published. Call it when
    /// the figures hold what lies before the end.
    pub fn reach(&mut self, lane: &Lane, end: i64, published_at: i64) {
        let looks = self.lanes.entry(lane.clone()).or_default();
        looks.end = Some((end, published_at));
        looks.settle();
    }

    /// Epoch milliseconds of the latest look at any lane.
    pub fn seen_until_ms(&self) -> i64 {
        self.lanes.values().filter_map(|looks| looks.seen_at).max().unwrap_or(0)
    }

    pub fn standings(&self) -> Vec<LaneStanding> {
        let standing = |(lane, looks): (&Lane, &LaneLooks)| LaneStanding {
            lane: lane.clone(),
            reached_at: looks.reached_at,
            published_at: looks.end.map(|(_, published_at)| published_at),
        };
        self.lanes.iter().map(standing).collect()
    }
}
