//! One organization's usage at a moment: totals in memory, the service register, completeness.

pub mod completeness;
pub mod progress;
pub mod register;
pub mod table;
pub mod usage;
