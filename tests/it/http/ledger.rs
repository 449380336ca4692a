//! A lane's ledger as an owner writes it, without Kafka.

use std::ops::Range;
use std::sync::Arc;

use odometer::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
use odometer::event::{HOUR_MS, Lane, RulesHash};
use odometer::store::{Store, Watermark};

use super::time;

pub struct LaneWriter {
    store: Store,
    lane: Lane,
    tenure: u128,
    sequence: u64,
    pub end: i64,
}

impl LaneWriter {
    pub fn new(store: &Store, topic: &str, topic_id: &str, partition: i32) -> Self {
        let lane = Lane { topic: topic.into(), topic_id: topic_id.into(), partition };
        Self { store: store.clone(), lane, tenure: rand::random(), sequence: 0, end: 0 }
    }

    /// Publishes a live block of so many records.
    pub async fn live(&mut self, records: i64, counts: &[CountRow], services: &[ServiceRow]) -> LedgerRow {
        let first_offset = self.end;
        self.end += records;
        let row = self.row(BlockKind::Live, 0, first_offset..self.end, counts);
        self.insert(row, counts, services).await
    }

    pub async fn recount(&mut self, offsets: Range<i64>, counts: &[CountRow]) -> LedgerRow {
        let row = self.row(BlockKind::Recount, 0, offsets, counts);
        self.insert(row, counts, &[]).await
    }

    /// Publishes a roll of what is covered.
    pub async fn roll(&mut self, covered: &[LedgerRow]) -> LedgerRow {
        let level = covered.iter().map(|row| row.level).max().unwrap_or(0) + 1;
        let offsets = covered[0].first_offset..covered[covered.len() - 1].next_offset;
        let mut row = self.row(BlockKind::Roll, level, offsets, &[]);
        row.digest = covered.iter().fold(0, |sum, row| sum.wrapping_add(row.digest));
        row.quantity = self.store.insert_roll(&row, covered).await.expect("insert a roll");
        self.store.publish(&row).await.expect("publish a roll");
        row
    }

    /// Publishes that so many records were lost.
    pub async fn lose(&mut self, records: i64) {
        let first_offset = self.end;
        self.end += records;
        let row = self.row(BlockKind::Live, 0, first_offset..self.end, &[]);
        let row = LedgerRow { tally: Tally::default(), times: None, loss: "log starts later".into(), ..row };
        self.insert(row, &[], &[]).await;
    }

    /// Notes how far the lane's log reached at an instant.
    pub async fn see(&self, high: i64, observed_at: &str) {
        let mark = Watermark { lane: self.lane.clone(), high, observed_at_ms: time(observed_at) };
        self.store.write_watermarks(&[mark]).await.expect("write a watermark");
    }

    fn row(&mut self, kind: BlockKind, level: u8, offsets: Range<i64>, counts: &[CountRow]) -> LedgerRow {
        self.sequence += 1;
        let hours = counts.iter().map(|count| i64::from(count.hour) * HOUR_MS);
        LedgerRow {
            lane: self.lane.clone(),
            group: "odometer".to_owned(),
            token: 1,
            tenure: self.tenure,
            sequence: self.sequence,
            block: BlockId(rand::random()),
            kind,
            level,
            first_offset: offsets.start,
            next_offset: offsets.end,
            tally: Tally { counted: u64::try_from(offsets.end - offsets.start).unwrap(), ..Tally::default() },
            quantity: counts.iter().map(|count| count.value).sum(),
            times: hours.clone().min().zip(hours.max()),
            window_from: 0,
            leader_epoch: 0,
            digest: rand::random(),
            rules: RulesHash(0),
            loss: String::new(),
        }
    }

    async fn insert(&self, row: LedgerRow, counts: &[CountRow], services: &[ServiceRow]) -> LedgerRow {
        self.store.insert_block(&row, counts, services).await.expect("insert a block");
        self.store.publish(&row).await.expect("publish a block");
        row
    }
}

/// Counts `value` in the hour of an instant.
pub fn count(organization: &str, region: &str, meter: &str, at: &str, value: u128) -> CountRow {
    CountRow {
        organization: organization.to_owned(),
        meter: meter.to_owned(),
        region: region.to_owned(),
        hour: u32::try_from(time(at) / HOUR_MS).expect("an hour"),
        fold: Fold::Sum,
        value,
    }
}

/// API calls of November 2026 in region us.
pub fn calls(organization: &str, value: u128) -> CountRow {
    count(organization, "us", "api_calls", "2026-11-20T10:00:00Z", value)
}

pub fn service(organization: &str, service: &str, at: &str, exists: bool, published: bool) -> ServiceRow {
    ServiceRow {
        organization: organization.to_owned(),
        region: "us".to_owned(),
        service: service.to_owned(),
        version: time(at),
        time_ms: time(at),
        source: "catalog".to_owned(),
        id: Arc::<str>::from(at).to_string(),
        exists: Some(exists),
        published: Some(published),
        name: None,
    }
}
