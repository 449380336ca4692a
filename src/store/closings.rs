//! Where the ledger stood when a month was closed, so that what was billed can be read again.
//!
//! A closing names, for each lane, the end of its ledger and the greatest rank of its rows. As of
//! the closing count the rows of at most that rank before that end, as the gate lets them through
//! among themselves. Rolls of later ranks that end before it stand for what they cover, since they
//! sum up live blocks alone, never a recount. So that this finds the same at any later time:
//!
//! - no roll crosses such an end (room flush asks [`Store::closed_offsets`]);
//! - what counts as of a closing is never garbage, also where a recount hides it from today's
//!   readers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::client::fetch;
use super::{Store, StoreError, gate};
use crate::aggregate::{BlockKind, LedgerRow};
use crate::event::Lane;
use crate::month::Month;

#[cfg(test)]
mod tests;

/// One lane as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedLane {
    pub lane: Lane,
    /// Its ledger's end.
    pub next_offset: i64,
    /// The greatest of its rows: (token, sequence, tenure).
    pub rank: (u64, u64, u128),
}

impl ClosedLane {
    fn holds(&self, row: &LedgerRow) -> bool {
        let was_there = row.rank() <= self.rank || row.kind == BlockKind::Roll;
        row.next_offset <= self.next_offset && was_there
    }
}

/// The lanes as the counting rows have them now.
pub fn closed_lanes<T: AsRef<LedgerRow>>(counting: &[T]) -> Vec<ClosedLane> {
    let mut lanes: BTreeMap<&Lane, ClosedLane> = BTreeMap::new();
    for row in counting.iter().map(AsRef::as_ref) {
        let start = || ClosedLane { lane: row.lane.clone(), next_offset: row.next_offset, rank: row.rank() };
        let lane = lanes.entry(&row.lane).or_insert_with(start);
        lane.next_offset = lane.next_offset.max(row.next_offset);
        lane.rank = lane.rank.max(row.rank());
    }
    lanes.into_values().collect()
}

/// Of all rows of the ledger, those that counted when the lanes stood so.
pub fn as_of<T: AsRef<LedgerRow>>(rows: Vec<T>, lanes: &[ClosedLane]) -> Vec<T> {
    let lanes: HashMap<&Lane, &ClosedLane> = lanes.iter().map(|lane| (&lane.lane, lane)).collect();
    let held = |row: &T| lanes.get(&row.as_ref().lane).is_some_and(|lane| lane.holds(row.as_ref()));
    gate::counting(rows.into_iter().filter(held).collect())
}

#[derive(Row, Serialize, Deserialize)]
struct ClosingRecord {
    id: u128,
    month: String,
    topic: String,
    topic_id: String,
    partition: i32,
    next_offset: i64,
    token: u64,
    sequence: u64,
    tenure: u128,
}

pub(super) fn table(database: &str, engine: &str, durable: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {database}.closings (
    id UInt128,
    month LowCardinality(String),
    topic LowCardinality(String),
    topic_id LowCardinality(String),
    partition Int32,
    next_offset Int64,
    token UInt64,
    sequence UInt64,
    tenure UInt128,
    closed_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = {engine} ORDER BY (topic, topic_id, partition, month, id) SETTINGS {durable}"
    )
}

const CLOSINGS: &str = "SELECT ?fields FROM closings ORDER BY id";
const CLOSED_OFFSETS: &str = "
    SELECT DISTINCT next_offset FROM closings
    WHERE topic = {topic:String} AND topic_id = {topic_id:String} AND partition = {partition:Int32}
    ORDER BY next_offset";

impl Store {
    /// Keeps what counts now, so that it can be read as it was. Call it soon after the rows that the
    /// lanes were taken from were read: what they name stays readable for ten minutes without it.
    pub async fn write_closing(&self, month: Month, lanes: &[ClosedLane]) -> Result<(), StoreError> {
        let id = uuid::Uuid::new_v4().as_u128();
        let records: Vec<ClosingRecord> = lanes
            .iter()
            .map(|closed| ClosingRecord {
                id,
                month: month.to_string(),
                topic: closed.lane.topic.to_string(),
                topic_id: closed.lane.topic_id.to_string(),
                partition: closed.lane.partition,
                next_offset: closed.next_offset,
                token: closed.rank.0,
                sequence: closed.rank.1,
                tenure: closed.rank.2,
            })
            .collect();
        let action = || format!("write closing of {month}");
        self.insert::<ClosingRecord>("closings", records.into_iter(), action).await
    }

    /// The lanes of each closing.
    pub async fn closings(&self) -> Result<Vec<Vec<ClosedLane>>, StoreError> {
        let records: Vec<ClosingRecord> =
            fetch(self.client.query(CLOSINGS), || "read closings".to_owned()).await?;
        let groups = records.chunk_by(|one, other| one.id == other.id);
        Ok(groups.map(|group| group.iter().map(ClosingRecord::to_lane).collect()).collect())
    }

    /// Where months were closed in a lane: offsets that no roll may cross.
    pub async fn closed_offsets(&self, lane: &Lane) -> Result<Vec<i64>, StoreError> {
        let query = self
            .client
            .query(CLOSED_OFFSETS)
            .param("topic", &*lane.topic)
            .param("topic_id", &*lane.topic_id)
            .param("partition", lane.partition);
        fetch(query, || format!("read closings of {lane}")).await
    }
}

impl ClosingRecord {
    fn to_lane(&self) -> ClosedLane {
        ClosedLane {
            lane: Lane {
                topic: Arc::from(self.topic.as_str()),
                topic_id: Arc::from(self.topic_id.as_str()),
                partition: self.partition,
            },
            next_offset: self.next_offset,
            rank: (self.token, self.sequence, self.tenure),
        }
    }
}
