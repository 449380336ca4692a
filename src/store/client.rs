use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Row, RowOwned, RowRead, RowWrite};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::partition::{ServerClock, Spans};
use super::{Layout, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const INSERT_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Servers close idle connections after 3 s (old versions) to 30 s. What is sent on a connection
/// that is just being closed is lost, so ours end first.
const IDLE_CONNECTION: Duration = Duration::from_secs(2);

/// Where the database is.
#[derive(Clone)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: String,
    pub layout: Layout,
}

/// Without the password, and without what a URL may carry of one.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// One database. Clones share connections.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    /// Without a database, for making it.
    pub(super) server: Client,
    /// All that have tables, likewise; none where that is the only one.
    pub(super) others: Arc<[Client]>,
    pub(super) layout: Arc<Layout>,
    pub(super) database: Arc<str>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) spans: Arc<Spans>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Store {
    /// Contacts nobody yet.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        let server = Client::with_http_client(
            HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_CONNECTION).build(connector()?),
        )
        .with_url(&settings.url)
        .with_user(&settings.user)
        .with_password(&settings.password)
        .with_product_info("odometer", env!("CARGO_PKG_VERSION"));
        let server = (settings.layout.settings().into_iter())
            .fold(server, |server, (name, value)| server.with_setting(name, value));
        Ok(Self {
            client: server.clone().with_database(&settings.database),
            others: settings.layout.servers.iter().map(|url| server.clone().with_url(url)).collect(),
            server,
            layout: Arc::new(settings.layout.clone()),
            database: settings.database.as_str().into(),
            clock: Arc::default(),
            spans: Arc::default(),
        })
    }

    /// Whether the server answers and lets us in.
    pub async fn ping(&self) -> Result<(), StoreError> {
        execute(self.server.query("SELECT 1"), QUERY_TIMEOUT, || "ping ClickHouse".to_owned()).await
    }

    /// One synchronous insert, durable when it returns `Ok`. Without rows nothing is sent.
    pub(super) async fn insert<'r, T: Row + RowWrite>(
        &self,
        table: &str,
        mut rows: impl Iterator<Item = T::Value<'r>>,
        action: impl Fn() -> String,
    ) -> Result<(), StoreError> {
        let Some(first) = rows.next() else { return Ok(()) };
        within(INSERT_TIMEOUT, action, async {
            let mut insert = self.client.insert::<T>(table).await?;
            for (name, value) in INSERT_SETTINGS {
                insert = insert.with_setting(*name, *value);
            }
            for (name, value) in self.layout.insert_settings() {
                insert = insert.with_setting(name, value);
            }
            insert.write(&first).await?;
            for row in rows {
                insert.write(&row).await?;
            }
            insert.end().await
        })
        .await
    }
}

/// What makes an insert one synchronous act of the server, told by its answer alone.
pub(super) const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    // A distributed table waits for its shards.
    ("distributed_foreground_insert", "1"),
    // A replicated table keeps no memory of earlier inserts: ids do that.
    ("insert_deduplicate", "0"),
    ("max_partitions_per_insert_block", "0"),
];

fn connector() -> Result<hyper_rustls::HttpsConnector<HttpConnector>, StoreError> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.enforce_http(false);
    // A block is a few small writes; Nagle's algorithm would hold the last of them back.
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| StoreError::Refused {
            action: "prepare TLS for ClickHouse".to_owned(),
            cause: error.to_string(),
        })?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(connector)
}

pub(super) async fn execute(
    query: Query,
    limit: Duration,
    action: impl FnOnce() -> String,
) -> Result<(), StoreError> {
    within(limit, action, query.execute()).await
}

pub(super) async fn fetch<T: RowOwned + RowRead>(
    query: Query,
    action: impl FnOnce() -> String,
) -> Result<Vec<T>, StoreError> {
    within(QUERY_TIMEOUT, action, query.fetch_all::<T>()).await
}

/// Ends `work` with an error that says `action` where it fails or takes longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    action: impl FnOnce() -> String,
    work: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::new(action(), &error)),
        Err(_) => Err(StoreError::TimedOut { action: action(), seconds: limit.as_secs() }),
    }
}
