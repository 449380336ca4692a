use super::{Check, PATIENCE, Status};
use crate::config::Config;

/// That ClickHouse answers and knows the user, and whether the database is there.
pub async fn check(config: &Config) -> Check {
    let name = format!("ClickHouse {}", config.clickhouse.url);
    let password = match config.clickhouse_password() {
        Ok(password) => password,
        Err(error) => return Check::misconfigured(name, &error),
    };
    let client = clickhouse::Client::default()
        .with_url(&config.clickhouse.url)
        .with_user(&config.clickhouse.user)
        .with_password(password);
    let database = &config.clickhouse.database;
    let question = client
        .query("SELECT version(), count() > 0 FROM system.databases WHERE name = ?")
        .bind(database)
        .fetch_one::<(String, u8)>();
    match tokio::time::timeout(PATIENCE, question).await {
        Err(_) => Check::unreachable(name, format!("no answer within {PATIENCE:?}")),
        Ok(Err(error)) => Check::unreachable(name, error),
        Ok(Ok((version, 0))) => Check::new(
            name,
            Status::Doubtful,
            format!("version {version}; database {database} does not exist"),
        )
        .hint("run `odometer setup` to make it"),
        Ok(Ok((version, _))) => Check::good(name, format!("version {version}, database {database}")),
    }
}
