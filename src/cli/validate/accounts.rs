use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::{Check, PATIENCE};
use crate::config::Config;

/// That the accounts database can be opened. Its URL may hold a password and is not shown.
pub async fn check(config: &Config) -> Check {
    let name = "accounts database";
    let url = match config.accounts_url() {
        Ok(url) => url,
        Err(error) => return Check::misconfigured(name, &error),
    };
    match tokio::time::timeout(PATIENCE, open(&url)).await {
        Err(_) => Check::unreachable(name, format!("no answer within {PATIENCE:?}")),
        Ok(Err(error)) => Check::unreachable(name, error),
        Ok(Ok(detail)) => Check::good(name, detail),
    }
}

async fn open(url: &str) -> Result<String, sqlx::Error> {
    if url.starts_with("sqlite:") {
        return open_sqlite(&SqliteConnectOptions::from_str(url)?).await;
    }
    let options = PgConnectOptions::from_str(url)?;
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let mut connection = options.connect().await?;
    connection.ping().await?;
    connection.close().await?;
    Ok(format!("PostgreSQL on {place}"))
}

/// A file that is not there yet is made at the first start, where its folder exists.
async fn open_sqlite(options: &SqliteConnectOptions) -> Result<String, sqlx::Error> {
    let file = options.get_filename();
    let shown = file.display();
    if file.exists() {
        options.clone().read_only(true).connect().await?.close().await?;
        return Ok(format!("SQLite in {shown}"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(format!("SQLite in {shown}, made at the first start"));
    }
    Err(sqlx::Error::Configuration(format!("the folder {} does not exist: make it", folder.display()).into()))
}
