//! How far each lane's log reached and when that was seen, for `complete_through`.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::client::fetch;
use super::{Store, StoreError};
use crate::event::Lane;

/// One look at the end of a lane's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    pub lane: Lane,
    /// The offset that the lane's next record will have.
    pub high: i64,
    /// Epoch milliseconds by the observer's clock.
    pub observed_at_ms: i64,
}

/// How far one lane has come, as the watermarks tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneProgress {
    pub lane: Lane,
    /// Epoch milliseconds of the latest observation whose watermark the ledger has reached: every
    /// event that was in the log by then is counted. `None`: none was reached yet.
    pub complete_through_ms: Option<i64>,
    /// The newest observation.
    pub newest: Watermark,
}

#[derive(Row, Serialize, Deserialize)]
struct WatermarkRecord {
    topic: String,
    topic_id: String,
    partition: i32,
    high: i64,
    observed_at: i64,
}

#[derive(Row, Deserialize)]
struct ProgressRecord {
    topic: String,
    topic_id: String,
    partition: i32,
    reached: i64,
    newest_at: i64,
    newest_high: i64,
}

impl Store {
    pub async fn write_watermarks(&self, marks: &[Watermark]) -> Result<(), StoreError> {
        let records = marks.iter().map(|mark| WatermarkRecord {
            topic: mark.lane.topic.to_string(),
            topic_id: mark.lane.topic_id.to_string(),
            partition: mark.lane.partition,
            high: mark.high,
            observed_at: mark.observed_at_ms,
        });
        self.insert::<WatermarkRecord>("watermarks", records, || "write watermarks".to_owned()).await
    }

    /// The looks at all lanes since then (epoch ms by the observers' clocks), oldest first.
    pub async fn watermarks_since(&self, epoch_ms: i64) -> Result<Vec<Watermark>, StoreError> {
        let query = self.client.query(WATERMARKS_SINCE).param("since", epoch_ms.max(0));
        let records: Vec<WatermarkRecord> = fetch(query, || "read watermarks".to_owned()).await?;
        Ok(records.into_iter().map(WatermarkRecord::into_watermark).collect())
    }

    /// `ends`: each lane's ledger end. Lanes that nobody observed yet are missing.
    pub async fn progress(&self, ends: &[(Lane, i64)]) -> Result<Vec<LaneProgress>, StoreError> {
        let mut progress = Vec::with_capacity(ends.len());
        for ends in ends.chunks(LANES_AT_ONCE) {
            let query = self
                .client
                .query(PROGRESS)
                .param("topics", ends.iter().map(|(lane, _)| &*lane.topic).collect::<Vec<_>>())
                .param("ids", ends.iter().map(|(lane, _)| &*lane.topic_id).collect::<Vec<_>>())
                .param("partitions", ends.iter().map(|(lane, _)| lane.partition).collect::<Vec<_>>())
                .param("ends", ends.iter().map(|(_, end)| *end).collect::<Vec<_>>());
            let records: Vec<ProgressRecord> = fetch(query, || "read watermarks".to_owned()).await?;
            progress.extend(records.into_iter().map(ProgressRecord::into_progress));
        }
        Ok(progress)
    }
}

const WATERMARKS_SINCE: &str = "
    SELECT ?fields FROM watermarks
    WHERE observed_at >= fromUnixTimestamp64Milli({since:Int64}) ORDER BY observed_at";

/// A parameter has at most 128 KiB, a topic's name 249 bytes.
const LANES_AT_ONCE: usize = 400;

const PROGRESS: &str = "
    SELECT topic, topic_id, partition,
        maxIf(toUnixTimestamp64Milli(observed_at), high <= end) AS reached,
        max(toUnixTimestamp64Milli(observed_at)) AS newest_at,
        argMax(high, observed_at) AS newest_high
    FROM watermarks
    INNER JOIN (
        SELECT lane.1 AS topic, lane.2 AS topic_id, lane.3 AS partition, lane.4 AS end
        FROM (SELECT arrayJoin(arrayZip({topics:Array(String)}, {ids:Array(String)},
            {partitions:Array(Int32)}, {ends:Array(Int64)})) AS lane)
    ) AS ends USING (topic, topic_id, partition)
    GROUP BY topic, topic_id, partition";

impl WatermarkRecord {
    fn into_watermark(self) -> Watermark {
        Watermark {
            lane: Lane {
                topic: Arc::from(self.topic),
                topic_id: Arc::from(self.topic_id),
                partition: self.partition,
            },
            high: self.high,
            observed_at_ms: self.observed_at,
        }
    }
}

impl ProgressRecord {
    fn into_progress(self) -> LaneProgress {
        let lane = Lane {
            topic: Arc::from(self.topic),
            topic_id: Arc::from(self.topic_id),
            partition: self.partition,
        };
        LaneProgress {
            complete_through_ms: (self.reached > 0).then_some(self.reached),
            newest: Watermark { lane: lane.clone(), high: self.newest_high, observed_at_ms: self.newest_at },
            lane,
        }
    }
}
