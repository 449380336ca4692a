//! ClickHouse: schema, block rows, the ledger and its gate, rolls, views, reading.
//!
//! Nothing here retries: a caller knows whether its call may be repeated. An insert that ended in
//! any error may or may not be in the database, so its block id is never used again.

mod billed;
mod blocks;
mod client;
pub mod closings;
mod error;
mod garbage;
pub mod gate;
mod inspect;
mod layout;
mod partition;
mod publish;
mod read;
mod recounts;
mod rows;
mod schema;
mod usage;
mod watermark;
mod write;

pub use billed::Grain;
pub use client::{Settings, Store};
pub use error::StoreError;
pub use garbage::Garbage;
pub use inspect::Inspection;
pub use layout::Layout;
pub use partition::Spans;
pub use read::{BlockCounts, BlockServices, BlockSum, History, Published};
pub use recounts::{RecountRequest, RecountState};
pub use usage::{MonthRows, MonthUsage, SeriesPoint, SeriesQuery, Window};
pub use watermark::{LaneProgress, Watermark};
pub use write::{Claim, NewBlock, Uncounted};
