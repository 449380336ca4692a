//! What the server says of itself and of our tables, for `odometer doctor`.

use clickhouse::Row;
use serde::Deserialize;

use super::client::{QUERY_TIMEOUT, fetch, within};
use super::{Store, StoreError};

/// Tables whose rows must survive a power cut once they are acknowledged.
const DURABLE_TABLES: [&str; 5] = ["counts", "service_changes", "prepared", "published", "rules"];
const DURABLE_SETTINGS: [&str; 2] = ["fsync_after_insert = 1", "fsync_part_directory = 1"];

/// A look at the server and the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub version: String,
    /// Epoch milliseconds by the server's clock.
    pub now_ms: i64,
    /// Tables that are missing; all where the database is.
    pub missing: Vec<&'static str>,
    /// Tables that are there without what makes them durable, with what they lack.
    pub not_durable: Vec<(&'static str, String)>,
    /// Of the server's fullest disk, in bytes: (free, all). `None` where the user may not know.
    pub disk: Option<(u64, u64)>,
}

#[derive(Row, Deserialize)]
struct ServerRecord {
    version: String,
    now_ms: i64,
}

#[derive(Row, Deserialize)]
struct TableRecord {
    name: String,
    engine: String,
    definition: String,
}

#[derive(Row, Deserialize)]
struct DiskRecord {
    free: u64,
    total: u64,
}

impl Store {
    pub async fn inspect(&self) -> Result<Inspection, StoreError> {
        let query =
            self.server.query("SELECT version() AS version, toUnixTimestamp64Milli(now64(3)) AS now_ms");
        let server = within(
            QUERY_TIMEOUT,
            || "ask ClickHouse for its version".to_owned(),
            query.fetch_one::<ServerRecord>(),
        );
        let server = server.await?;
        let query = self
            .server
            .query(
                "SELECT name, engine, create_table_query AS definition FROM system.tables
                WHERE database = {database:String}",
            )
            .param("database", &*self.database);
        let tables: Vec<TableRecord> =
            fetch(query, || format!("look at tables of {}", self.database)).await?;
        let (mut missing, mut not_durable) = (Vec::new(), Vec::new());
        for name in DURABLE_TABLES {
            match tables.iter().find(|table| table.name == name) {
                None => missing.push(name),
                Some(table) => not_durable.extend(lacks(table).map(|lack| (name, lack))),
            }
        }
        let query = self.server.query(
            "SELECT free_space AS free, total_space AS total FROM system.disks
            WHERE total_space > 0 ORDER BY free_space / total_space LIMIT 1",
        );
        let disks: Vec<DiskRecord> =
            fetch(query, || "ask ClickHouse for its disks".to_owned()).await.unwrap_or_default();
        Ok(Inspection {
            version: server.version,
            now_ms: server.now_ms,
            missing,
            not_durable,
            disk: disks.first().map(|disk| (disk.free, disk.total)),
        })
    }
}

/// A distributed table keeps nothing itself; the tables behind it are its servers'.
fn lacks(table: &TableRecord) -> Option<String> {
    if table.engine == "Distributed" {
        return None;
    }
    let lacking: Vec<&str> =
        DURABLE_SETTINGS.into_iter().filter(|setting| !table.definition.contains(setting)).collect();
    (!lacking.is_empty()).then(|| lacking.join(", "))
}
