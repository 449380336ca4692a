//! What the server says of itself and of our tables, for `odometer doctor`.

use clickhouse::Row;
use serde::Deserialize;

use super::client::{QUERY_TIMEOUT, fetch, within};
use super::layout::{SPREAD_TABLES, Server};
use super::{Store, StoreError};

/// Tables whose rows must survive a power cut once they are acknowledged: of every server, and of
/// those that have the ledger.
const DURABLE_EVERYWHERE: [&str; 2] = SPREAD_TABLES;
const DURABLE_WHERE_DECIDED: [&str; 3] = ["prepared", "published", "rules"];
const DURABLE_SETTINGS: [&str; 2] = ["fsync_after_insert = 1", "fsync_part_directory = 1"];

/// A look at the server and the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub version: String,
    /// Epoch milliseconds by the server's clock.
    pub now_ms: i64,
    /// Tables that are missing; all where the database is.
    pub missing: Vec<String>,
    /// Tables that are there without what makes them durable, with what they lack.
    pub not_durable: Vec<(String, String)>,
    /// Of the fullest disk of all servers, in bytes: (free, all). `None` where the user may not know.
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
        let ServerRecord { version, now_ms } = server.await?;
        let mut inspection =
            Inspection { version, now_ms, missing: Vec::new(), not_durable: Vec::new(), disk: None };
        for server in self.servers().await? {
            self.inspect_tables(&server, &mut inspection).await?;
            let fullest = [inspection.disk, fullest_disk(&server).await].into_iter().flatten();
            inspection.disk =
                fullest.min_by_key(|(free, total)| u128::from(*free) * 1_000_000 / u128::from(*total));
        }
        Ok(inspection)
    }

    async fn inspect_tables(&self, server: &Server, inspection: &mut Inspection) -> Result<(), StoreError> {
        let query = server.client.query(
            "SELECT name, create_table_query AS definition FROM system.tables
            WHERE database = {database:String}",
        );
        let tables: Vec<TableRecord> = fetch(query.param("database", &*self.database), || {
            format!("look at tables of {}", self.database)
        })
        .await?;
        let deciding: &[&str] = if server.decides { &DURABLE_WHERE_DECIDED } else { &[] };
        let names = DURABLE_EVERYWHERE.iter().map(|table| self.layout.local(table));
        for name in names.chain(deciding.iter().map(|table| (*table).to_owned())) {
            match tables.iter().find(|table| table.name == name) {
                None => inspection.missing.push(server.about(&name)),
                Some(table) => {
                    inspection.not_durable.extend(lacks(table).map(|lack| (server.about(&name), lack)));
                }
            }
        }
        Ok(())
    }
}

/// (free, all) in bytes, where the user may know.
async fn fullest_disk(server: &Server) -> Option<(u64, u64)> {
    let query = server.client.query(
        "SELECT free_space AS free, total_space AS total FROM system.disks
        WHERE total_space > 0 ORDER BY free_space / total_space LIMIT 1",
    );
    let disks: Vec<DiskRecord> =
        fetch(query, || "ask ClickHouse for its disks".to_owned()).await.unwrap_or_default();
    disks.first().map(|disk| (disk.free, disk.total))
}

fn lacks(table: &TableRecord) -> Option<String> {
    let lacking: Vec<&str> =
        DURABLE_SETTINGS.into_iter().filter(|setting| !table.definition.contains(setting)).collect();
    (!lacking.is_empty()).then(|| lacking.join(", "))
}
