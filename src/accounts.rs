//! Organizations, their plans and trials, regions, licenses, payment methods and keys.
//!
//! Everything that changes an account is one [`Change`]: a transaction that waits for the change
//! before it, so that changes of all processes happen one after the other, and that holds its log
//! entry and its notices. Plan periods are planned ahead (what follows a trial stands there from
//! the sign-up on), so what an account is at an instant follows from its periods alone, also when
//! nothing runs at that instant; [`Accounts::advance`] tells of what has become due.

pub mod account;
pub mod api_key;
pub mod audit_log;
pub mod caller;
pub mod change;
pub mod damaged;
pub mod database;
pub mod directory;
pub mod error;
pub mod idempotency;
pub mod license;
pub mod organization;
pub mod outbox;
pub mod page;
pub mod payment_method;
pub mod portal_session;
mod schedule;
mod secret;
pub mod subscription;
pub mod test_clock;
mod validate;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

pub use account::{Account, OrganizationAnswer, Status, TrialAnswer};
pub use caller::{Actor, Caller, Role};
pub use change::Change;
pub use directory::Directory;
pub use error::{AccountError, AccountResult, FieldError};
pub use page::{List, Page};
pub use validate::is_organization_id;

use api_key::KeyUses;
use audit_log::ChainBreak;
use damaged::Damaged;
use database::{Database, DatabaseError, DatabaseResult};
use webhook::Webhooks;

/// How often a process looks for what others changed: the bound on how stale its answers are.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// How often due things are looked for.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the uses of keys are written down.
const KEY_USES_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `sqlite://FILE` or `postgres://…`.
    pub url: String,
    pub max_connections: u32,
    /// Whether the clock is the database's own, which the operator sets.
    pub test_clock: bool,
    pub webhooks: webhook::Settings,
}

impl Settings {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            test_clock: false,
            webhooks: webhook::Settings::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Webhooks(#[from] webhook::SettingsError),
}

/// Called with each organization whose account changed.
pub type OnChange = Box<dyn Fn(&str) + Send + Sync>;

/// The accounts of one installation.
pub struct Accounts {
    database: Database,
    clock: Clock,
    test_clock: Option<test_clock::Known>,
    secret: secret::Secret,
    directory: OnceCell<Arc<Directory>>,
    on_change: OnceLock<OnChange>,
    key_uses: KeyUses,
    webhooks: Webhooks,
    damaged: Damaged,
}

impl Accounts {
    /// Opens and migrates the database.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let webhooks = Webhooks::new(&settings.webhooks)?;
        let database = Database::open(&settings.url, settings.max_connections).await?;
        let secret = secret::stored(&database, "hash").await?;
        let test_clock = if settings.test_clock { Some(test_clock::open(&database).await?) } else { None };
        let clock = test_clock.as_ref().map_or(Clock::System, test_clock::Known::clock);
        let (directory, on_change, key_uses) = (OnceCell::new(), OnceLock::new(), KeyUses::default());
        let damaged = Damaged::default();
        let accounts =
            Self { database, clock, test_clock, secret, directory, on_change, key_uses, webhooks, damaged };
        accounts.ensure_license_key().await?;
        Ok(accounts)
    }

    /// The clock that everything of this installation goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whom to tell, once the directory is loaded, of accounts that changed here or elsewhere. The
    /// first one stays.
    pub fn on_change(&self, tell: OnChange) {
        if self.on_change.set(tell).is_err() {
            tracing::error!("listen to accounts: somebody listens already");
        }
    }

    /// The database, for rooms that keep their own tables in it. They read through it and write
    /// through [`Accounts::begin`].
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Organizations of which something can't be read, as far as this process came upon them.
    pub fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// One account, from memory where the directory is loaded.
    pub async fn account(&self, organization: &str) -> AccountResult<Arc<Account>> {
        if self.damaged.holds(organization) {
            return Err(AccountError::OrganizationUnreadable { organization: organization.to_owned() });
        }
        let found = match self.directory() {
            Some(directory) => directory.get(organization),
            None => account::read(&self.database, organization).await?.map(Arc::new),
        };
        found.ok_or_else(|| account::not_found(organization))
    }

    pub async fn organization(&self, organization: &str) -> AccountResult<OrganizationAnswer> {
        Ok(self.account(organization).await?.answer(self.clock.now_ms()))
    }

    /// Every account, by id; those that can't be read are left out.
    pub async fn organizations(&self, page: &Page) -> AccountResult<List<OrganizationAnswer>> {
        let sql = "SELECT id FROM organizations WHERE id > $1 ORDER BY id LIMIT $2";
        let mut answers = Vec::new();
        let mut after = page.after().to_owned();
        let wanted = usize::try_from(page.fetch()).unwrap_or(usize::MAX);
        while answers.len() < wanted {
            let rows = self.database.fetch_all(sql, database::values![after.as_str(), page.fetch()]).await?;
            let Some(last) = rows.last() else { break };
            after = last.text(0)?.to_owned();
            for row in &rows {
                match self.organization(row.text(0)?).await {
                    Ok(answer) => answers.push(answer),
                    Err(error) if error.is_of_one_organization() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(page.list(answers, |answer| answer.id.clone()))
    }

    /// Checks the account log's hash chain: the number of its entries, or where it breaks.
    pub async fn verify_log(&self) -> DatabaseResult<Result<i64, ChainBreak>> {
        audit_log::verify(&self.database).await
    }

    /// Follows other processes, does what falls due and sends webhooks, until it is told to stop.
    /// A database that is away is tried again.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = every(FOLLOW_INTERVAL, "follow accounts", || self.follow()) => {}
            () = every(ADVANCE_INTERVAL, "do what is due", || self.advance()) => {}
            () = every(ADVANCE_INTERVAL, "send webhooks", || self.deliver()) => {}
            () = every(KEY_USES_INTERVAL, "note uses of keys", || self.store_key_uses()) => {}
        }
        if let Err(error) = self.store_key_uses().await {
            tracing::warn!("note uses of keys: {error}");
        }
    }

    async fn follow(&self) -> DatabaseResult<()> {
        self.follow_test_clock().await?;
        self.catch_up().await?;
        Ok(())
    }

    /// Waits for open statements and closes the database.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Repeats the work without end; a failure is logged when it begins and when it is over.
pub(crate) async fn every<T, E, F>(interval: Duration, what: &str, work: impl Fn() -> F)
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        match work().await {
            Ok(_) if failing => {
                failing = false;
                tracing::info!("{what}: works again");
            }
            Ok(_) => {}
            Err(error) if !failing => {
                failing = true;
                tracing::warn!("{what}: {error}; trying again");
            }
            Err(error) => tracing::debug!("{what}: {error}"),
        }
    }
}

/// A new id that sorts after those made before: a kind, the system's milliseconds, random bits.
pub(crate) fn identifier(kind: &str) -> String {
    let since_epoch = u64::try_from(Clock::System.now_ms()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(since_epoch, &secret::random()).into_uuid();
    format!("{kind}_{}", uuid.simple())
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("clock", &self.clock).finish_non_exhaustive()
    }
}
