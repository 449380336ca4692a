//! Wires source → decode → dedup → aggregate → flush, for as long as the process may.
//!
//! One thread is the group's member: it reads, and shares records out to threads that decode and count,
//! each its own lanes: nothing of a lane is shared, nothing locked. A task per lane publishes what was
//! finished; one block per lane is under way, and where publishing is slower than counting, less is
//! read.

mod beginning;
mod counter;
mod counting;
mod group;
mod ingest;
mod lane_task;
mod lanes;
mod letters;
mod metrics;
mod pace;
mod put_off;
mod rebuild;
mod recount;
mod session;
mod waiting;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

pub use beginning::{Beginner, Begun, LaneState};
pub use counter::{ClosedBlock, LaneCounter, LogCutShort};
pub use ingest::{IngestError, ingest};
pub use recount::{Log, RecountError, Recounted, Recounter};

use crate::dedup::CacheSettings;
use crate::event::Rules;
use crate::source;
use crate::store;

/// What `odometer ingest` needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: source::Settings,
    pub store: store::Settings,
    /// The rules of each topic, by its name.
    pub rules: BTreeMap<String, Rules>,
    pub cache: CacheSettings,
    /// Bytes of memory for blocks that are open or being published, of all lanes.
    pub block_memory: u64,
    /// Threads that count, each its share of the lanes; at least 1.
    pub threads: usize,
    pub flush_interval: Duration,
    pub roll_interval: Duration,
    pub shutdown_timeout: Duration,
}
