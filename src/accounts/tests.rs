//! The suite of this room. It runs on SQLite here, and from `tests/it/accounts` on Postgres, where
//! [`place`] is another; only `internal` is not shared.

mod directory;
mod fixture;
mod idempotency_keys;
mod internal;
mod key;
mod log;
mod payment;
mod plan;
mod portal;
mod schedule;
mod webhooks;

pub(crate) use fixture::*;

use tempfile::TempDir;

use super::*;
use crate::{clock, event};

/// Keeps a test's database until the test is over.
pub(crate) type Place = TempDir;

/// The URL of a new database.
pub(crate) async fn place() -> (String, Place) {
    let folder = tempfile::tempdir().expect("a folder");
    (format!("sqlite://{}", folder.path().join("accounts.db").display()), folder)
}
