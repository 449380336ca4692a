//! The one place where the order of publishing lives: insert → commit → ledger.
//!
//! A block is inserted under an id of its own, worth nothing yet. The commit of its end to the
//! consumer group, naming it, is the truth: Kafka refuses it from an owner whose time has passed.
//! Then the ledger lists it, and readers count it. States are types, so that another order does not
//! compile: [`FinishedBlock`] → [`InsertedBlock`] → [`CommittedBlock`] → [`Published`].
//!
//! Doubt has one way out: an uncertain insert is never repeated under its id, an uncertain commit
//! ends the tenure, and the next owner looks at what the group and the ledger say ([`take_over`]).

mod block;
mod inserts;
mod note;
mod ports;
mod publisher;
mod roll;
mod take_over;
mod together;

pub use block::{CommittedBlock, FinishedBlock, InsertedBlock, Published};
pub use inserts::{InsertFailed, Inserts};
pub use note::CommitNote;
pub use ports::{Commits, Letters, Stores};
pub use publisher::{Publisher, TenureEnded};
pub use roll::{FAN_IN, plan as plan_roll};
pub use take_over::{TakeOver, TakeOverError, take_over};
