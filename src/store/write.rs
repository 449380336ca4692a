//! What room flush calls, in this order: insert → (Kafka commit) → publish.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};

use super::blocks::{among_blocks, with_blocks};
use super::client::{INSERT_SETTINGS, QUERY_TIMEOUT, execute, fetch, within};
use super::partition::Partition;
use super::rows::{CountRecord, LedgerRecord, ServiceRecord};
use super::{Store, StoreError};
use crate::aggregate::{CountRow, LedgerRow, ServiceRow};
use crate::event::{Lane, Rules, RulesHash};

/// A roll reads and writes what thousands of blocks counted, about a million rows a second.
const ROLL_TIMEOUT: Duration = Duration::from_secs(1800);

#[derive(Row, Serialize, Deserialize)]
struct RulesRecord {
    hash: u128,
    rules: String,
}

#[derive(Row, Serialize, Deserialize)]
struct ClaimRecord {
    topic: String,
    topic_id: String,
    partition: i32,
    token: u64,
    tenure: u128,
}

/// What an owner claims a lane with. Two that claim it at once may do so with one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub token: u64,
    pub tenure: u128,
}

#[derive(Row, Serialize, Deserialize)]
struct TopicRecord {
    topic: String,
    topic_id: String,
    partitions: i32,
}

#[derive(Row, Deserialize)]
struct SumRecord {
    block: u128,
    sums: u128,
    maxima: u128,
}

/// A block that is to be inserted.
#[derive(Clone, Copy, Debug)]
pub struct NewBlock<'a> {
    pub row: &'a LedgerRow,
    pub counts: &'a [CountRow],
    pub services: &'a [ServiceRow],
}

/// A block's rows and the partition that they go to.
type Placed<'a> = [(NewBlock<'a>, Partition)];

fn counts<'a>(blocks: &'a Placed<'a>) -> Box<dyn Iterator<Item = CountRecord<'a>> + Send + 'a> {
    Box::new(blocks.iter().flat_map(|(block, partition)| {
        block.counts.iter().map(|count| CountRecord::new(block.row.block, *partition, count))
    }))
}

fn services<'a>(blocks: &'a Placed<'a>) -> Box<dyn Iterator<Item = ServiceRecord<'a>> + Send + 'a> {
    Box::new(blocks.iter().flat_map(|(block, partition)| {
        block.services.iter().map(|change| ServiceRecord::new(block.row.block, *partition, change))
    }))
}

/// For what is said of them.
fn names(blocks: &[NewBlock<'_>]) -> String {
    let name = |NewBlock { row, .. }: &NewBlock<'_>| format!("block {} of {}", row.block, row.lane);
    blocks.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Records of a log that is gone: [end, high) at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncounted {
    pub topic_id: String,
    /// Where the ledger ended.
    pub end: i64,
    /// The end of the log that was seen last.
    pub high: i64,
}

impl Store {
    /// Inserts the blocks' rows, of all of them together, then their ledger rows as *prepared*. An error
    /// of any kind, a dropped future too: each of them may be there in part, and no id of theirs is
    /// ever used again.
    pub async fn insert_blocks(&self, blocks: &[NewBlock<'_>]) -> Result<(), StoreError> {
        let mut placed = Vec::with_capacity(blocks.len());
        for block in blocks {
            placed.push((*block, self.partition(block.row.level).await?));
        }
        let names = names(blocks);
        tokio::try_join!(
            self.insert::<CountRecord<'_>>("counts", counts(&placed), || format!("insert counts of {names}")),
            self.insert::<ServiceRecord<'_>>("service_changes", services(&placed), || {
                format!("insert service changes of {names}")
            }),
        )?;
        let rows = placed.iter().map(|(block, partition)| LedgerRecord::new(block.row, *partition));
        let rows: Vec<_> = rows.collect();
        self.insert::<LedgerRecord>("prepared", rows.into_iter(), || format!("prepare {names}")).await?;
        for (block, partition) in &placed {
            self.check_open(*partition, block.row).await?;
        }
        Ok(())
    }

    /// The same for one block.
    pub async fn insert_block(
        &self,
        row: &LedgerRow,
        counts: &[CountRow],
        services: &[ServiceRow],
    ) -> Result<(), StoreError> {
        self.insert_blocks(&[NewBlock { row, counts, services }]).await
    }

    /// Inserts under `row.block` what the covered blocks hold together: sums, maxima, the service
    /// changes as they are. Gives the quantity that the row then has: the sum of the stored values.
    /// (`row.quantity` is not read.) An error: as with [`insert_block`](Self::insert_block).
    pub async fn insert_roll(&self, row: &LedgerRow, covered: &[LedgerRow]) -> Result<u128, StoreError> {
        if let Some(outside) = covered.iter().find(|block| !row.covers(block)) {
            return Err(damaged_roll(row, format!("it does not cover block {}", outside.block)));
        }
        let partition = self.partition(row.level).await?;
        let sums = self.check_sums(row, covered).await?;
        for (part, copy) in [("counts", COPY_COUNTS), ("service changes", COPY_SERVICES)] {
            let copy = copy
                .replace("{block}", &row.block.0.to_string())
                .replace("{level}", &partition.level.to_string())
                .replace("{bucket}", &partition.bucket.to_string());
            let query = self.with_insert_settings(self.blocks_of(&copy, covered));
            let action =
                || format!("copy {part} into {} block {} of {}", row.kind.as_str(), row.block, row.lane);
            execute(query, ROLL_TIMEOUT, action).await?;
        }
        let quantity = self.rolled_quantity(row, partition, sums).await?;
        self.prepare(&LedgerRow { quantity, ..row.clone() }, partition).await?;
        self.check_open(partition, row).await?;
        Ok(quantity)
    }

    /// Claims a lane for an owner: from now on [`publish_as`](Self::publish_as) refuses smaller claims.
    pub async fn claim(&self, lane: &Lane, claim: Claim) -> Result<(), StoreError> {
        let record = ClaimRecord {
            topic: lane.topic.to_string(),
            topic_id: lane.topic_id.to_string(),
            partition: lane.partition,
            token: claim.token,
            tenure: claim.tenure,
        };
        let action = || format!("claim {lane} with token {}", claim.token);
        self.insert::<ClaimRecord>("claims", std::iter::once(record), action).await
    }

    /// How many partitions the lane's topic had when the first of them was counted. Where nobody has
    /// said so yet, it is `partitions`; of several who say it at once the least holds.
    pub async fn first_partitions(&self, lane: &Lane, partitions: i32) -> Result<i32, StoreError> {
        if let Some(first) = self.known_partitions(lane).await? {
            return Ok(first);
        }
        let (topic, topic_id) = (lane.topic.to_string(), lane.topic_id.to_string());
        let record = TopicRecord { topic, topic_id, partitions };
        let action = || format!("store how many partitions topic {} has", lane.topic);
        self.insert::<TopicRecord>("topics", std::iter::once(record), action).await?;
        Ok(self.known_partitions(lane).await?.unwrap_or(partitions))
    }

    /// What was seen and not counted of the topic that had the lane's name before: of its partition of
    /// that number, whose latest row or look is the latest of all such topics.
    pub async fn uncounted_before(&self, lane: &Lane) -> Result<Option<Uncounted>, StoreError> {
        let query = of_lane(self.client.query(UNCOUNTED_BEFORE), lane)
            .with_setting("select_sequential_consistency", "1")
            .fetch_all::<(String, i64, i64)>();
        let action = || format!("read what was counted of topic {} before it was made anew", lane.topic);
        let latest = within(QUERY_TIMEOUT, action, query).await?.into_iter().next();
        Ok(latest
            .map(|(topic_id, end, high)| Uncounted { topic_id, end, high })
            .filter(|uncounted| uncounted.end < uncounted.high))
    }

    async fn known_partitions(&self, lane: &Lane) -> Result<Option<i32>, StoreError> {
        let query = of_lane(self.client.query(FIRST_PARTITIONS), lane)
            .with_setting("select_sequential_consistency", "1")
            .fetch_one::<i32>();
        let action = || format!("read how many partitions topic {} had", lane.topic);
        let first = within(QUERY_TIMEOUT, action, query).await?;
        Ok((first > 0).then_some(first))
    }

    pub(super) fn with_insert_settings(&self, query: Query) -> Query {
        let query =
            INSERT_SETTINGS.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value));
        let more = self.layout.insert_settings().into_iter();
        more.fold(query, |query, (name, value)| query.with_setting(name, value))
    }

    async fn prepare(&self, row: &LedgerRow, partition: Partition) -> Result<(), StoreError> {
        let record = std::iter::once(LedgerRecord::new(row, partition));
        let action = || format!("prepare block {} of {}", row.block, row.lane);
        self.insert::<LedgerRecord>("prepared", record, action).await
    }

    /// Checks that the covered blocks' rows are all there, and gives the sum of their summed values.
    async fn check_sums(&self, row: &LedgerRow, covered: &[LedgerRow]) -> Result<u128, StoreError> {
        let action = || format!("sum what block {} of {} covers", row.block, row.lane);
        let query = self.blocks_of(SUM_OF_BLOCKS, covered);
        let records = within(ROLL_TIMEOUT, action, query.fetch_all::<SumRecord>()).await?;
        let stored: HashMap<u128, &SumRecord> = records.iter().map(|record| (record.block, record)).collect();
        for block in covered {
            let quantity = stored.get(&block.block.0).map_or(0, |record| record.sums + record.maxima);
            if quantity != block.quantity {
                let problem = format!(
                    "the rows of block {} [{}, {}) sum to {quantity}, its ledger row says {}; \
                     count the range again with `odometer recount`",
                    block.block, block.first_offset, block.next_offset, block.quantity
                );
                return Err(damaged_roll(row, problem));
            }
        }
        Ok(records.iter().map(|record| record.sums).sum())
    }

    async fn rolled_quantity(
        &self,
        row: &LedgerRow,
        partition: Partition,
        sums: u128,
    ) -> Result<u128, StoreError> {
        let query = self
            .client
            .query(SUM_OF_ROLL)
            .param("level", partition.level)
            .param("bucket", partition.bucket)
            .param("block", row.block.0.to_string());
        let action = || format!("sum block {} of {}", row.block, row.lane);
        let records = within(ROLL_TIMEOUT, action, query.fetch_all::<SumRecord>()).await?;
        let (rolled, maxima) = records.first().map_or((0, 0), |record| (record.sums, record.maxima));
        if rolled != sums {
            return Err(damaged_roll(row, format!("it sums to {rolled}, what it covers to {sums}")));
        }
        Ok(rolled + maxima)
    }

    /// Keeps `rules` under their hash. May be repeated.
    pub async fn store_rules(&self, rules: &Rules) -> Result<(), StoreError> {
        let record = RulesRecord {
            hash: rules.hash().0,
            rules: serde_json::to_string(rules).expect("rules are plain data"),
        };
        let action = || format!("store rules {}", rules.hash());
        self.insert::<RulesRecord>("rules", std::iter::once(record), action).await
    }

    pub async fn rules(&self, hash: RulesHash) -> Result<Option<Rules>, StoreError> {
        let query = self
            .client
            .query("SELECT ?fields FROM rules WHERE hash = {hash:UInt128} LIMIT 1")
            .param("hash", hash.0.to_string());
        let action = || format!("read rules {hash}");
        let records: Vec<RulesRecord> = fetch(query, action).await?;
        let Some(record) = records.first() else { return Ok(None) };
        serde_json::from_str(&record.rules)
            .map(Some)
            .map_err(|error| StoreError::damaged(action(), error.to_string()))
    }
}

fn damaged_roll(row: &LedgerRow, problem: String) -> StoreError {
    StoreError::damaged(format!("roll block {} of {}", row.block, row.lane), problem)
}

const SUM_OF_BLOCKS: &str = concat!(
    with_blocks!(),
    "SELECT block, sumIf(value, fold = 'sum') AS sums, sumIf(value, fold = 'max') AS maxima
    FROM counts WHERE ",
    among_blocks!(),
    " GROUP BY block"
);

const SUM_OF_ROLL: &str = "
    SELECT block, sumIf(value, fold = 'sum') AS sums, sumIf(value, fold = 'max') AS maxima
    FROM counts
    WHERE level = {level:UInt8} AND bucket = {bucket:UInt32} AND block = {block:UInt128}
    GROUP BY block";

/// Reads in the order that it groups by, in small pieces, so that its memory doesn't grow with the
/// rows: some 6 MiB for each part that it reads, and what it writes at a time.
const COPY_COUNTS: &str = concat!(
    "INSERT INTO counts (organization, meter, region, hour, fold, block, value, level, bucket) ",
    with_blocks!(),
    "SELECT organization, meter, region, hour, fold, toUInt128('{block}'),
        if(fold = 'sum', sum(value), max(value)), {level}, {bucket}
    FROM counts WHERE ",
    among_blocks!(),
    " GROUP BY organization, meter, region, hour, fold
    SETTINGS optimize_aggregation_in_order = 1, max_block_size = 8192,
        min_insert_block_size_rows = 262144, min_insert_block_size_bytes = 33554432"
);

const COPY_SERVICES: &str = concat!(
    "INSERT INTO service_changes (organization, region, service, version, time, source, id, existing,
        published, name, block, level, bucket) ",
    with_blocks!(),
    "SELECT organization, region, service, version, time, source, id, existing, published, name,
        toUInt128('{block}'), {level}, {bucket}
    FROM service_changes WHERE ",
    among_blocks!()
);

pub(super) const CLAIMS_OF_LANE: &str = "FROM claims
    WHERE topic = {topic:String} AND topic_id = {topic_id:String} AND partition = {partition:Int32}";

/// The latest of the topics that had the name before: where its ledger ends, and the end that was seen
/// last of its log.
const UNCOUNTED_BEFORE: &str = "SELECT topic_id, max(next_offset) AS end, argMax(high, observed_at) AS high
    FROM
    (
        SELECT topic_id, next_offset, toInt64(-1) AS high, toDateTime64(0, 3, 'UTC') AS observed_at, published_at AS at
        FROM published
        WHERE topic = {topic:String} AND topic_id != {topic_id:String} AND partition = {partition:Int32}
        UNION ALL
        SELECT topic_id, toInt64(0), high, observed_at, observed_at
        FROM watermarks
        WHERE topic = {topic:String} AND topic_id != {topic_id:String} AND partition = {partition:Int32}
    )
    GROUP BY topic_id ORDER BY max(at) DESC, topic_id LIMIT 1";

/// 0 where nobody has said it.
const FIRST_PARTITIONS: &str = "SELECT min(partitions) FROM topics
    WHERE topic = {topic:String} AND topic_id = {topic_id:String}";

pub(super) fn of_lane(query: Query, lane: &Lane) -> Query {
    query.param("topic", &*lane.topic).param("topic_id", &*lane.topic_id).param("partition", lane.partition)
}
