//! How a running process tells what it does: checks, metrics, logs.

mod logs;
mod metrics;
mod panics;
mod readiness;

pub use logs::start as start_logs;
pub use metrics::{Kind, METRICS, Metric, MetricsError, RenderMetrics, start as start_metrics};
pub use panics::{vital, vital_task};
pub use readiness::{CheckState, Readiness, ReadinessCheck};
