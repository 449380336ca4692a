//! SQLite or Postgres behind one narrow door: the same statements, two kinds of value. Statements
//! keep to what both databases share; both read `$1` placeholders.

mod collation;
mod many;

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use sqlx::sqlite::{SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Column, Row as _, TypeInfo, ValueRef};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use many::{Many, rows_of};

/// How long a statement waits for another process's write to SQLite.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// Rows that SQLite's thread reads ahead of whoever asked. With the driver's 50, most of reading many
/// accounts at the start is two threads that wake each other.
const ROWS_AHEAD: usize = 2_000;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("accounts.url has the scheme {scheme:?}: use sqlite://FILE or postgres://HOST/DATABASE")]
    Scheme { scheme: String },
    #[error("open accounts database: {0}")]
    Open(#[source] sqlx::Error),
    #[error("migrate accounts database: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("query accounts database: {0}")]
    Query(#[from] sqlx::Error),
    #[error("read accounts database: column {column} of {statement:?} is not {expected}")]
    Column { statement: &'static str, column: usize, expected: &'static str },
    #[error("read accounts database: {what}")]
    Content { what: String },
}

pub type DatabaseResult<T> = Result<T, DatabaseError>;

impl DatabaseError {
    /// Whether it is what is stored that can't be read, and not the database that fails.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Column { .. } | Self::Content { .. })
    }

    /// Whether it is about what is stored or is to be, which another row may be without: it can't be
    /// read, or the database doesn't take it, by a constraint or for what it holds.
    pub fn is_of_content(&self) -> bool {
        /// Of SQLSTATE: data exceptions, such as a NUL in a text.
        const DATA_EXCEPTIONS: &str = "22";
        let Self::Query(sqlx::Error::Database(error)) = self else { return self.is_unreadable() };
        !matches!(error.kind(), sqlx::error::ErrorKind::Other)
            || error.code().is_some_and(|code| code.len() == 5 && code.starts_with(DATA_EXCEPTIONS))
    }
}

/// A NULL has a type too: Postgres asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(Some(value.into()))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

/// The values of a statement's `$1`, `$2`, …
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::accounts::database::Value::from($value)),*]
    };
}
pub(crate) use values;

/// One row; columns are counted from 0 in the order of the statement.
#[derive(Debug)]
pub struct Row {
    statement: &'static str,
    /// `None`: neither an integer nor a text, which whoever reads it is told.
    values: Vec<Option<Value>>,
}

impl Row {
    pub fn integer(&self, column: usize) -> DatabaseResult<i64> {
        self.optional_integer(column)?.ok_or_else(|| self.unexpected(column, "an integer"))
    }

    pub fn optional_integer(&self, column: usize) -> DatabaseResult<Option<i64>> {
        match self.values.get(column) {
            Some(Some(Value::Integer(value))) => Ok(*value),
            _ => Err(self.unexpected(column, "an integer")),
        }
    }

    pub fn flag(&self, column: usize) -> DatabaseResult<bool> {
        Ok(self.integer(column)? != 0)
    }

    pub fn text(&self, column: usize) -> DatabaseResult<&str> {
        self.optional_text(column)?.ok_or_else(|| self.unexpected(column, "a text"))
    }

    pub fn optional_text(&self, column: usize) -> DatabaseResult<Option<&str>> {
        match self.values.get(column) {
            Some(Some(Value::Text(value))) => Ok(value.as_deref()),
            Some(Some(Value::Integer(None))) => Ok(None),
            _ => Err(self.unexpected(column, "a text")),
        }
    }

    fn unexpected(&self, column: usize, expected: &'static str) -> DatabaseError {
        DatabaseError::Column { statement: self.statement, column, expected }
    }
}

#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
    /// SQLite takes one writer at a time: within the process they queue here, in order, instead of
    /// polling for the file's lock.
    writer: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Writes that happen together or not at all; dropped without [`Transaction::commit`], they don't.
#[derive(Debug)]
pub struct Transaction {
    open: OpenTransaction,
    _writer: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug)]
enum OpenTransaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Database {
    /// Opens the database, makes the file where there is none, and migrates it.
    pub async fn open(url: &str, max_connections: u32) -> DatabaseResult<Self> {
        let pool = match url.split_once(':').map_or("", |(scheme, _)| scheme) {
            "sqlite" => Pool::Sqlite(open_sqlite(url, max_connections).await?),
            "postgres" | "postgresql" => Pool::Postgres(open_postgres(url, max_connections).await?),
            scheme => return Err(DatabaseError::Scheme { scheme: scheme.to_owned() }),
        };
        let database = Self { pool, writer: Arc::default() };
        database.migrate().await?;
        if let Pool::Postgres(pool) = &database.pool {
            collation::order_by_bytes(pool, &tables()).await?;
        }
        Ok(database)
    }

    async fn migrate(&self) -> DatabaseResult<()> {
        // Postgres takes a lock of its own for this. On SQLite a second process that starts at the
        // same moment fails where the first has just made a table: then it looks again.
        let _writer = self.writer.lock().await;
        let mut attempts_left = 5;
        loop {
            let migrated = match &self.pool {
                Pool::Sqlite(pool) => MIGRATIONS.run(pool).await,
                Pool::Postgres(pool) => MIGRATIONS.run(pool).await,
            };
            match migrated {
                Ok(()) => return Ok(()),
                Err(error) if attempts_left == 0 => return Err(DatabaseError::Migrate(error)),
                Err(_) => attempts_left -= 1,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn begin(&self) -> DatabaseResult<Transaction> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                let writer = self.writer.clone().lock_owned().await;
                // Taking the write lock at once: a transaction that reads first and writes later
                // fails where another wrote in between.
                let open = OpenTransaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?);
                Transaction { open, _writer: Some(writer) }
            }
            Pool::Postgres(pool) => {
                Transaction { open: OpenTransaction::Postgres(pool.begin().await?), _writer: None }
            }
        })
    }

    pub async fn fetch_all(&self, sql: &'static str, values: &[Value]) -> DatabaseResult<Vec<Row>> {
        let mut rows = Vec::new();
        self.for_each(sql, values, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    pub async fn fetch_optional(&self, sql: &'static str, values: &[Value]) -> DatabaseResult<Option<Row>> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// Hands over row by row, for answers that may be too great to hold.
    pub async fn for_each(
        &self,
        sql: &'static str,
        values: &[Value],
        mut visit: impl FnMut(Row) -> DatabaseResult<()>,
    ) -> DatabaseResult<()> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut rows = bind_sqlite(sql, values).fetch(pool);
                while let Some(row) = rows.try_next().await? {
                    visit(read_sqlite(sql, &row)?)?;
                }
            }
            Pool::Postgres(pool) => {
                let mut rows = bind_postgres(sql, values).fetch(pool);
                while let Some(row) = rows.try_next().await? {
                    visit(read_postgres(sql, &row)?)?;
                }
            }
        }
        Ok(())
    }

    /// One statement that is a transaction of its own; answers the number of rows that it touched.
    pub async fn execute(&self, sql: &'static str, values: &[Value]) -> DatabaseResult<u64> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                let _writer = self.writer.lock().await;
                bind_sqlite(sql, values).execute(pool).await?.rows_affected()
            }
            Pool::Postgres(pool) => bind_postgres(sql, values).execute(pool).await?.rows_affected(),
        })
    }

    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Answers the number of rows that the statement touched.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> DatabaseResult<u64> {
        Ok(match &mut self.open {
            OpenTransaction::Sqlite(open) => {
                bind_sqlite(sql, values).execute(&mut **open).await?.rows_affected()
            }
            OpenTransaction::Postgres(open) => {
                bind_postgres(sql, values).execute(&mut **open).await?.rows_affected()
            }
        })
    }

    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value]) -> DatabaseResult<Vec<Row>> {
        match &mut self.open {
            OpenTransaction::Sqlite(open) => {
                let rows = bind_sqlite(sql, values).fetch_all(&mut **open).await?;
                rows.iter().map(|row| read_sqlite(sql, row)).collect()
            }
            OpenTransaction::Postgres(open) => {
                let rows = bind_postgres(sql, values).fetch_all(&mut **open).await?;
                rows.iter().map(|row| read_postgres(sql, row)).collect()
            }
        }
    }

    pub async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> DatabaseResult<Option<Row>> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    pub async fn commit(self) -> DatabaseResult<()> {
        match self.open {
            OpenTransaction::Sqlite(open) => open.commit().await?,
            OpenTransaction::Postgres(open) => open.commit().await?,
        }
        Ok(())
    }
}

/// The tables that migrations make.
fn tables() -> Vec<String> {
    let lines = MIGRATIONS.iter().flat_map(|migration| migration.sql.lines());
    let made = lines.filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split_whitespace().next());
    made.map(str::to_owned).collect()
}

async fn open_sqlite(url: &str, max_connections: u32) -> DatabaseResult<SqlitePool> {
    let options: SqliteConnectOptions = url.parse().map_err(DatabaseError::Open)?;
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD);
    // A database in memory belongs to its connection.
    let max_connections = if url.contains(":memory:") { 1 } else { max_connections };
    SqlitePoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(DatabaseError::Open)
}

async fn open_postgres(url: &str, max_connections: u32) -> DatabaseResult<PgPool> {
    let options: PgConnectOptions = url.parse().map_err(DatabaseError::Open)?;
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.application_name("odometer"))
        .await
        .map_err(DatabaseError::Open)
}

fn bind_sqlite<'q>(sql: &'static str, values: &'q [Value]) -> Query<'q, Sqlite, SqliteArguments<'q>> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Integer(value) => query.bind(*value),
        Value::Text(value) => query.bind(value.as_deref()),
    })
}

fn bind_postgres<'q>(sql: &'static str, values: &'q [Value]) -> Query<'q, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Integer(value) => query.bind(*value),
        Value::Text(value) => query.bind(value.as_deref()),
    })
}

fn read_sqlite(statement: &'static str, row: &SqliteRow) -> DatabaseResult<Row> {
    let read = |column: usize| {
        let raw = row.try_get_raw(column)?;
        Ok(match raw.type_info().name() {
            _ if raw.is_null() => Some(Value::Integer(None)),
            "TEXT" => row.try_get(column).ok().map(|text| Value::Text(Some(text))),
            _ => row.try_get(column).ok().map(|integer| Value::Integer(Some(integer))),
        })
    };
    let values = (0..row.columns().len()).map(read).collect::<Result<_, sqlx::Error>>()?;
    Ok(Row { statement, values })
}

fn read_postgres(statement: &'static str, row: &PgRow) -> DatabaseResult<Row> {
    let read = |column: usize| {
        if row.try_get_raw(column)?.is_null() {
            return Ok(Some(Value::Integer(None)));
        }
        Ok(match row.columns()[column].type_info().name() {
            "INT8" => row.try_get(column).ok().map(|integer| Value::Integer(Some(integer))),
            "INT4" => row.try_get::<i32, _>(column).ok().map(|integer| Value::Integer(Some(integer.into()))),
            _ => row.try_get(column).ok().map(|text| Value::Text(Some(text))),
        })
    };
    let values = (0..row.columns().len()).map(read).collect::<Result<_, sqlx::Error>>()?;
    Ok(Row { statement, values })
}
