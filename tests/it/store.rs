//! Room `store` on the real ClickHouse.

mod blocks;
mod cluster;
mod gate;
mod garbage;
mod reading;
mod schema;
mod services;
mod take_over;

use std::collections::BTreeMap;
use std::sync::Arc;

use clickhouse::Row;
use odometer::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, Tally};
use odometer::event::{Lane, RulesHash};
use odometer::store::{Settings, Store};
use serde::Deserialize;

use crate::servers;

/// A lane's ledger as an owner writes it, without Kafka.
struct Writer {
    store: Store,
    lane: Lane,
    token: u64,
    tenure: u128,
    sequence: u64,
    end: i64,
}

impl Writer {
    fn new(store: &Store, topic: &str, partition: i32) -> Self {
        let lane = Lane { topic: Arc::from(topic), topic_id: Arc::from("AAAAAAAAAAAAAAAAAAAAAA"), partition };
        Self { store: store.clone(), lane, token: 1, tenure: rand::random(), sequence: 0, end: 0 }
    }

    /// The next block's ledger row: `offsets` records of which each is counted.
    fn row(&mut self, offsets: i64, counts: &[CountRow]) -> LedgerRow {
        let first_offset = self.end;
        self.end += offsets;
        self.row_over(BlockKind::Live, 0, first_offset..self.end, counts)
    }

    fn row_over(
        &mut self,
        kind: BlockKind,
        level: u8,
        offsets: std::ops::Range<i64>,
        counts: &[CountRow],
    ) -> LedgerRow {
        self.sequence += 1;
        LedgerRow {
            lane: self.lane.clone(),
            group: "odometer".to_owned(),
            token: self.token,
            tenure: self.tenure,
            sequence: self.sequence,
            block: BlockId(rand::random()),
            kind,
            level,
            first_offset: offsets.start,
            next_offset: offsets.end,
            tally: Tally { counted: u64::try_from(offsets.end - offsets.start).unwrap(), ..Tally::default() },
            quantity: counts.iter().map(|count| count.value).sum(),
            times: Some((NOVEMBER_MS, NOVEMBER_MS + 1)),
            window_from: 0,
            leader_epoch: 3,
            digest: u128::from(self.sequence),
            rules: RulesHash(0xabc),
            loss: String::new(),
        }
    }

    /// Inserts and publishes a live block.
    async fn live(&mut self, counts: &[CountRow]) -> LedgerRow {
        let row = self.row(10, counts);
        self.store.insert_block(&row, counts, &[]).await.unwrap();
        self.store.publish(&row).await.unwrap();
        row
    }

    /// Inserts and publishes a roll of what is covered.
    async fn roll(&mut self, covered: &[LedgerRow]) -> LedgerRow {
        let row = self.unpublished_roll(covered).await;
        self.store.publish(&row).await.unwrap();
        row
    }

    async fn unpublished_roll(&mut self, covered: &[LedgerRow]) -> LedgerRow {
        let level = covered.iter().map(|row| row.level).max().unwrap() + 1;
        let offsets = covered[0].first_offset..covered[covered.len() - 1].next_offset;
        let mut row = self.row_over(BlockKind::Roll, level, offsets, &[]);
        row.quantity = self.store.insert_roll(&row, covered).await.unwrap();
        row
    }
}

/// 2026-11-01T00:00:00Z.
const NOVEMBER_MS: i64 = 1_793_491_200_000;
const NOVEMBER_HOUR: u32 = 498_192;

fn count(organization: &str, meter: &str, hour: u32, value: u128) -> CountRow {
    CountRow {
        organization: organization.to_owned(),
        meter: meter.to_owned(),
        region: "us".to_owned(),
        hour,
        fold: Fold::Sum,
        value,
    }
}

fn calls(organization: &str, value: u128) -> CountRow {
    count(organization, "api_calls", NOVEMBER_HOUR, value)
}

fn greatest(organization: &str, value: u128) -> CountRow {
    CountRow { fold: Fold::Max, ..count(organization, "peak_size", NOVEMBER_HOUR, value) }
}

/// A client as a user has one, for the views.
pub fn user(settings: &Settings) -> clickhouse::Client {
    clickhouse::Client::default().with_url(&settings.url).with_database(&settings.database)
}

#[derive(Row, Deserialize)]
struct Monthly {
    organization: String,
    meter: String,
    value: u64,
}

/// `usage_monthly` by (organization, meter), over all regions and months.
async fn monthly(client: &clickhouse::Client) -> BTreeMap<(String, String), u64> {
    let sql = "SELECT organization, toString(meter) AS meter, value FROM usage_monthly";
    let rows: Vec<Monthly> = client.query(sql).fetch_all().await.unwrap();
    rows.into_iter().map(|row| ((row.organization, row.meter), row.value)).collect()
}

async fn number(client: &clickhouse::Client, sql: &str) -> u128 {
    client.query(&format!("SELECT assumeNotNull(toUInt128(({sql})))")).fetch_one().await.unwrap()
}

async fn total(client: &clickhouse::Client) -> u128 {
    number(client, "SELECT sum(value) FROM usage_hourly").await
}
