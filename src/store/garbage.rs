//! Dropping rows that no reader sums any more.
//!
//! A block is garbage when the gate has hidden it for longer than any reader takes and no closed
//! month counted it, or when it was prepared and overtaken: the lane's ledger has a greater rank, so
//! its owner is past it. A
//! partition of nothing else is dropped. One that lies around for long because a few of its blocks
//! still count (a loss, the end of a topic that is gone) is rewritten without the garbage.
//!
//! The order makes it safe against an owner that wakes up and publishes after all:
//!
//! 1. The garbage's prepared rows go. `publish` copies the prepared row, so it is refused from here
//!    on.
//! 2. Wait until a publish that had found its row before is in the ledger.
//! 3. Read the ledger again, and keep what counts after all. Then the ledger rows go, and last the
//!    counts and service changes.
//!
//! A collection that ends in between is continued by the next one. That rows which don't count may
//! go in any order is a property of the gate.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::client::{QUERY_TIMEOUT, execute, fetch};
use super::closings::{ClosedLane, as_of};
use super::layout::{SPREAD_TABLES, Server};
use super::partition::Partition;
use super::read::Published;
use super::rows::LedgerRecord;
use super::{Store, StoreError, blocks, gate};
use crate::aggregate::{BlockId, LedgerRow};
use crate::event::Lane;

#[cfg(test)]
mod tests;

/// What a collection took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Partitions dropped or rewritten.
    pub partitions: usize,
    /// Blocks that went with them.
    pub blocks: usize,
    /// Claims of lanes that later ones had overtaken.
    pub claims: u64,
}

/// A lane with more claims than this has those taken away that don't matter any more.
const CLAIMS_KEPT: u64 = 100;
/// Lanes of one collection whose claims are taken away: each takes a statement.
const LANES_AT_ONCE: u64 = 64;

/// After the prepared rows, in this order: a ledger row never outlives its counts.
const TABLES_OF_BLOCKS: [&str; 3] = ["published", "counts", "service_changes"];

/// What the ledger says of each partition's blocks.
#[derive(Debug, Default)]
struct Blocks {
    needed: BTreeMap<Partition, BTreeSet<BlockId>>,
    garbage: BTreeMap<Partition, BTreeSet<BlockId>>,
}

impl Store {
    /// Takes away what no reader sums any more. It takes a few minutes, most of them waiting, where
    /// there is anything. Any number of processes may do it at once.
    pub async fn collect_garbage(&self) -> Result<Garbage, StoreError> {
        let now_ms = self.server_now_ms().await?;
        let servers = self.servers().await?;
        // They are few and wait; blocks don't wait for them.
        let claims = self.collect_claims(&servers).await.unwrap_or_else(|error| {
            tracing::warn!("{error}; they stay a while longer");
            0
        });
        let partitions = self.partitions(&servers).await?;
        let blocks = self.blocks(now_ms).await?;
        let chosen: Vec<Partition> = partitions
            .into_iter()
            .filter(|partition| match (blocks.needed.get(partition), blocks.garbage.get(partition)) {
                (None, _) => self.spans.is_closed(*partition, now_ms),
                (Some(_), Some(_)) => self.spans.is_leftover(*partition, now_ms),
                (Some(_), None) => false,
            })
            .collect();
        if chosen.is_empty() {
            return Ok(Garbage { claims, ..Garbage::default() });
        }
        for partition in &chosen {
            self.clear(&servers, "prepared", *partition, blocks.needed.get(partition)).await?;
        }
        tokio::time::sleep(Duration::from_secs(self.spans.publish.into())).await;
        let after = self.blocks(now_ms).await?;
        let mut collected = Garbage { claims, ..Garbage::default() };
        for partition in chosen {
            for table in TABLES_OF_BLOCKS {
                self.clear(&servers, table, partition, after.needed.get(&partition)).await?;
            }
            collected.partitions += 1;
            let none = BTreeSet::new();
            let (garbage, needed) = (blocks.garbage.get(&partition), after.needed.get(&partition));
            collected.blocks += garbage.unwrap_or(&none).difference(needed.unwrap_or(&none)).count();
        }
        Ok(collected)
    }

    /// Every take-over leaves a claim, of which only the greatest decides. One that is made meanwhile is
    /// greater than what goes.
    async fn collect_claims(&self, servers: &[Server]) -> Result<u64, StoreError> {
        let query = self.client.query(OVERTAKEN_CLAIMS).bind(CLAIMS_KEPT).bind(LANES_AT_ONCE);
        let lanes: Vec<(String, String, i32, u64, u64)> =
            fetch(query, || "count claims of lanes".to_owned()).await?;
        let name = format!("{}.claims", self.quoted_database());
        let mut collected = 0;
        for (topic, topic_id, partition, token, overtaken) in lanes {
            for server in servers.iter().filter(|server| server.decides) {
                let sql = format!(
                    "ALTER TABLE {name} DELETE WHERE topic = ? AND topic_id = ? AND partition = ? AND token < ?
                    SETTINGS mutations_sync = 1"
                );
                let query =
                    server.client.query(&sql).bind(&topic).bind(&topic_id).bind(partition).bind(token);
                let action = || format!("drop overtaken claims of {topic}[{partition}]");
                execute(query, QUERY_TIMEOUT, action).await?;
            }
            collected += overtaken;
        }
        Ok(collected)
    }

    /// Leaves a partition of a table with the rows of the needed blocks alone, on every server that
    /// has a part of it.
    async fn clear(
        &self,
        servers: &[Server],
        table: &str,
        Partition { level, bucket }: Partition,
        needed: Option<&BTreeSet<BlockId>>,
    ) -> Result<(), StoreError> {
        let is_spread = SPREAD_TABLES.contains(&table);
        let local = if is_spread { self.layout.local(table) } else { table.to_owned() };
        let name = format!("{}.{local}", self.quoted_database());
        let sql = match needed {
            None => format!("ALTER TABLE {name} DROP PARTITION ({level}, {bucket})"),
            Some(needed) => format!(
                "ALTER TABLE {name} DELETE IN PARTITION ({level}, {bucket}) WHERE block NOT IN {}
                SETTINGS mutations_sync = 1",
                blocks::array(needed.iter().copied())
            ),
        };
        for server in servers.iter().filter(|server| is_spread || server.decides) {
            let action =
                || format!("drop garbage of partition ({level}, {bucket}) of {}", server.about(&local));
            execute(server.client.query_raw(&sql), QUERY_TIMEOUT, action).await?;
        }
        Ok(())
    }

    /// The partitions of all tables of blocks.
    async fn partitions(&self, servers: &[Server]) -> Result<BTreeSet<Partition>, StoreError> {
        let spread = SPREAD_TABLES.map(|table| self.layout.local(table));
        let tables: Vec<&str> =
            ["prepared", "published"].into_iter().chain(spread.iter().map(String::as_str)).collect();
        let mut all = BTreeSet::new();
        for server in servers {
            let query = server
                .client
                .query(PARTITIONS)
                .param("database", &*self.database)
                .param("tables", tables.clone());
            let partitions: Vec<(u8, u32)> =
                fetch(query, || format!("list {}", server.about("partitions"))).await?;
            all.extend(partitions.into_iter().map(|(level, bucket)| Partition { level, bucket }));
        }
        Ok(all)
    }

    /// The prepared rows are read first: one that is published in between is then known from both.
    /// The closings are read last: what one names that is written later still counted just now.
    async fn blocks(&self, now_ms: i64) -> Result<Blocks, StoreError> {
        let query = self.client.query("SELECT ?fields FROM prepared");
        let records: Vec<LedgerRecord> = fetch(query, || "read prepared blocks".to_owned()).await?;
        let prepared = records
            .iter()
            .map(|record| Ok((record.to_row()?, record.place())))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let published = self.published_rows().await?;
        let closings = self.closings().await?;
        let hidden_before_ms = now_ms - i64::from(self.spans.grace) * 1000;
        Ok(Blocks::of(&published, &prepared, &closings, hidden_before_ms))
    }
}

/// Of each lane with many claims: its greatest token, and how many are smaller.
const OVERTAKEN_CLAIMS: &str = "
    SELECT topic, topic_id, partition, max(token) AS greatest, countIf(token < greatest_of_lane) AS overtaken
    FROM (
        SELECT topic, topic_id, partition, token,
            max(token) OVER (PARTITION BY topic, topic_id, partition) AS greatest_of_lane
        FROM claims
    )
    GROUP BY topic, topic_id, partition
    HAVING count() > ? AND overtaken > 0
    ORDER BY overtaken DESC, topic, topic_id, partition
    LIMIT ?";

const PARTITIONS: &str = "
    SELECT DISTINCT toUInt8(splitByChar('-', partition_id)[1]) AS level,
        toUInt32(splitByChar('-', partition_id)[2]) AS bucket
    FROM system.parts
    WHERE active AND database = {database:String} AND table IN {tables:Array(String)}
    ORDER BY level, bucket";

impl Blocks {
    fn of(
        published: &[Published],
        prepared: &[(LedgerRow, Partition)],
        closings: &[Vec<ClosedLane>],
        hidden_before_ms: i64,
    ) -> Self {
        let mut blocks = Self::default();
        let mut garbage = hidden_for_long(published, hidden_before_ms);
        for lanes in closings {
            for billed in as_of(published.iter().collect(), lanes) {
                garbage.remove(&billed.row.block);
            }
        }
        for row in published {
            blocks.put(row.row.block, row.partition, garbage.contains(&row.row.block));
        }
        let known: HashSet<BlockId> = published.iter().map(|row| row.row.block).collect();
        let mut greatest: HashMap<&Lane, (u64, u64, u128)> = HashMap::new();
        for Published { row, .. } in published {
            let rank = greatest.entry(&row.lane).or_insert_with(|| row.rank());
            *rank = row.rank().max(*rank);
        }
        for (row, partition) in prepared.iter().filter(|(row, _)| !known.contains(&row.block)) {
            let overtaken = greatest.get(&row.lane).is_some_and(|greatest| *greatest > row.rank());
            blocks.put(row.block, *partition, overtaken);
        }
        blocks
    }

    fn put(&mut self, block: BlockId, partition: Partition, is_garbage: bool) {
        let side = if is_garbage { &mut self.garbage } else { &mut self.needed };
        side.entry(partition).or_default().insert(block);
    }
}

/// The blocks that count neither now nor as the ledger stood at `hidden_before_ms`.
fn hidden_for_long(published: &[Published], hidden_before_ms: i64) -> HashSet<BlockId> {
    let earlier: Vec<&Published> =
        published.iter().filter(|row| row.published_at_ms <= hidden_before_ms).collect();
    let mut hidden: HashSet<BlockId> = earlier.iter().map(|row| row.row.block).collect();
    for counting in [gate::counting(published.iter().collect()), gate::counting(earlier)] {
        for row in counting {
            hidden.remove(&row.row.block);
        }
    }
    hidden
}
