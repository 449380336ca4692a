use crate::event::ServiceAction;

/// What one event is to be. With its run, everything in its bytes follows from this.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    /// Position in the run, from 0; a duplicate has its original's.
    pub ordinal: u64,
    pub organization: u32,
    pub region: RegionIndex,
    /// Epoch milliseconds.
    pub time_ms: i64,
    pub kind: Kind,
    /// `None` for a sound event.
    pub fault: Option<Fault>,
}

/// A region's place in its run's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RegionIndex(pub u16);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Request {
        service: u16,
        quantity: u64,
    },
    /// A request that matched no service.
    Unrouted,
    /// An event of a type that no meter takes.
    Heartbeat,
    Catalog(Change),
}

/// One event of the service catalog.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub slot: u16,
    pub action: ServiceAction,
    pub published: Option<bool>,
    /// `None`: left out, so that the event's time is the version.
    pub version: Option<i64>,
    /// How often the service was renamed; `None`: the event gives no name.
    pub name: Option<u32>,
}

/// Why an event can't be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// The record ends in the middle.
    Truncated,
    WrongVersion,
    BadRegion,
    NoOrganization,
    NoId,
    NoTime,
    BadTime,
    BadQuantity,
    BadService,
    /// From a gateway whose clock starts at 1970.
    TooOld,
    /// From a gateway whose clock ends at 2^32 seconds.
    TooNew,
    /// The key of an earlier event with other billed content.
    Conflict,
}
