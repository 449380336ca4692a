//! The suite of the room accounts, on Postgres. Its unit tests run the same files on SQLite.

#[path = "../../../src/accounts/tests/directory.rs"]
mod directory;
#[path = "../../../src/accounts/tests/fixture.rs"]
mod fixture;
#[path = "../../../src/accounts/tests/idempotency_keys.rs"]
mod idempotency_keys;
#[path = "../../../src/accounts/tests/key.rs"]
mod key;
#[path = "../../../src/accounts/tests/log.rs"]
mod log;
#[path = "../../../src/accounts/tests/payment.rs"]
mod payment;
#[path = "../../../src/accounts/tests/plan.rs"]
mod plan;
#[path = "../../../src/accounts/tests/portal.rs"]
mod portal;
#[path = "../../../src/accounts/tests/schedule.rs"]
mod schedule;
#[path = "../../../src/accounts/tests/webhooks.rs"]
mod webhooks;

use fixture::*;
use odometer::accounts::*;
use odometer::{clock, event};

/// The server ends with the tests, its databases with it.
type Place = ();

/// The URL of a new database.
async fn place() -> (String, Place) {
    (crate::servers::new_postgres_database("accounts").await, ())
}
