//! Dropping rows that no reader sums any more.
//!
//! A partition goes when all of its blocks are garbage: hidden by the gate for longer than any
//! reader takes, or prepared and overtaken: the lane's ledger has a greater rank, so its owner is
//! past it. The order makes it safe against an owner that wakes up and publishes after all:
//!
//! 1. The prepared rows go. `publish` copies the prepared row, so from here on it is refused.
//! 2. Wait until a publish that had found its row before is in the ledger.
//! 3. Read the ledger again. Only where the partition's blocks are still garbage, the ledger rows,
//!    counts and service changes go, the ledger rows first.
//!
//! A collection that ends in between is continued by the next one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::client::{QUERY_TIMEOUT, execute, fetch};
use super::partition::Partition;
use super::read::Published;
use super::rows::LedgerRecord;
use super::{Store, StoreError, gate};
use crate::aggregate::{BlockId, LedgerRow};
use crate::event::Lane;

/// What a collection dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    pub partitions: usize,
    /// Ledger rows that went with them.
    pub blocks: usize,
}

/// In the order of dropping: a ledger row never outlives its counts.
const TABLES_OF_BLOCKS: [&str; 3] = ["published", "counts", "service_changes"];

/// The state of the ledger, as far as garbage goes.
struct Ledger {
    garbage: HashMap<BlockId, Partition>,
    needed: HashSet<Partition>,
    greatest: HashMap<Lane, (u64, u64, u128)>,
    published: HashSet<BlockId>,
}

impl Store {
    /// Drops what no reader sums any more. Takes a few minutes, most of them waiting. Any number of processes may do it
    /// at once.
    pub async fn collect_garbage(&self) -> Result<Garbage, StoreError> {
        let now_ms = self.server_now_ms().await?;
        let closed: Vec<Partition> = self
            .partitions()
            .await?
            .into_iter()
            .filter(|partition| self.spans.is_closed(*partition, now_ms))
            .collect();
        let prepared = self.prepared_rows().await?;
        let ledger = self.ledger(now_ms).await?;
        let needed = ledger.needed_by(&prepared);
        let droppable: Vec<Partition> =
            closed.into_iter().filter(|partition| !needed.contains(partition)).collect();
        if droppable.is_empty() {
            return Ok(Garbage::default());
        }
        for partition in &droppable {
            self.drop_partition("prepared", *partition).await?;
        }
        tokio::time::sleep(Duration::from_secs(self.spans.publish.into())).await;
        let ledger = self.ledger(now_ms).await?;
        let mut dropped = Garbage::default();
        for partition in droppable.iter().filter(|partition| !ledger.needed.contains(partition)) {
            for table in TABLES_OF_BLOCKS {
                self.drop_partition(table, *partition).await?;
            }
            dropped.partitions += 1;
            dropped.blocks += ledger.garbage.values().filter(|of| *of == partition).count();
        }
        Ok(dropped)
    }

    async fn drop_partition(&self, table: &str, partition: Partition) -> Result<(), StoreError> {
        let Partition { level, bucket } = partition;
        let sql = format!("ALTER TABLE {table} DROP PARTITION ({level}, {bucket})");
        let action = || format!("drop partition ({level}, {bucket}) of {table}");
        execute(self.client.query(&sql), QUERY_TIMEOUT, action).await
    }

    /// The partitions of all tables of blocks.
    async fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        let query = self
            .client
            .query(PARTITIONS)
            .param("database", &*self.database)
            .param("tables", [&TABLES_OF_BLOCKS[..], &["prepared"]].concat());
        let partitions: Vec<(u8, u32)> = fetch(query, || "list partitions".to_owned()).await?;
        Ok(partitions.into_iter().map(|(level, bucket)| Partition { level, bucket }).collect())
    }

    async fn prepared_rows(&self) -> Result<Vec<(LedgerRow, Partition)>, StoreError> {
        let query = self.client.query("SELECT ?fields FROM prepared");
        let records: Vec<LedgerRecord> = fetch(query, || "read prepared blocks".to_owned()).await?;
        records.iter().map(|record| Ok((record.to_row()?, record.place()))).collect()
    }

    async fn ledger(&self, now_ms: i64) -> Result<Ledger, StoreError> {
        let rows = self.published_rows().await?;
        let hidden_before_ms = now_ms - i64::from(self.spans.grace) * 1000;
        Ok(Ledger::of(rows, hidden_before_ms))
    }
}

const PARTITIONS: &str = "
    SELECT DISTINCT toUInt8(splitByChar('-', partition_id)[1]) AS level,
        toUInt32(splitByChar('-', partition_id)[2]) AS bucket
    FROM system.parts
    WHERE active AND database = {database:String} AND table IN {tables:Array(String)}
    ORDER BY level, bucket";

impl Ledger {
    /// A row is garbage that counts neither now nor as the ledger stood at `hidden_before_ms`.
    fn of(rows: Vec<Published>, hidden_before_ms: i64) -> Self {
        let blocks = |rows: &[Published]| -> HashSet<BlockId> {
            gate::counting(rows.iter().map(|published| published.row.clone()).collect())
                .iter()
                .map(|row| row.block)
                .collect()
        };
        let earlier: Vec<Published> =
            rows.iter().filter(|row| row.published_at_ms <= hidden_before_ms).cloned().collect();
        let earlier_blocks: HashSet<BlockId> = earlier.iter().map(|row| row.row.block).collect();
        let (counting, counting_earlier) = (blocks(&rows), blocks(&earlier));
        let mut ledger = Self {
            garbage: HashMap::new(),
            needed: HashSet::new(),
            greatest: HashMap::new(),
            published: rows.iter().map(|row| row.row.block).collect(),
        };
        for Published { row, partition, .. } in rows {
            let hidden = earlier_blocks.contains(&row.block)
                && !counting.contains(&row.block)
                && !counting_earlier.contains(&row.block);
            if hidden {
                ledger.garbage.insert(row.block, partition);
            } else {
                ledger.needed.insert(partition);
            }
            let rank = row.rank();
            let greatest = ledger.greatest.entry(row.lane).or_insert(rank);
            *greatest = rank.max(*greatest);
        }
        ledger
    }

    /// Partitions of blocks that count, or may still be published.
    fn needed_by(&self, prepared: &[(LedgerRow, Partition)]) -> HashSet<Partition> {
        let waiting = prepared.iter().filter(|(row, _)| {
            let overtaken = self.greatest.get(&row.lane).is_some_and(|greatest| *greatest > row.rank());
            !self.published.contains(&row.block) && !overtaken
        });
        self.needed.iter().copied().chain(waiting.map(|(_, partition)| *partition)).collect()
    }
}
