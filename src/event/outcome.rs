use std::fmt;

/// What became of one event. Every consumed event ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Counted,
    Duplicate,
    Rejected(Reason),
    Ignored(Ignored),
}

/// Why an event was rejected; the text is what the dead letter's `odometer-reason` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    TooLarge,
    Malformed,
    MissingOrganization,
    MissingId,
    MissingTime,
    BadTime,
    BadQuantity,
    BadService,
    TooOld,
    TooNew,
    ConflictingDuplicate,
}

impl Reason {
    pub const ALL: [Self; 11] = [
        Self::TooLarge,
        Self::Malformed,
        Self::MissingOrganization,
        Self::MissingId,
        Self::MissingTime,
        Self::BadTime,
        Self::BadQuantity,
        Self::BadService,
        Self::TooOld,
        Self::TooNew,
        Self::ConflictingDuplicate,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::MissingOrganization => "missing_organization",
            Self::MissingId => "missing_id",
            Self::MissingTime => "missing_time",
            Self::BadTime => "bad_time",
            Self::BadQuantity => "bad_quantity",
            Self::BadService => "bad_service",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::ConflictingDuplicate => "conflicting_duplicate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an event was ignored: it is sound, but nothing bills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// A request that matched no service.
    Unrouted,
    /// A type that no meter takes.
    UnknownType,
    /// An array without events.
    Empty,
}

impl Ignored {
    pub const ALL: [Self; 3] = [Self::Unrouted, Self::UnknownType, Self::Empty];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unrouted => "unrouted",
            Self::UnknownType => "unknown_type",
            Self::Empty => "empty",
        }
    }
}
