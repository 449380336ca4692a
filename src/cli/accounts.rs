//! The accounts database, as commands open it.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use sqlx::sqlite::SqliteConnectOptions;
use tokio_util::sync::CancellationToken;

use super::process::{START_PATIENCE, reach};
use super::{Exit, Failure};
use crate::accounts::{Accounts, OpenError, Settings};
use crate::config::{ClockSource, Config};

/// Opens the database and brings its tables up to date; a SQLite file that is missing is made.
/// `None`: told to stop before a server answered.
pub async fn open(config: &Config, shutdown: &CancellationToken) -> Result<Option<Arc<Accounts>>, Failure> {
    let settings = config.accounts_settings()?;
    if sqlite_file(&settings)?.is_some() {
        return Accounts::open(&settings).await.map(|accounts| Some(Arc::new(accounts))).map_err(failure);
    }
    let opened =
        reach("the accounts database (accounts.url)", START_PATIENCE, shutdown, || Accounts::open(&settings));
    Ok(opened.await?.map(Arc::new))
}

/// For commands that only look: a SQLite database that was never made holds no accounts, and stays
/// unmade.
pub async fn open_to_read(config: &Config) -> Result<Option<Arc<Accounts>>, Failure> {
    let settings = config.accounts_settings()?;
    let is_missing = sqlite_file(&settings)?.is_some_and(|file| !Path::new(&file).exists());
    // The test clock stands in the database: whoever asks it first makes it.
    if is_missing && config.clock == ClockSource::System {
        return Ok(None);
    }
    open(config, &CancellationToken::new()).await
}

fn sqlite_file(settings: &Settings) -> Result<Option<String>, Failure> {
    if !settings.url.starts_with("sqlite:") {
        return Ok(None);
    }
    let options = SqliteConnectOptions::from_str(&settings.url).context("read accounts.url")?;
    Ok(Some(options.get_filename().display().to_string()))
}

fn failure(error: OpenError) -> Failure {
    match error {
        OpenError::Webhooks(error) => Failure::new(Exit::Config, error.to_string()),
        other => Failure::failed(format!("open accounts database: {other}")),
    }
}
