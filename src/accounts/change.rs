//! A change of the accounts: one transaction with its log entries and its notices.

use serde::Serialize;
use serde_json::Value as Json;

use super::audit_log::{self, Entry, EntryRow, Head};
use super::caller::Caller;
use super::database::{DatabaseError, DatabaseResult, Many, Row, Transaction, Value, values};
use super::error::AccountResult;
use super::idempotency::Pending;
use super::outbox::{self, Notice, NoticeRow};
use super::{Accounts, identifier};

/// Entries and notices that are kept until they are written together.
const KEPT: usize = 64;

/// Dropped without [`Change::commit`], nothing of it happened.
pub struct Change<'a> {
    accounts: &'a Accounts,
    transaction: Transaction,
    now_ms: i64,
    actor: String,
    idempotency: Option<Pending>,
    head: Head,
    /// Log entries and notices that are still to be written; all are, before the commit.
    entries: Vec<EntryRow>,
    notices: Vec<NoticeRow>,
}

impl Accounts {
    /// Begins a change once all changes before it are over, in whatever process: its reads see
    /// them, and its log entries follow theirs.
    pub async fn begin(&self, caller: &Caller) -> DatabaseResult<Change<'_>> {
        let mut transaction = self.database.begin().await?;
        let head = audit_log::lock(&mut transaction).await?;
        let now_ms = match &self.test_clock {
            Some(known) => known.read(&mut transaction).await?,
            None => self.clock.now_ms(),
        };
        let actor = caller.actor.to_string();
        let idempotency = caller.idempotency.clone();
        let (entries, notices) = (Vec::new(), Vec::new());
        Ok(Change { accounts: self, transaction, now_ms, actor, idempotency, head, entries, notices })
    }
}

impl Change<'_> {
    /// Epoch milliseconds; stands still within the change.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> DatabaseResult<u64> {
        self.transaction.execute(sql, values).await
    }

    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value]) -> DatabaseResult<Vec<Row>> {
        self.transaction.fetch_all(sql, values).await
    }

    pub async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> DatabaseResult<Option<Row>> {
        self.transaction.fetch_optional(sql, values).await
    }

    pub async fn execute_many<const COLUMNS: usize>(
        &mut self,
        statement: &Many<COLUMNS>,
        rows: Vec<[Value; COLUMNS]>,
    ) -> DatabaseResult<()> {
        statement.execute(&mut self.transaction, rows).await
    }

    pub async fn fetch_many<const COLUMNS: usize>(
        &mut self,
        statement: &Many<COLUMNS>,
        rows: Vec<[Value; COLUMNS]>,
    ) -> DatabaseResult<Vec<Row>> {
        statement.fetch(&mut self.transaction, rows).await
    }

    /// Appends to the log: who (the caller), what, when (now), before and after. Neither side holds
    /// a secret. Answers the entry's sequence.
    pub async fn record(
        &mut self,
        action: &str,
        organization: Option<&str>,
        before: Option<Json>,
        after: Option<Json>,
    ) -> DatabaseResult<i64> {
        let entry = Entry {
            sequence: self.head.sequence + 1,
            at_ms: self.now_ms,
            actor: self.actor.clone(),
            action: action.to_owned(),
            organization: organization.map(str::to_owned),
            before: before.map(|json| json.to_string()),
            after: after.map(|json| json.to_string()),
        };
        let (head, row) = audit_log::append(&self.head, &entry);
        self.head = head;
        self.entries.push(row);
        if self.entries.len() >= KEPT {
            audit_log::insert(&mut self.transaction, std::mem::take(&mut self.entries)).await?;
        }
        Ok(entry.sequence)
    }

    /// Puts a notice into the outbox; it is sent after the commit. Answers its id.
    pub async fn notify(&mut self, notice: Notice<'_>) -> DatabaseResult<String> {
        let id = identifier("msg");
        self.notices.push(outbox::row(&id, &notice));
        if self.notices.len() >= KEPT {
            outbox::insert(&mut self.transaction, std::mem::take(&mut self.notices)).await?;
        }
        Ok(id)
    }

    /// Makes all of it happen, with the answer that a repeated request will get again.
    pub async fn commit<T: Serialize>(mut self, status: u16, answer: &T) -> AccountResult<()> {
        if let Some(pending) = self.idempotency.take() {
            let body = serde_json::to_vec(answer)
                .map_err(|error| DatabaseError::Content { what: format!("write answer: {error}") })?;
            pending.store(&mut self.transaction, status, &body).await?;
        }
        audit_log::insert(&mut self.transaction, self.entries).await?;
        outbox::insert(&mut self.transaction, self.notices).await?;
        audit_log::store_head(&mut self.transaction, &self.head).await?;
        self.transaction.commit().await?;
        self.accounts.refresh_directory().await;
        Ok(())
    }

    pub async fn schedule(
        &mut self,
        organization: &str,
        kind: &'static str,
        due_ms: i64,
    ) -> DatabaseResult<()> {
        self.execute(
            "INSERT INTO schedule (organization, kind, due_ms) VALUES ($1, $2, $3)
             ON CONFLICT (organization, kind) DO UPDATE SET due_ms = excluded.due_ms",
            values![organization, kind, due_ms],
        )
        .await?;
        Ok(())
    }
}
