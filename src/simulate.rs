//! Realistic traffic whose exact counts are known before it is sent.
//!
//! [`Traffic`] yields records and keeps, beside them, what odometer has to make of them: usage by
//! organization, region and month, and how many events end how. Everything follows from the
//! [`Settings`]: the same settings give the same bytes. Nothing here decodes or counts as the
//! product does, so that agreement means something.

mod batch;
mod catalog;
mod cloudevents;
mod draft;
mod expected;
mod kafka_log;
mod mapping;
mod organizations;
mod produce;
mod random;
mod run;
mod settings;
mod share;
mod timeline;
mod traffic;

pub use expected::{Expected, Outcomes, UsageLine};
pub use produce::{ProduceError, Sent, TrafficProducer};
pub use settings::{InvalidSettings, Settings};
pub use share::{InvalidShare, Share};
pub use traffic::{SimulatedRecord, Traffic};
