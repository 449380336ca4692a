//! Rows as the tables have them. Order and names of the fields are the columns'.

use std::sync::Arc;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::partition::Partition;
use crate::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
use crate::event::{Lane, RulesHash};

/// Seconds in an hour: a count's hour is stored as a time.
pub(super) const HOUR_S: u32 = 3600;

macro_rules! ledger_record {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Row, Serialize, Deserialize)]
        pub(super) struct $name {
            pub topic: String,
            pub topic_id: String,
            pub partition: i32,
            pub consumer_group: String,
            pub token: u64,
            pub tenure: u128,
            pub sequence: u64,
            pub block: u128,
            pub kind: i8,
            pub level: u8,
            pub bucket: u32,
            pub first_offset: i64,
            pub next_offset: i64,
            pub received: u64,
            pub counted: u64,
            pub duplicate: u64,
            pub rejected: u64,
            pub ignored: u64,
            pub quantity: u128,
            pub min_time: Option<i64>,
            pub max_time: Option<i64>,
            pub window_from: i64,
            pub leader_epoch: i32,
            pub digest: u128,
            pub rules: u128,
            pub loss: String,
            $(pub $field: $type,)*
        }

        impl $name {
            pub(super) fn to_row(&self) -> Result<LedgerRow, StoreError> {
                Ok(LedgerRow {
                    lane: Lane {
                        topic: Arc::from(self.topic.as_str()),
                        topic_id: Arc::from(self.topic_id.as_str()),
                        partition: self.partition,
                    },
                    group: self.consumer_group.clone(),
                    token: self.token,
                    tenure: self.tenure,
                    sequence: self.sequence,
                    block: BlockId(self.block),
                    kind: kind_from_number(self.kind)?,
                    level: self.level,
                    first_offset: self.first_offset,
                    next_offset: self.next_offset,
                    tally: Tally {
                        counted: self.counted,
                        duplicate: self.duplicate,
                        rejected: self.rejected,
                        ignored: self.ignored,
                    },
                    quantity: self.quantity,
                    times: self.min_time.zip(self.max_time),
                    window_from: self.window_from,
                    leader_epoch: self.leader_epoch,
                    digest: self.digest,
                    rules: RulesHash(self.rules),
                    loss: self.loss.clone(),
                })
            }

            pub(super) fn place(&self) -> Partition {
                Partition { level: self.level, bucket: self.bucket }
            }
        }
    };
}

ledger_record! {
    /// A ledger row on its way in.
    LedgerRecord {}
}

ledger_record! {
    /// A ledger row on its way out.
    PublishedRecord { published_at: i64 }
}

impl LedgerRecord {
    pub(super) fn new(row: &LedgerRow, partition: Partition) -> Self {
        Self {
            topic: row.lane.topic.to_string(),
            topic_id: row.lane.topic_id.to_string(),
            partition: row.lane.partition,
            consumer_group: row.group.clone(),
            token: row.token,
            tenure: row.tenure,
            sequence: row.sequence,
            block: row.block.0,
            kind: kind_number(row.kind),
            level: partition.level,
            bucket: partition.bucket,
            first_offset: row.first_offset,
            next_offset: row.next_offset,
            received: row.tally.received(),
            counted: row.tally.counted,
            duplicate: row.tally.duplicate,
            rejected: row.tally.rejected,
            ignored: row.tally.ignored,
            quantity: row.quantity,
            min_time: row.times.map(|(min, _)| min),
            max_time: row.times.map(|(_, max)| max),
            window_from: row.window_from,
            leader_epoch: row.leader_epoch,
            digest: row.digest,
            rules: row.rules.0,
            loss: row.loss.clone(),
        }
    }
}

#[derive(Row, Serialize)]
pub(super) struct CountRecord<'a> {
    organization: &'a str,
    meter: &'a str,
    region: &'a str,
    /// Epoch seconds.
    hour: u32,
    fold: i8,
    block: u128,
    value: u128,
    level: u8,
    bucket: u32,
}

impl<'a> CountRecord<'a> {
    pub(super) fn new(block: BlockId, partition: Partition, row: &'a CountRow) -> Self {
        Self {
            organization: &row.organization,
            meter: &row.meter,
            region: &row.region,
            hour: row.hour * HOUR_S,
            fold: fold_number(row.fold),
            block: block.0,
            value: row.value,
            level: partition.level,
            bucket: partition.bucket,
        }
    }
}

#[derive(Row, Deserialize)]
pub(super) struct StoredCount<'a> {
    block: u128,
    organization: &'a str,
    meter: &'a str,
    region: &'a str,
    hour: u32,
    fold: i8,
    value: u128,
}

impl StoredCount<'_> {
    pub(super) fn to_row(&self) -> Result<(BlockId, CountRow), StoreError> {
        let row = CountRow {
            organization: self.organization.to_owned(),
            meter: self.meter.to_owned(),
            region: self.region.to_owned(),
            hour: self.hour / HOUR_S,
            fold: fold_from_number(self.fold)?,
            value: self.value,
        };
        Ok((BlockId(self.block), row))
    }
}

#[derive(Row, Serialize)]
pub(super) struct ServiceRecord<'a> {
    organization: &'a str,
    region: &'a str,
    service: &'a str,
    version: i64,
    time: i64,
    source: &'a str,
    id: &'a str,
    existing: Option<bool>,
    published: Option<bool>,
    name: Option<&'a str>,
    block: u128,
    level: u8,
    bucket: u32,
}

impl<'a> ServiceRecord<'a> {
    pub(super) fn new(block: BlockId, partition: Partition, row: &'a ServiceRow) -> Self {
        Self {
            organization: &row.organization,
            region: &row.region,
            service: &row.service,
            version: row.version,
            time: row.time_ms,
            source: &row.source,
            id: &row.id,
            existing: row.exists,
            published: row.published,
            name: row.name.as_deref(),
            block: block.0,
            level: partition.level,
            bucket: partition.bucket,
        }
    }
}

#[derive(Row, Deserialize)]
pub(super) struct StoredService<'a> {
    block: u128,
    organization: &'a str,
    region: &'a str,
    service: &'a str,
    version: i64,
    time: i64,
    source: &'a str,
    id: &'a str,
    existing: Option<bool>,
    published: Option<bool>,
    name: Option<&'a str>,
}

impl StoredService<'_> {
    pub(super) fn to_row(&self) -> (BlockId, ServiceRow) {
        let row = ServiceRow {
            organization: self.organization.to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
            version: self.version,
            time_ms: self.time,
            source: self.source.to_owned(),
            id: self.id.to_owned(),
            exists: self.existing,
            published: self.published,
            name: self.name.map(str::to_owned),
        };
        (BlockId(self.block), row)
    }
}

/// The number of a kind, as the tables' Enum8 has it.
fn kind_number(kind: BlockKind) -> i8 {
    match kind {
        BlockKind::Live => 0,
        BlockKind::Roll => 1,
        BlockKind::Recount => 2,
    }
}

fn kind_from_number(number: i8) -> Result<BlockKind, StoreError> {
    match number {
        0 => Ok(BlockKind::Live),
        1 => Ok(BlockKind::Roll),
        2 => Ok(BlockKind::Recount),
        _ => Err(StoreError::damaged("read ledger", format!("unknown block kind {number}"))),
    }
}

fn fold_number(fold: Fold) -> i8 {
    match fold {
        Fold::Sum => 0,
        Fold::Max => 1,
    }
}

pub(super) fn fold_from_number(number: i8) -> Result<Fold, StoreError> {
    match number {
        0 => Ok(Fold::Sum),
        1 => Ok(Fold::Max),
        _ => Err(StoreError::damaged("read counts", format!("unknown fold {number}"))),
    }
}
