//! De-duplication: which keys occurred in a lane, where last, and with what content.
//!
//! An event is a duplicate when its key occurred within the W offsets before it, or earlier in the
//! same record, whatever that occurrence's outcome was. That looks at the log alone, so that any
//! owner at any time decides the same. Pure but for the files of the journal and of windows
//! that memory has no room for.

mod budget;
mod cache;
mod extent;
mod filter;
mod journal;
mod run;
mod shard;
mod table;
mod window;

/// What `budget` shares between threads; a test puts a checked kind in its place.
mod sync {
    pub use std::sync::Arc;
    pub use std::sync::atomic::{AtomicU64, Ordering};
}

pub use budget::{Budget, CacheFull};
pub use cache::{Cache, CacheSettings, Expected};
pub use journal::{Frame, Journal, StoredFrame};
pub use window::{Held, MAX_WIDTH, Moves, Occurrence, Verdict, Window};
