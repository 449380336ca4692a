//! All accounts and keys in memory, for answers that may not wait for a database. It follows the
//! account log: whatever changes an account appends there.

use std::sync::Arc;

use dashmap::DashMap;
use hashbrown::{DefaultHashBuilder, HashMap};
use tokio::sync::Mutex;
use tokio::task::JoinError;

use super::Accounts;
use super::account::{self, Account, account_rows, read_period};
use super::api_key::{KeyHolder, StoredKey};
use super::damaged::{Damaged, Work};
use super::database::{Database, DatabaseError, DatabaseResult, Row, values};
use super::error::AccountError;
use crate::clock;
use crate::event::PlanPeriod;

/// Log entries read at a time.
const BATCH: i64 = 10_000;

#[derive(Debug, Default)]
pub struct Directory {
    accounts: DashMap<String, Arc<Account>, DefaultHashBuilder>,
    keys: DashMap<String, StoredKey, DefaultHashBuilder>,
    keys_by_organization: DashMap<String, Vec<String>, DefaultHashBuilder>,
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

    /// Reads everything; what can't be read of an organization leaves that one out.
    pub(super) async fn load(database: &Database, damaged: &Damaged) -> DatabaseResult<Self> {
        let head = "SELECT sequence FROM audit_head WHERE id = 1";
        let row = database.fetch_optional(head, &[]).await?;
        let sequence = row.map_or(Ok(0), |row| row.integer(0))?;
        let accounts = load_accounts(database, damaged).await?;
        let directory = Self { sequence: Mutex::new(sequence), ..Self::default() };
        let keys = "SELECT id, organization, role, hash FROM api_keys";
        database
            .for_each(keys, &[], |row| {
                match StoredKey::from_row(&row) {
                    Ok(key) => directory.put_key(key),
                    Err(error) if error.is_unreadable() => {
                        damaged.note(Work::ReadKey, &name_of(&row, 1), &error.into());
                    }
                    Err(error) => return Err(error),
                }
                Ok(())
            })
            .await?;
        for account in accounts {
            directory.accounts.insert(account.id.clone(), Arc::new(account));
        }
        Ok(directory)
    }

    /// Takes in what others changed; answers the organizations concerned.
    pub(super) async fn catch_up(
        &self,
        database: &Database,
        damaged: &Damaged,
    ) -> DatabaseResult<Vec<String>> {
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
                self.reload(database, damaged, organization).await?;
            }
            *sequence = reached;
            changed.append(&mut organizations);
        }
        for organization in damaged.due_again(clock::instant()) {
            self.reload(database, damaged, &organization).await?;
            changed.push(organization);
        }
        Ok(changed)
    }

    async fn reload(&self, database: &Database, damaged: &Damaged, organization: &str) -> DatabaseResult<()> {
        let account = match account::read(database, organization).await {
            Ok(Some(account)) => account,
            Ok(None) => return Ok(()),
            // What it was before entitles it to nothing now.
            Err(error) if error.is_unreadable() => {
                damaged.note(Work::ReadAccount, organization, &error.into());
                self.accounts.remove(organization);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let sql = "SELECT id, organization, role, hash FROM api_keys WHERE organization = $1";
        let rows = database.fetch_all(sql, values![organization]).await?;
        let mut keys = Vec::with_capacity(rows.len());
        let mut unread = None;
        for row in &rows {
            match StoredKey::from_row(row) {
                Ok(key) => keys.push(key),
                Err(error) if error.is_unreadable() => unread = Some(AccountError::from(error)),
                Err(error) => return Err(error),
            }
        }
        match unread {
            Some(error) => damaged.note(Work::ReadKey, organization, &error),
            None => damaged.mended(Work::ReadKey, organization),
        }
        let old = self.keys_by_organization.remove(organization).map(|(_, ids)| ids).unwrap_or_default();
        for id in old.iter().filter(|id| !keys.iter().any(|key| key.holder.id == **id)) {
            self.keys.remove(id);
        }
        keys.into_iter().for_each(|key| self.put_key(key));
        self.accounts.insert(organization.to_owned(), Arc::new(account));
        damaged.mended(Work::ReadAccount, organization);
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
async fn load_accounts(database: &Database, damaged: &Damaged) -> DatabaseResult<Vec<Account>> {
    let (accounts, periods, regions) = tokio::join!(
        tokio::spawn(load_rows(database.clone())),
        tokio::spawn(load_periods(database.clone())),
        tokio::spawn(load_regions(database.clone())),
    );
    let (mut accounts, periods, regions) = (whole(accounts)?, whole(periods)?, whole(regions)?);
    let unread: HashMap<String, DatabaseError> =
        [accounts.unread, periods.unread, regions.unread].into_iter().flatten().collect();
    accounts.read.retain(|account| !unread.contains_key(&account.id));
    for (organization, error) in unread {
        damaged.note(Work::ReadAccount, &organization, &error.into());
    }
    accounts.read.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    hand_out(&mut accounts.read, periods.read, |account| &mut account.periods);
    hand_out(&mut accounts.read, regions.read, |account| &mut account.regions);
    Ok(accounts.read)
}

/// Gives each account its own; `accounts` are in the order of their ids. Everything comes sorted, where
/// the database's order of texts is that of their bytes: sorting it again costs little then, and less
/// than looking each up.
fn hand_out<T>(accounts: &mut [Account], mut groups: Groups<T>, place: impl Fn(&mut Account) -> &mut Vec<T>) {
    groups.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut groups = groups.into_iter().peekable();
    for account in accounts {
        // Of an organization that has no account that can be read.
        while groups.next_if(|(organization, _)| *organization < account.id).is_some() {}
        if let Some((_, items)) = groups.next_if(|(organization, _)| *organization == account.id) {
            *place(account) = items;
        }
    }
}

/// Rows by their organization, each of which is there once.
type Groups<T> = Vec<(String, Vec<T>)>;

/// A part of the accounts, and of which organizations it can't be read.
#[derive(Default)]
struct Part<T> {
    read: T,
    unread: Vec<(String, DatabaseError)>,
}

impl<T> Part<T> {
    /// What was read of a row; a row that can't be read is its organization's damage.
    fn take<V>(
        &mut self,
        row: &Row,
        read: impl FnOnce(&Row) -> DatabaseResult<V>,
    ) -> DatabaseResult<Option<V>> {
        match read(row) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_unreadable() => {
                self.unread.push((name_of(row, 0), error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whose row it is, where not even that can be read.
fn name_of(row: &Row, column: usize) -> String {
    row.text(column).unwrap_or("(an id that can't be read)").to_owned()
}

/// What a part of the reading came to; a panic in it is one here.
fn whole<T>(part: Result<DatabaseResult<T>, JoinError>) -> DatabaseResult<T> {
    part.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Err(DatabaseError::Content { what: format!("read accounts: {error}") }),
    })
}

async fn load_rows(database: Database) -> DatabaseResult<Part<Vec<Account>>> {
    let sql = account_rows!("");
    let mut accounts = Part::<Vec<Account>>::default();
    let add = |row: Row| {
        let account = accounts.take(&row, Account::from_row)?;
        accounts.read.extend(account);
        Ok(())
    };
    database.for_each(sql, &[], add).await?;
    Ok(accounts)
}

async fn load_periods(database: Database) -> DatabaseResult<Part<Groups<PlanPeriod>>> {
    let sql = "SELECT organization, plan, trial, from_ms, to_ms FROM plan_periods
               ORDER BY organization, from_ms";
    load_grouped(&database, sql, |row| read_period(row, 1)).await
}

async fn load_regions(database: Database) -> DatabaseResult<Part<Groups<String>>> {
    let sql = "SELECT organization, region FROM organization_regions ORDER BY organization, position";
    load_grouped(&database, sql, |row| row.text(1).map(str::to_owned)).await
}

/// Rows of one organization, its id the first column, follow one another.
async fn load_grouped<T>(
    database: &Database,
    sql: &'static str,
    read: impl Fn(&Row) -> DatabaseResult<T>,
) -> DatabaseResult<Part<Groups<T>>> {
    let mut groups = Part { read: Groups::new(), unread: Vec::new() };
    let mut current: Option<(String, Vec<T>)> = None;
    let add = |row: Row| {
        let taken = groups.take(&row, |row| Ok((row.text(0)?.to_owned(), read(row)?)))?;
        let Some((organization, item)) = taken else { return Ok(()) };
        match &mut current {
            Some((held, items)) if *held == organization => items.push(item),
            _ => groups.read.extend(current.replace((organization, vec![item]))),
        }
        Ok(())
    };
    database.for_each(sql, &[], add).await?;
    groups.read.extend(current);
    Ok(groups)
}

impl Accounts {
    /// Loads the directory, once; from then on this process answers from it.
    pub async fn load_directory(&self) -> DatabaseResult<Arc<Directory>> {
        let load = || async { Directory::load(&self.database, &self.damaged).await.map(Arc::new) };
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
        let changed = directory.catch_up(&self.database, &self.damaged).await?;
        if let Some(tell) = self.on_change.get() {
            changed.iter().for_each(|organization| tell(organization));
        }
        Ok(changed)
    }
}
