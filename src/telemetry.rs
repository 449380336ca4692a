//! How a running process tells what it does: checks, metrics, logs.

mod logs;
mod readiness;

pub use logs::start as start_logs;
pub use readiness::{CheckState, Readiness, ReadinessCheck};
