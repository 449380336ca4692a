//! Wires source → decode → dedup → aggregate → flush, for as long as the process may.
//!
//! One thread per consumer reads, decodes and counts its lanes: nothing is shared, nothing locked. A
//! task per lane publishes what the thread finished; one block per lane is under way, and where
//! publishing is slower than counting, the thread reads less.

mod beginning;
mod counter;
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
    /// Consumers of this process, each with a thread of its own; at least 1.
    pub consumers: usize,
    pub flush_interval: Duration,
    pub roll_interval: Duration,
    pub shutdown_timeout: Duration,
}
