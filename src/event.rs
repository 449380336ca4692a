//! The words that every room speaks. Nothing here does I/O or knows another room.

mod identity;
mod outcome;
mod plan;
mod record;
mod rules;

pub use identity::{Content, EventKey, Identifier, Trace};
pub use outcome::{Ignored, Outcome, Reason};
pub use plan::{Plan, PlanPeriod, UnknownPlan};
pub use record::{DeadLetter, Headers, Lane, NoHeaders, Record};
pub use rules::{Aggregation, Format, MeterRule, Rules, RulesHash};

/// Milliseconds in an hour; usage is counted per UTC hour.
pub const HOUR_MS: i64 = 3_600_000;
/// The greatest quantity of one event: the greatest integer that every JSON reader keeps exact.
pub const MAX_QUANTITY: u64 = (1 << 53) - 1;
/// Event times lie in [2000-01-01T00:00:00Z, 2100-01-01T00:00:00Z), in epoch milliseconds.
pub const EARLIEST_TIME_MS: i64 = 946_684_800_000;
pub const LATEST_TIME_MS: i64 = 4_102_444_800_000;

/// The built-in event meter; its index in every `Rules` is 0.
pub const API_CALLS: &str = "api_calls";

/// A meter's number within one `Rules`: 0 is `api_calls`, then the configured meters in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterIndex(pub u16);

/// One decoded event, borrowed from its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Never empty.
    pub organization: &'a str,
    /// The CloudEvents source; empty for kafka-log, whose ids are unique by organization.
    pub source: &'a str,
    pub id: EventId<'a>,
    /// Epoch milliseconds, in [`EARLIEST_TIME_MS`, `LATEST_TIME_MS`).
    pub time_ms: i64,
    /// `[a-z0-9-]{1,16}`.
    pub region: &'a str,
    pub body: Body<'a>,
}

impl Event<'_> {
    /// The UTC hour, counted from the epoch, that the event is billed in.
    pub fn hour(&self) -> u32 {
        u32::try_from(self.time_ms.div_euclid(HOUR_MS)).expect("event time is between 2000 and 2100")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventId<'a> {
    Text(&'a str),
    /// A record without an id of its own is known by a 128-bit hash of its bytes.
    Hash(u128),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// What the event adds to which meters; never empty, sorted by meter.
    Usage(&'a [Charge]),
    Service(ServiceChange<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    pub meter: MeterIndex,
    /// 0 ..= [`MAX_QUANTITY`].
    pub quantity: u64,
}

/// One event of the service catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceChange<'a> {
    /// Never empty.
    pub service: &'a str,
    pub action: ServiceAction,
    pub name: Option<&'a str>,
    /// What the event says about publication (already resolved: `created` without it says false).
    pub published: Option<bool>,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceAction {
    Created,
    Updated,
    Published,
    Unpublished,
    Deleted,
}

impl ServiceAction {
    /// The CloudEvents type.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Created => "service.created",
            Self::Updated => "service.updated",
            Self::Published => "service.published",
            Self::Unpublished => "service.unpublished",
            Self::Deleted => "service.deleted",
        }
    }

    pub fn from_event_type(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "service.created" => Self::Created,
            "service.updated" => Self::Updated,
            "service.published" => Self::Published,
            "service.unpublished" => Self::Unpublished,
            "service.deleted" => Self::Deleted,
            _ => return None,
        })
    }

    /// What the action says about the service's existence; `unpublished` says nothing of it.
    pub fn exists(self) -> Option<bool> {
        match self {
            Self::Created | Self::Updated | Self::Published => Some(true),
            Self::Deleted => Some(false),
            Self::Unpublished => None,
        }
    }
}

/// Whether `region` is a region's name: `[a-z0-9-]{1,16}`.
pub fn is_region(region: &str) -> bool {
    (1..=16).contains(&region.len())
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
