//! One organization's usage at a moment: totals in memory, the service register, completeness.
//!
//! A [`Deployment`] is one region's ClickHouse; [`follow`] keeps its figures of the current month in
//! memory, other months are read on demand. [`Snapshots`] answers from all deployments together.

pub mod changes;
pub mod completeness;
mod cost;
pub mod deployment;
pub mod entitlement;
pub mod everyone;
mod follow;
mod ledger;
pub mod progress;
mod overview;
mod partitions;
mod plans;
mod preview;
mod publish;
pub mod register;
pub mod series;
mod service;
pub mod table;
pub mod usage;
mod watermarks;

pub use deployment::Deployment;
pub use entitlement::{Entitlement, FailPolicy};
pub use follow::follow;
pub use overview::{LaneHealth, RegionHealth};
pub use partitions::{learn_partitions, watch_partitions};
pub use plans::Plans;
pub use preview::Preview;
pub use publish::{PublishError, Publisher, TopicSettings};
pub use service::{SnapshotError, Snapshots};
pub use usage::Usage;
