//! The open block of each lane: one writer, no locks, nothing shared. Pure.

mod rows;

pub use rows::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
