//! The open block of each lane: one writer, no locks, nothing shared. Pure.

mod open;
mod rows;

pub use open::{Contents, MeterName, OpenBlock, OrganizationHash, Outcomes};
pub use rows::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
