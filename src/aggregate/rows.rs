//! What a finished block is made of, as the store keeps it.

use std::fmt;

use crate::event::{Lane, RulesHash};

/// Names one attempt to publish one block; never used twice. A hash of (lane, token, tenure,
/// attempt), so that it needs no coordination; printed as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u128);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    Live,
    Roll,
    Recount,
}

impl BlockKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Roll => "roll",
            Self::Recount => "recount",
        }
    }
}

/// How two values of one key become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fold {
    Sum,
    Max,
}

impl Fold {
    #[inline]
    pub fn join(self, one: u128, other: u128) -> u128 {
        match self {
            Self::Sum => one + other,
            Self::Max => one.max(other),
        }
    }
}

/// One block's usage of one (organization, meter, region, hour).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountRow {
    pub organization: String,
    pub meter: String,
    pub region: String,
    /// Hours since the epoch.
    pub hour: u32,
    pub fold: Fold,
    pub value: u128,
}

/// One event of the service catalog, as the register keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceRow {
    pub organization: String,
    pub region: String,
    pub service: String,
    pub version: i64,
    /// Epoch milliseconds.
    pub time_ms: i64,
    pub source: String,
    pub id: String,
    pub exists: Option<bool>,
    pub published: Option<bool>,
    pub name: Option<String>,
}

/// How many events ended how. received = counted + duplicate + rejected + ignored, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub counted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub ignored: u64,
}

impl Tally {
    pub fn received(self) -> u64 {
        self.counted + self.duplicate + self.rejected + self.ignored
    }
}

/// What the ledger says of one block. `published_at` is the store's own clock and not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub lane: Lane,
    /// The consumer group that the lane belongs to; a second group is refused.
    pub group: String,
    /// The tenure's number: the ledger's greatest at its start + 1.
    pub token: u64,
    /// Random; tells two tenures with the same token apart.
    pub tenure: u128,
    /// Position within the tenure, from 0. Rank is (token, sequence, tenure).
    pub sequence: u64,
    pub block: BlockId,
    pub kind: BlockKind,
    /// 0: live; a roll's is one more than the greatest that it covers, a recount's is the greatest
    /// that it covers. The store keeps blocks that live equally long together by it.
    pub level: u8,
    /// The offsets [first_offset, next_offset) were counted.
    pub first_offset: i64,
    pub next_offset: i64,
    pub tally: Tally,
    /// The sum of the values of the block's rows.
    pub quantity: u128,
    /// Epoch milliseconds of the earliest and latest counted event; `None` where none was.
    pub times: Option<(i64, i64)>,
    /// The de-duplication window holds every key from this offset on.
    pub window_from: i64,
    /// Leader epoch of the block's last record; -1 where unknown or where there was none.
    pub leader_epoch: i32,
    pub digest: u128,
    pub rules: RulesHash,
    /// What was lost and why; empty where nothing was.
    pub loss: String,
}

impl AsRef<Self> for LedgerRow {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl LedgerRow {
    /// Greater rank wins where blocks cover one another.
    pub fn rank(&self) -> (u64, u64, u128) {
        (self.token, self.sequence, self.tenure)
    }

    /// Whether all of `other`'s offsets are this row's too. A row without offsets lies at the one
    /// where it starts and covers nothing.
    pub fn covers(&self, other: &Self) -> bool {
        self.lane == other.lane
            && self.first_offset <= other.first_offset
            && other.next_offset.max(other.first_offset + 1) <= self.next_offset
    }
}
