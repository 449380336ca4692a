//! The test clock: one instant in the database, shared by all processes; it moves when the operator
//! moves it, never backwards.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::{Clock, Time};
use crate::event::{EARLIEST_TIME_MS, LATEST_TIME_MS};

use super::Accounts;
use super::caller::Caller;
use super::change::Change;
use super::database::{Database, DatabaseError, DatabaseResult, Row, Transaction, values};
use super::error::{AccountError, AccountResult};
use super::validate::Checks;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestClock {
    #[schema(value_type = String, format = DateTime)]
    pub now: Time,
}

const READ: &str = "SELECT now_ms, version FROM test_clock WHERE id = 1";

/// What this process knows of the test clock: the clock itself and how often it was set by then, so
/// that an older reading that comes late is not taken for a newer one.
#[derive(Debug)]
pub(super) struct Known {
    now_ms: Arc<AtomicI64>,
    version: Mutex<i64>,
}

/// The clock of this database. Until it is set for the first time it stands where the system's
/// clock was when it was made.
pub(super) async fn open(database: &Database) -> DatabaseResult<Known> {
    let sql = "INSERT INTO test_clock (id, now_ms, version) VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING";
    database.execute(sql, values![Clock::System.now_ms()]).await?;
    let (now_ms, version) = read(database.fetch_optional(READ, &[]).await?)?;
    Ok(Known { now_ms: Arc::new(AtomicI64::new(now_ms)), version: Mutex::new(version) })
}

fn read(row: Option<Row>) -> DatabaseResult<(i64, i64)> {
    let missing = || DatabaseError::Content { what: "the test clock is missing".to_owned() };
    let row = row.ok_or_else(missing)?;
    Ok((row.integer(0)?, row.integer(1)?))
}

impl Known {
    pub fn clock(&self) -> Clock {
        Clock::Test(self.now_ms.clone())
    }

    fn observe(&self, now_ms: i64, version: i64) {
        let mut seen = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if version > *seen {
            *seen = version;
            self.now_ms.store(now_ms, Ordering::Release);
        }
    }

    /// Reads the clock within a change; nobody sets it meanwhile.
    pub async fn read(&self, transaction: &mut Transaction) -> DatabaseResult<i64> {
        let (now_ms, version) = read(transaction.fetch_optional(READ, &[]).await?)?;
        self.observe(now_ms, version);
        Ok(now_ms)
    }
}

impl Accounts {
    /// Moves the test clock and does everything that is due by then. Answers 200.
    pub async fn set_test_clock(&self, caller: &Caller, now: Time) -> AccountResult<TestClock> {
        caller.require_operator()?;
        if self.test_clock.is_none() {
            return Err(AccountError::ClockNotTest);
        }
        let mut checks = Checks::default();
        let range = EARLIEST_TIME_MS..LATEST_TIME_MS;
        checks.require(range.contains(&now.0), "/now", "the clock goes from the year 2000 to 2099");
        checks.finish()?;
        let mut change = self.begin(caller).await?;
        let before_ms = change.now_ms();
        if now.0 < before_ms && !change.is_clock_untouched().await? {
            return Err(AccountError::ClockBackwards { now: Time(before_ms) });
        }
        let sql = "UPDATE test_clock SET now_ms = $1, version = version + 1 WHERE id = 1";
        change.execute(sql, values![now.0]).await?;
        let (before, after) = (json!({ "now": Time(before_ms) }), json!({ "now": now }));
        change.record("test-clock.set", None, Some(before), Some(after)).await?;
        let answer = TestClock { now };
        change.commit(200, &answer).await?;
        self.follow_test_clock().await?;
        self.advance().await?;
        Ok(answer)
    }

    /// Takes in where another process moved the clock.
    pub async fn follow_test_clock(&self) -> DatabaseResult<()> {
        if let Some(known) = &self.test_clock {
            let (now_ms, version) = read(self.database.fetch_optional(READ, &[]).await?)?;
            known.observe(now_ms, version);
        }
        Ok(())
    }
}

impl Change<'_> {
    /// The first setting may be any time, as long as nothing was done by the time before it.
    async fn is_clock_untouched(&mut self) -> DatabaseResult<bool> {
        let sql = "SELECT 1 FROM test_clock WHERE version = 0 AND NOT EXISTS (SELECT 1 FROM organizations)";
        Ok(self.fetch_optional(sql, &[]).await?.is_some())
    }
}
