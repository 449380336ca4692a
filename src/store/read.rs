//! Reading the ledger and the rows of named blocks: first the gate, then what it lets through.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use serde::Deserialize;

use super::blocks::{among_blocks, with_blocks};
use super::client::{QUERY_TIMEOUT, fetch, within};
use super::partition::Partition;
use super::rows::{LedgerRecord, PublishedRecord, StoredCount, StoredService};
use super::write::{CLAIMS_OF_LANE, of_lane};
use super::{Store, StoreError, gate};
use crate::aggregate::{BlockId, CountRow, LedgerRow, ServiceRow};
use crate::event::Lane;

/// A ledger row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub row: LedgerRow,
    /// As stored; equal to the tally's sum unless somebody changed it.
    pub received: u64,
    /// Epoch milliseconds by the server's clock.
    pub published_at_ms: i64,
    pub(super) partition: Partition,
}

impl AsRef<LedgerRow> for Published {
    fn as_ref(&self) -> &LedgerRow {
        &self.row
    }
}

/// What the ledger says of one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The rows that count, by offset.
    pub rows: Vec<LedgerRow>,
    /// Over all rows and claims of the lane, 0 where there is none.
    pub greatest_token: u64,
    /// The consumer group that the lane belongs to, where it has rows.
    pub group: Option<String>,
}

impl History {
    /// The offset up to which everything is counted; `None`: a lane without any history.
    pub fn end(&self) -> Option<i64> {
        self.rows.iter().map(|row| row.next_offset).max()
    }
}

/// What is stored under one block's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSum {
    pub rows: u64,
    /// Of the rows' values.
    pub sum: u128,
}

#[derive(Row, Deserialize)]
struct BlockSumRecord {
    block: u128,
    rows: u64,
    sum: u128,
}

/// Reading every count there is takes its time.
const SUMS_TIMEOUT: Duration = Duration::from_secs(900);

impl Store {
    /// One consistent look at a lane's ledger.
    pub async fn history(&self, lane: &Lane) -> Result<History, StoreError> {
        let query =
            of_lane(self.client.query(LANE_ROWS), lane).with_setting("select_sequential_consistency", "1");
        let records: Vec<LedgerRecord> = fetch(query, || format!("read ledger of {lane}")).await?;
        let rows: Vec<LedgerRow> = records.iter().map(LedgerRecord::to_row).collect::<Result<_, _>>()?;
        let claim = of_lane(self.client.query(&format!("SELECT max(token) {CLAIMS_OF_LANE}")), lane)
            .with_setting("select_sequential_consistency", "1")
            .fetch_one::<u64>();
        let claimed = within(QUERY_TIMEOUT, || format!("read claims of {lane}"), claim).await?;
        let greatest_token = rows.iter().map(|row| row.token).max().unwrap_or(0).max(claimed);
        let rows = gate::counting(rows);
        let group = rows.first().map(|row| row.group.clone());
        Ok(History { rows, greatest_token, group })
    }

    /// The ledger row that was prepared for a block.
    pub async fn prepared(&self, block: BlockId) -> Result<Option<LedgerRow>, StoreError> {
        let query = self
            .client
            .query("SELECT ?fields FROM prepared WHERE block = {block:UInt128} LIMIT 1")
            .param("block", block.0.to_string())
            .with_setting("select_sequential_consistency", "1");
        let records: Vec<LedgerRecord> = fetch(query, || format!("read prepared block {block}")).await?;
        records.first().map(LedgerRecord::to_row).transpose()
    }

    /// The gate: every ledger row that counts, by (lane, offset). What it names stays readable for
    /// ten minutes, whatever replaces it.
    pub async fn counting_rows(&self) -> Result<Vec<Published>, StoreError> {
        Ok(gate::counting(self.published_rows().await?))
    }

    /// All rows of the ledger's table, the first of each block first.
    pub(super) async fn published_rows(&self) -> Result<Vec<Published>, StoreError> {
        self.published_since(0).await
    }

    /// Those published at `epoch_ms` (by the server's clock) or later, whether they count or not.
    /// An insert takes its time when it begins, so a row may come to light up to half a minute late.
    pub async fn published_since(&self, epoch_ms: i64) -> Result<Vec<Published>, StoreError> {
        let query = self.client.query(ROWS_SINCE).param("since", epoch_ms.max(0));
        let records: Vec<PublishedRecord> = fetch(query, || "read ledger".to_owned()).await?;
        records
            .iter()
            .map(|record| {
                Ok(Published {
                    row: record.to_row()?,
                    received: record.received,
                    published_at_ms: record.published_at,
                    partition: record.place(),
                })
            })
            .collect()
    }

    /// The sums of all blocks that have counts, also of those that nobody counts, read from the whole
    /// table: views find a block's counts by its id alone, wherever they are.
    pub async fn sums_by_block(&self) -> Result<HashMap<BlockId, BlockSum>, StoreError> {
        let query =
            self.client.query("SELECT block, count() AS rows, sum(value) AS sum FROM counts GROUP BY block");
        let records =
            within(SUMS_TIMEOUT, || "sum counts".to_owned(), query.fetch_all::<BlockSumRecord>()).await?;
        Ok(records
            .into_iter()
            .map(|record| (BlockId(record.block), BlockSum { rows: record.rows, sum: record.sum }))
            .collect())
    }

    /// The offsets [first, next) of each block as they were prepared, before the ledger listed it; of
    /// blocks that count, none is missing.
    pub async fn prepared_offsets(&self) -> Result<HashMap<BlockId, (i64, i64)>, StoreError> {
        let query = self.client.query("SELECT block, first_offset, next_offset FROM prepared");
        let records: Vec<(u128, i64, i64)> = fetch(query, || "read prepared offsets".to_owned()).await?;
        Ok(records.into_iter().map(|(block, first, next)| (BlockId(block), (first, next))).collect())
    }

    /// The counts of the named blocks, in no order, streamed.
    pub fn counts_of(&self, rows: &[LedgerRow]) -> Result<BlockCounts, StoreError> {
        let cursor = self
            .blocks_of(COUNTS_OF_BLOCKS, rows)
            .fetch::<StoredCount<'static>>()
            .map_err(|error| StoreError::new("read counts", &error))?;
        Ok(BlockCounts(cursor))
    }

    /// The service changes of the named blocks, in no order, streamed.
    pub fn services_of(&self, rows: &[LedgerRow]) -> Result<BlockServices, StoreError> {
        BlockServices::read(self.blocks_of(SERVICES_OF_BLOCKS, rows), "read service changes")
    }
}

const ROWS_SINCE: &str = "
    SELECT ?fields FROM published
    WHERE published_at >= fromUnixTimestamp64Milli({since:Int64}) ORDER BY published_at";
const LANE_ROWS: &str = "
    SELECT ?fields FROM published
    WHERE topic = {topic:String} AND topic_id = {topic_id:String} AND partition = {partition:Int32}
    ORDER BY published_at";
const COUNTS_OF_BLOCKS: &str = concat!(with_blocks!(), "SELECT ?fields FROM counts WHERE ", among_blocks!());
const SERVICES_OF_BLOCKS: &str =
    concat!(with_blocks!(), "SELECT ?fields FROM service_changes WHERE ", among_blocks!());

/// Counts as they arrive.
pub struct BlockCounts(RowCursor<StoredCount<'static>>);

impl BlockCounts {
    pub async fn next(&mut self) -> Result<Option<(BlockId, CountRow)>, StoreError> {
        let next = within(QUERY_TIMEOUT, || "read counts".to_owned(), self.0.next()).await?;
        next.map(|row| row.to_row()).transpose()
    }
}

/// Service changes as they arrive.
pub struct BlockServices(RowCursor<StoredService<'static>>);

impl BlockServices {
    pub(super) fn read(query: Query, action: &str) -> Result<Self, StoreError> {
        let cursor = query.fetch::<StoredService<'static>>();
        cursor.map(Self).map_err(|error| StoreError::new(action, &error))
    }

    pub async fn next(&mut self) -> Result<Option<(BlockId, ServiceRow)>, StoreError> {
        let next = within(QUERY_TIMEOUT, || "read service changes".to_owned(), self.0.next()).await?;
        Ok(next.map(|row| row.to_row()))
    }
}
