//! The log of every change. Each entry's hash covers the one before, so that nothing in the middle
//! can be changed or left out unseen.

use std::sync::LazyLock;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::database::{Database, DatabaseError, DatabaseResult, Many, Row, Transaction, Value, values};

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub sequence: i64,
    /// 64 hex digits; zeros before the first entry.
    pub hash: String,
}

/// Who, what, when, before, after. The field order is that of the hashed JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counted from 1, without gaps.
    pub sequence: i64,
    pub at_ms: i64,
    pub actor: String,
    pub action: String,
    pub organization: Option<String>,
    /// JSON, as text.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    #[error("account log: entry {expected} is missing, {found} follows")]
    Missing { expected: i64, found: i64 },
    #[error("account log: entry {sequence} does not have its hash: it or one before was changed")]
    Changed { sequence: i64 },
    #[error("account log: it ends with entry {found}, but entry {expected} was written")]
    Cut { expected: i64, found: i64 },
}

impl Entry {
    fn hash(&self, previous: &str) -> String {
        let json = serde_json::to_vec(self).expect("an entry is plain data");
        let digest = Sha256::new().chain_update(previous).chain_update(b"\n").chain_update(json).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads the head and keeps everyone else from it until the transaction ends.
pub async fn lock(transaction: &mut Transaction) -> DatabaseResult<Head> {
    let sql = "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash";
    let row = transaction.fetch_optional(sql, &[]).await?;
    read_head(row)
}

pub async fn store_head(transaction: &mut Transaction, head: &Head) -> DatabaseResult<()> {
    let sql = "UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1";
    transaction.execute(sql, values![head.sequence, head.hash.as_str()]).await?;
    Ok(())
}

static INSERT: LazyLock<Many<8>> = LazyLock::new(|| {
    Many::new(
        "INSERT INTO audit_log (sequence, at_ms, actor, action, organization, before, after, hash)
         VALUES {rows}",
    )
});

/// An entry with its hash, as a row.
pub type EntryRow = [Value; 8];

/// Answers the new head, and what is to be inserted before it is stored.
pub fn append(head: &Head, entry: &Entry) -> (Head, EntryRow) {
    let hash = entry.hash(&head.hash);
    let row: &EntryRow = values![
        entry.sequence,
        entry.at_ms,
        entry.actor.as_str(),
        entry.action.as_str(),
        entry.organization.clone(),
        entry.before.clone(),
        entry.after.clone(),
        hash.as_str()
    ];
    (Head { sequence: entry.sequence, hash }, row.clone())
}

pub async fn insert(transaction: &mut Transaction, rows: Vec<EntryRow>) -> DatabaseResult<()> {
    INSERT.execute(transaction, rows).await
}

/// Checks the whole chain; answers the number of entries, or the first break.
pub async fn verify(database: &Database) -> DatabaseResult<Result<i64, ChainBreak>> {
    // The head is read first: entries that are written meanwhile are beyond it.
    let sql = "SELECT sequence, hash FROM audit_head WHERE id = 1";
    let head = read_head(database.fetch_optional(sql, &[]).await?)?;
    let mut chain = Chain { last: Head { sequence: 0, hash: "0".repeat(64) }, broken: None };
    let entries = "SELECT sequence, at_ms, actor, action, organization, before, after, hash
                   FROM audit_log WHERE sequence <= $1 ORDER BY sequence";
    database
        .for_each(entries, values![head.sequence], |row| {
            chain.check(&read_entry(&row)?, row.text(7)?);
            Ok(())
        })
        .await?;
    Ok(match chain.broken {
        Some(broken) => Err(broken),
        None if chain.last.sequence != head.sequence => {
            Err(ChainBreak::Cut { expected: head.sequence, found: chain.last.sequence })
        }
        None if chain.last != head => Err(ChainBreak::Changed { sequence: head.sequence }),
        None => Ok(head.sequence),
    })
}

struct Chain {
    last: Head,
    broken: Option<ChainBreak>,
}

impl Chain {
    fn check(&mut self, entry: &Entry, hash: &str) {
        let (expected, found) = (self.last.sequence + 1, entry.sequence);
        if self.broken.is_some() {
            return;
        }
        if found != expected {
            self.broken = Some(ChainBreak::Missing { expected, found });
        } else if entry.hash(&self.last.hash) != hash {
            self.broken = Some(ChainBreak::Changed { sequence: found });
        } else {
            self.last = Head { sequence: found, hash: hash.to_owned() };
        }
    }
}

fn read_head(row: Option<Row>) -> DatabaseResult<Head> {
    let missing = || DatabaseError::Content { what: "the head of the account log is missing".to_owned() };
    let row = row.ok_or_else(missing)?;
    Ok(Head { sequence: row.integer(0)?, hash: row.text(1)?.to_owned() })
}

fn read_entry(row: &Row) -> DatabaseResult<Entry> {
    Ok(Entry {
        sequence: row.integer(0)?,
        at_ms: row.integer(1)?,
        actor: row.text(2)?.to_owned(),
        action: row.text(3)?.to_owned(),
        organization: row.optional_text(4)?.map(str::to_owned),
        before: row.optional_text(5)?.map(str::to_owned),
        after: row.optional_text(6)?.map(str::to_owned),
    })
}
