//! All accounts and keys in memory, for answers that may not wait for a database. It follows the
//! account log: whatever changes an account appends there.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::Mutex;
use tokio::task::JoinError;

use super::Accounts;
use super::account::{self, Account, account_rows, read_period};
use super::api_key::{KeyHolder, StoredKey};
use super::database::{Database, DatabaseError, DatabaseResult, Row, values};
use crate::event::PlanPeriod;

/// Log entries read at a time.
const BATCH: i64 = 10_000;

#[derive(Debug, Default)]
pub struct Directory {
    accounts: DashMap<String, Arc<Account>>,
    keys: DashMap<String, StoredKey>,
    keys_by_organization: DashMap<String, Vec<String>>,
    /// The last log entry that is in here; whoever catches up holds it.
    sequence: Mutex<i64>,
}

impl Directory {
    pub fn get(&self, organization: &str) -> Option<Arc<Account>> {
        self.accounts.get(organization).map(|account| account.clone())
    }

    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Every account, in no order; accounts that change meanwhile come before or after.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<Account>)) {
        self.accounts.iter().for_each(|entry| visit(entry.value()));
    }

    pub(super) fn key(&self, id: &str) -> Option<StoredKey> {
        self.keys.get(id).map(|key| key.clone())
    }

    /// Reads everything.
    pub(super) async fn load(database: &Database) -> DatabaseResult<Self> {
        let head = "SELECT sequence FROM audit_head WHERE id = 1";
        let row = database.fetch_optional(head, &[]).await?;
        let sequence = row.map_or(Ok(0), |row| row.integer(0))?;
        let accounts = load_accounts(database).await?;
        let directory = Self { sequence: Mutex::new(sequence), ..Self::default() };
        let keys = "SELECT id, organization, role, hash FROM api_keys";
        database
            .for_each(keys, &[], |row| {
                directory.put_key(StoredKey::from_row(&row)?);
                Ok(())
            })
            .await?;
        for account in accounts {
            directory.accounts.insert(account.id.clone(), Arc::new(account));
        }
        Ok(directory)
    }

    /// Takes in what others changed; answers the organizations concerned.
    pub(super) async fn catch_up(&self, database: &Database) -> DatabaseResult<Vec<String>> {
        let mut sequence = self.sequence.lock().await;
        let mut changed = Vec::new();
        loop {
            let sql = "SELECT sequence, organization FROM audit_log WHERE sequence > $1
                       ORDER BY sequence LIMIT $2";
            let rows = database.fetch_all(sql, values![*sequence, BATCH]).await?;
            let Some(last) = rows.last() else { break };
            let reached = last.integer(0)?;
            let mut organizations = Vec::with_capacity(rows.len());
            for row in &rows {
                organizations.extend(row.optional_text(1)?.map(str::to_owned));
            }
            organizations.sort_unstable();
            organizations.dedup();
            for organization in &organizations {
                self.reload(database, organization).await?;
            }
            *sequence = reached;
            changed.append(&mut organizations);
        }
        Ok(changed)
    }

    async fn reload(&self, database: &Database, organization: &str) -> DatabaseResult<()> {
        let Some(account) = account::read(database, organization).await? else { return Ok(()) };
        let sql = "SELECT id, organization, role, hash FROM api_keys WHERE organization = $1";
        let rows = database.fetch_all(sql, values![organization]).await?;
        let keys = rows.iter().map(StoredKey::from_row).collect::<DatabaseResult<Vec<_>>>()?;
        let old = self.keys_by_organization.remove(organization).map(|(_, ids)| ids).unwrap_or_default();
        for id in old.iter().filter(|id| !keys.iter().any(|key| key.holder.id == **id)) {
            self.keys.remove(id);
        }
        keys.into_iter().for_each(|key| self.put_key(key));
        self.accounts.insert(organization.to_owned(), Arc::new(account));
        Ok(())
    }

    fn put_key(&self, key: StoredKey) {
        let KeyHolder { id, organization, .. } = &key.holder;
        self.keys_by_organization.entry(organization.clone()).or_default().push(id.clone());
        self.keys.insert(id.clone(), key);
    }
}

/// Parts that are read at different moments may not fit together where an account changes
/// meanwhile; then the log, read from before all of them, brings it up again. They are read side by
/// side, because reading rows is all of the work.
async fn load_accounts(database: &Database) -> DatabaseResult<Vec<Account>> {
    let (accounts, periods, regions) = tokio::join!(
        tokio::spawn(load_rows(database.clone())),
        tokio::spawn(load_periods(database.clone())),
        tokio::spawn(load_regions(database.clone())),
    );
    let (mut accounts, mut periods, mut regions) = (whole(accounts)?, whole(periods)?, whole(regions)?);
    for account in &mut accounts {
        account.periods = periods.remove(&account.id).unwrap_or_default();
        account.regions = regions.remove(&account.id).unwrap_or_default();
    }
    Ok(accounts)
}

/// What a part of the reading came to; a panic in it is one here.
fn whole<T>(part: Result<DatabaseResult<T>, JoinError>) -> DatabaseResult<T> {
    part.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Err(DatabaseError::Content { what: format!("read accounts: {error}") }),
    })
}

async fn load_rows(database: Database) -> DatabaseResult<Vec<Account>> {
    let sql = account_rows!("");
    let mut accounts = Vec::new();
    let add = |row: Row| {
        accounts.push(Account::from_row(&row)?);
        Ok(())
    };
    database.for_each(sql, &[], add).await?;
    Ok(accounts)
}

async fn load_periods(database: Database) -> DatabaseResult<HashMap<String, Vec<PlanPeriod>>> {
    let sql = "SELECT organization, plan, trial, from_ms, to_ms FROM plan_periods
               ORDER BY organization, from_ms";
    load_grouped(&database, sql, |row| read_period(row, 1)).await
}

async fn load_regions(database: Database) -> DatabaseResult<HashMap<String, Vec<String>>> {
    let sql = "SELECT organization, region FROM organization_regions ORDER BY organization, position";
    load_grouped(&database, sql, |row| row.text(1).map(str::to_owned)).await
}

/// Rows of one organization, its id the first column, follow one another.
async fn load_grouped<T>(
    database: &Database,
    sql: &'static str,
    read: impl Fn(&Row) -> DatabaseResult<T>,
) -> DatabaseResult<HashMap<String, Vec<T>>> {
    let mut groups: HashMap<String, Vec<T>> = HashMap::new();
    let mut current: Option<(String, Vec<T>)> = None;
    let add = |row: Row| {
        let (organization, item) = (row.text(0)?, read(&row)?);
        match &mut current {
            Some((held, items)) if held == organization => items.push(item),
            _ => groups.extend(current.replace((organization.to_owned(), vec![item]))),
        }
        Ok(())
    };
    database.for_each(sql, &[], add).await?;
    groups.extend(current);
    Ok(groups)
}

impl Accounts {
    /// Loads the directory, once; from then on this process answers from it.
    pub async fn load_directory(&self) -> DatabaseResult<Arc<Directory>> {
        let load = || async { Directory::load(&self.database).await.map(Arc::new) };
        self.directory.get_or_try_init(load).await.cloned()
    }

    /// `None` until it is loaded.
    pub fn directory(&self) -> Option<&Arc<Directory>> {
        self.directory.get()
    }

    /// After a change of this process: its next answer shows it.
    pub(super) async fn refresh_directory(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::warn!("refresh account directory: {error}");
        }
    }

    /// Takes in what was changed, here and elsewhere, and tells who listens; answers the
    /// organizations concerned. Nothing where no directory is loaded.
    pub async fn catch_up(&self) -> DatabaseResult<Vec<String>> {
        let Some(directory) = self.directory.get() else { return Ok(Vec::new()) };
        let changed = directory.catch_up(&self.database).await?;
        if let Some(tell) = self.on_change.get() {
            changed.iter().for_each(|organization| tell(organization));
        }
        Ok(changed)
    }
}
