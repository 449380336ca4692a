//! The kinds of fault, and how often each happened.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn describe(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    Duplicate: "event sent again",
    ConflictingDuplicate: "event sent again with other billed content",
    DuplicateInRecord: "event twice in one record",
    ControlRecord: "offset without a record",
    Rejected: "event that is no event",
    EagerRebalance: "rebalance, eager",
    CooperativeRebalance: "rebalance, cooperative",
    SessionExpired: "member expelled by the group",
    WorkerPaused: "process stopped and woken later",
    WorkerCrashed: "process killed at any await",
    WorkerStopped: "process told to stop",
    InsertRefused: "insert refused",
    InsertTorn: "insert torn in the middle",
    InsertAnswerLost: "insert done, answer lost",
    InsertLate: "insert done after its time-out",
    InsertLateInPart: "insert done in part after its time-out",
    InsertRepeated: "insert done twice after its time-out",
    InsertNeverDone: "insert lost on the way",
    CommitAnswerLost: "commit done, answer lost",
    CommitLate: "commit arrives after its time-out, same generation",
    CommitTooLate: "commit arrives after its generation has passed",
    CommitNeverDone: "commit lost on the way",
    CommitsExpired: "commits of an empty group expired",
    CommitsLost: "commits lost with the coordinator",
    OffsetReset: "operator resets a group's offset",
    EmptyGroupCommit: "client without a generation meets an empty group",
    LedgerRefused: "ledger write refused",
    LedgerTorn: "ledger rows of several lanes written in part, answer lost",
    LedgerAnswerLost: "ledger row written, answer lost",
    LedgerLate: "ledger row written after its time-out",
    LettersRefused: "dead letters refused",
    LettersAnswerLost: "dead letters written, answer lost",
    ReadFailed: "read failed",
    JournalLost: "journal lost",
    JournalDamaged: "journal damaged",
    LogCut: "log cut by an unclean election",
    LogStartMoved: "log start moved beyond the ledger's end",
    TopicMadeAgain: "topic deleted and made again",
    PartitionAdded: "partition added",
    ConfigurationChanged: "configuration changed",
    LedgerRestored: "ledger restored without its last rows",
    RollAsked: "roll at any moment",
    RecountAsked: "recount at any moment",
    GarbageCollected: "garbage collected",
    WindowSpilled: "window moved to disk",
    RunsMerged: "runs of a window merged",
    FilterDropped: "filter of a window dropped",
    MemoryFull: "window finds no memory: the lane waits",
    DiskFull: "window finds no room on disk: the lane waits",
    StoppedInPart: "process told to stop as a lane finds no room",
    RecountPutOff: "recount put off for want of room",
}

/// How often each kind happened.
#[derive(Clone, Debug)]
pub struct Tally(Vec<u64>);

impl Default for Tally {
    fn default() -> Self {
        Self(vec![0; Fault::ALL.len()])
    }
}

impl Tally {
    pub fn note(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub fn note_times(&mut self, fault: Fault, times: u64) {
        self.0[fault as usize] += times;
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    pub fn each(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.iter().copied().zip(self.0.iter().copied())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, count) in self.each() {
            writeln!(f, "| {} | {count} |", fault.describe())?;
        }
        Ok(())
    }
}
