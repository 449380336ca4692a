//! How a running process tells what it does: checks, metrics, logs.

mod readiness;

pub use readiness::{CheckState, Readiness, ReadinessCheck};
