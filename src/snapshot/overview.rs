//! How the whole installation does: its lanes, what was lost, and who uses most. For the operator.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use futures::future::join_all;

use super::deployment::Deployment;
use super::service::{REGION_DEADLINE, Snapshots};
use crate::aggregate::Tally;
use crate::clock::Time;
use crate::event::{API_CALLS, Lane};
use crate::month::Month;
use crate::store::{LaneProgress, Published, StoreError};

/// How one region's counting does.
#[derive(Debug)]
pub struct RegionHealth {
    pub region: Arc<str>,
    pub complete_through: Option<Time>,
    /// By (topic, partition); `None`: the region's store does not answer.
    pub lanes: Option<Vec<LaneHealth>>,
}

/// How far one lane is, and what became of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHealth {
    pub lane: Lane,
    /// The offset up to which it is counted.
    pub end: i64,
    /// Where its log was seen to end, and when.
    pub seen: Option<(i64, Time)>,
    pub complete_through: Option<Time>,
    /// Of all that the ledger counts.
    pub tally: Tally,
    /// What is known to be lost, in words.
    pub losses: Vec<String>,
}

impl LaneHealth {
    /// Records that were in the log and are not counted yet.
    pub fn lag(&self) -> Option<u64> {
        self.seen.map(|(high, _)| u64::try_from(high - self.end).unwrap_or(0))
    }

    fn of(lane: Lane) -> Self {
        Self { lane, end: 0, seen: None, complete_through: None, tally: Tally::default(), losses: Vec::new() }
    }

    fn take(&mut self, Published { row, .. }: &Published) {
        self.end = self.end.max(row.next_offset);
        let (sum, add) = (&mut self.tally, &row.tally);
        sum.counted += add.counted;
        sum.duplicate += add.duplicate;
        sum.rejected += add.rejected;
        sum.ignored += add.ignored;
        if !row.loss.is_empty() {
            let range = format!("offsets {} to {}: {}", row.first_offset, row.next_offset, row.loss);
            self.losses.push(range);
        }
    }

    fn see(&mut self, progress: &LaneProgress) {
        self.seen = Some((progress.newest.high, Time(progress.newest.observed_at_ms)));
        self.complete_through = progress.complete_through_ms.map(Time);
    }
}

impl Deployment {
    async fn lanes(&self) -> Result<Vec<LaneHealth>, StoreError> {
        let mut lanes: BTreeMap<Lane, LaneHealth> = BTreeMap::new();
        for published in self.store.counting_rows().await? {
            let lane = &published.row.lane;
            lanes.entry(lane.clone()).or_insert_with(|| LaneHealth::of(lane.clone())).take(&published);
        }
        let ends: Vec<(Lane, i64)> = lanes.values().map(|health| (health.lane.clone(), health.end)).collect();
        for progress in self.store.progress(&ends).await? {
            if let Some(health) = lanes.get_mut(&progress.lane) {
                health.see(&progress);
            }
        }
        Ok(lanes.into_values().collect())
    }

    async fn health(&self) -> RegionHealth {
        let lanes = tokio::time::timeout(REGION_DEADLINE, self.lanes()).await;
        let lanes = match lanes {
            Ok(Ok(lanes)) => Some(lanes),
            Ok(Err(error)) => {
                tracing::warn!(region = %self.region(), %error, "read how lanes do");
                None
            }
            Err(_) => None,
        };
        let complete_through = self.view().and_then(|view| view.standing.complete_through);
        RegionHealth { region: self.region().clone(), complete_through, lanes }
    }
}

impl Snapshots {
    /// How each region's counting does, the local one first.
    pub async fn health(&self) -> Vec<RegionHealth> {
        join_all(self.deployments().map(|deployment| deployment.health())).await
    }

    /// The organizations with the most API calls of the current month, from memory. It visits them
    /// all: some tenths of a second for a million.
    pub fn busiest(&self, most: usize) -> Vec<Arc<str>> {
        let month = self.current_month();
        let mut calls: BTreeMap<Arc<str>, u128> = BTreeMap::new();
        for deployment in self.deployments() {
            for (value, organization) in greatest(deployment, month, most) {
                *calls.entry(organization).or_default() += value;
            }
        }
        let mut sorted: Vec<(u128, Arc<str>)> =
            calls.into_iter().map(|(name, value)| (value, name)).collect();
        sorted.sort_by(|(a, first), (b, second)| b.cmp(a).then(first.cmp(second)));
        sorted.into_iter().take(most).map(|(_, name)| name).collect()
    }
}

/// The greatest values of one deployment, with whose they are.
fn greatest(deployment: &Deployment, month: Month, most: usize) -> Vec<(u128, Arc<str>)> {
    let Some(view) = deployment.view().filter(|view| view.table.holds(month)) else { return Vec::new() };
    let mut held: BinaryHeap<std::cmp::Reverse<(u128, Arc<str>)>> = BinaryHeap::with_capacity(most + 1);
    view.table.for_each(month, API_CALLS, |organization, value| {
        let is_greater = held.peek().is_none_or(|least| least.0.0 < value);
        if held.len() < most || is_greater {
            held.push(std::cmp::Reverse((value, organization.clone())));
            if held.len() > most {
                held.pop();
            }
        }
    });
    held.into_iter().map(|std::cmp::Reverse(entry)| entry).collect()
}
