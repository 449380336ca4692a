use serde::Serialize;

use crate::aggregate::LedgerRow;
use crate::event::Lane;

/// What an audit found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// No finding.
    pub balanced: bool,
    pub lanes: usize,
    /// Ledger rows that were looked at.
    pub rows: usize,
    /// Events that those rows received.
    pub received: u64,
    /// Of those, counted again from the log and compared; `None` where that was not asked for.
    pub recounted: Option<Recounted>,
    pub findings: Vec<Finding>,
    pub losses: Vec<Loss>,
    pub not_verifiable: Vec<NotVerifiable>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recounted {
    pub rows: usize,
    pub received: u64,
}

/// A range of a lane's offsets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    pub first_offset: i64,
    pub next_offset: i64,
}

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    pub place: Place,
    /// 32 hex digits; `None` where no block is to blame.
    pub block: Option<String>,
    pub problem: Problem,
    /// What differs, in words and numbers.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// The row's offsets or times are not in order.
    Range,
    /// received ≠ counted + duplicate + rejected + ignored.
    Tally,
    /// The stored counts don't sum to the row's quantity.
    Quantity,
    /// Nobody counted these offsets.
    Gap,
    /// These offsets are counted twice.
    Overlap,
    /// The configuration that the row names is not stored.
    Rules,
    /// The log, counted again, gives other numbers of outcomes.
    Outcomes,
    /// … other counts.
    Counts,
    /// … other service changes.
    Services,
    /// … other event times.
    Times,
    /// … another digest.
    Digest,
}

/// Records that were never read, as the ledger says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Loss {
    #[serde(flatten)]
    pub place: Place,
    pub loss: String,
}

/// Rows that the log can no longer tell about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotVerifiable {
    #[serde(flatten)]
    pub place: Place,
    pub rows: usize,
    pub reason: String,
}

impl Place {
    pub fn of(row: &LedgerRow) -> Self {
        Self::within(&row.lane, row.first_offset, row.next_offset)
    }

    pub fn within(lane: &Lane, first_offset: i64, next_offset: i64) -> Self {
        Self {
            topic: lane.topic.to_string(),
            topic_id: lane.topic_id.to_string(),
            partition: lane.partition,
            first_offset,
            next_offset,
        }
    }
}

impl Finding {
    pub fn of(row: &LedgerRow, problem: Problem, detail: impl Into<String>) -> Self {
        Self { place: Place::of(row), block: Some(row.block.to_string()), problem, detail: detail.into() }
    }
}

impl Problem {
    /// Whether it is one between the ledger and the log, not within the ledger.
    pub fn needs_the_log(self) -> bool {
        matches!(self, Self::Outcomes | Self::Counts | Self::Services | Self::Times | Self::Digest)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::Tally => "tally",
            Self::Quantity => "quantity",
            Self::Gap => "gap",
            Self::Overlap => "overlap",
            Self::Rules => "rules",
            Self::Outcomes => "outcomes",
            Self::Counts => "counts",
            Self::Services => "services",
            Self::Times => "times",
            Self::Digest => "digest",
        }
    }
}

impl NotVerifiable {
    /// Joins rows that follow one another and have the same reason.
    pub fn merged(mut rows: Vec<Self>) -> Vec<Self> {
        rows.sort();
        rows.dedup_by(|next, before| {
            let joins = before.reason == next.reason
                && before.place.topic == next.place.topic
                && before.place.topic_id == next.place.topic_id
                && before.place.partition == next.place.partition;
            if joins {
                before.rows += next.rows;
                before.place.next_offset = before.place.next_offset.max(next.place.next_offset);
            }
            joins
        });
        rows
    }
}
