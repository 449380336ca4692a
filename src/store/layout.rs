//! Where the tables lie: on one server, or on the shards of a cluster; each once, or on replicas.
//!
//! What blocks say (`counts`, `service_changes`) is spread over all shards by organization: such a
//! table is then a Distributed one over a `…_local` table of each server. All other tables are small
//! and decide what counts. They lie on the first shard, where every statement is sent to, and so are
//! read and written as on a single server: nothing about the ledger is ever asked of a second one.
//!
//! - An insert into a distributed table returns when every shard has its part (`client.rs`), and the
//!   ledger row is written after it: so a ledger row's counts are visible to whoever sees the row.
//! - A condition about blocks is evaluated once, on the first shard, and then sent to the others
//!   (`GLOBAL IN`): all shards are judged by one state of the ledger, read before their rows.
//! - A shard that does not answer is an error, never a smaller sum.
//! - Readers ask all shards, also for one organization: so where a shard is added later, rows that
//!   lie elsewhere than new ones would are found all the same.
//!
//! On replicas an insert returns when all of its shard's replicas have it. So it does not matter
//! which of them a reader or the next owner asks: each has everything that was ever acknowledged.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::client::{QUERY_TIMEOUT, fetch, within};
use super::schema::literal;
use super::{Store, StoreError};

/// Tables of which each shard has a part.
pub(super) const SPREAD_TABLES: [&str; 2] = ["counts", "service_changes"];

/// How a database is laid out over servers. By default: one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the server's `remote_servers`.
    pub cluster: Option<String>,
    /// The HTTP URLs of all servers that have tables; none: the one that statements are sent to.
    pub servers: Vec<String>,
    /// Of each shard.
    pub replicas: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { cluster: None, servers: Vec::new(), replicas: 1 }
    }
}

impl Layout {
    fn is_replicated(&self) -> bool {
        self.replicas > 1
    }

    /// A MergeTree engine with its own parameters (`version` of a ReplacingMergeTree).
    pub(super) fn engine(&self, family: &str, parameter: &str) -> String {
        let replica = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'";
        match (self.is_replicated(), parameter) {
            (false, "") => family.to_owned(),
            (false, _) => format!("{family}({parameter})"),
            (true, "") => format!("Replicated{family}({replica})"),
            (true, _) => format!("Replicated{family}({replica}, {parameter})"),
        }
    }

    /// The table that has a server's own part of a spread table's rows.
    pub(super) fn local(&self, table: &str) -> String {
        if self.cluster.is_some() { format!("{table}_local") } else { table.to_owned() }
    }

    /// Before a list of blocks or partitions that a statement about a spread table reads elsewhere.
    pub(super) fn among(&self) -> &'static str {
        if self.cluster.is_some() { "GLOBAL IN" } else { "IN" }
    }

    /// Behind a statement of a view: it asks every shard and adds up what they answer, whatever its
    /// user prefers.
    pub(super) fn whole(&self) -> String {
        if self.cluster.is_none() {
            return String::new();
        }
        let settings = WHOLE.map(|(name, value)| format!("{name} = {value}"));
        format!(" SETTINGS {}", settings.join(", "))
    }

    /// The tables over the parts of all shards.
    pub(super) fn distributed_tables(&self, quoted: &str, database: &str) -> Vec<String> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let distributed = |table: &&str| {
            let local = self.local(table);
            format!(
                "CREATE TABLE IF NOT EXISTS {quoted}.{table} AS {quoted}.{local}
                ENGINE = Distributed({}, {}, {local}, cityHash64(organization))",
                literal(cluster),
                literal(database)
            )
        };
        SPREAD_TABLES.iter().map(distributed).collect()
    }

    /// What every statement says to the server.
    pub(super) fn settings(&self) -> Vec<(&'static str, &'static str)> {
        if self.cluster.is_none() {
            return Vec::new();
        }
        // A roll passes through the first shard, which knows the blocks that it copies.
        WHOLE.into_iter().chain([("parallel_distributed_insert_select", "0")]).collect()
    }

    /// What an insert says beside that.
    pub(super) fn insert_settings(&self) -> Vec<(&'static str, String)> {
        if !self.is_replicated() {
            return Vec::new();
        }
        vec![
            ("insert_quorum", self.replicas.to_string()),
            // Lanes insert side by side.
            ("insert_quorum_parallel", "1".to_owned()),
            ("insert_quorum_timeout", QUORUM_TIMEOUT_MS.to_string()),
        ]
    }

    /// The engine that a table has in this layout, as `system.tables` begins it.
    fn expected_engine(&self, table: &str) -> String {
        match &self.cluster {
            Some(cluster) if SPREAD_TABLES.contains(&table) => format!("Distributed({},", literal(cluster)),
            _ if self.is_replicated() => "Replicated".to_owned(),
            _ => String::new(),
        }
    }
}

/// A shard that is away is an error; none is left out for its key, since rows lie where they were
/// before a shard was added; and groups of several shards are added up.
const WHOLE: [(&str, &str); 4] = [
    ("skip_unavailable_shards", "0"),
    ("optimize_skip_unused_shards", "0"),
    ("optimize_distributed_group_by_sharding_key", "0"),
    ("distributed_group_by_no_merge", "0"),
];

/// Less than a client waits for its insert.
const QUORUM_TIMEOUT_MS: u64 = 25_000;

/// One server that has tables.
pub(super) struct Server {
    /// Without a database.
    pub client: Client,
    /// Empty where there is only one.
    pub url: String,
    /// Whether it has the tables that decide, not only its part of the spread ones.
    pub decides: bool,
}

impl Server {
    /// Something of this server, for people.
    pub(super) fn about(&self, name: &str) -> String {
        if self.url.is_empty() { name.to_owned() } else { format!("{name} of {}", self.url) }
    }
}

/// A server's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub(super) struct Place {
    shard: u32,
    replica: u32,
    /// Whether a distributed table writes to one replica and leaves the others to replication.
    internal_replication: u8,
}

const PLACES: &str = "SELECT shard_num AS shard, replica_num AS replica, internal_replication
    FROM system.clusters WHERE cluster = {cluster:String} ORDER BY shard, replica";
const OWN_PLACES: &str = "SELECT shard_num AS shard, replica_num AS replica, internal_replication
    FROM system.clusters WHERE cluster = {cluster:String} AND is_local ORDER BY shard, replica";

/// Each shard has as many replicas as the configuration says, and replication alone copies rows.
fn check_places(cluster: &str, places: &[Place], replicas: u64) -> Result<(), String> {
    if places.is_empty() {
        return Err(format!("the server knows no cluster {cluster}: name it in its remote_servers"));
    }
    for shard in places.chunk_by(|one, other| one.shard == other.shard) {
        let number = shard[0].shard;
        if shard.len() as u64 != replicas {
            return Err(format!(
                "shard {number} of cluster {cluster} has {} replicas, clickhouse.replicas is {replicas}",
                shard.len()
            ));
        }
        if replicas > 1 && shard.iter().any(|place| place.internal_replication == 0) {
            return Err(format!(
                "shard {number} of cluster {cluster} lacks <internal_replication>true</internal_replication>: \
                 rows would be written twice"
            ));
        }
    }
    Ok(())
}

/// All of the cluster's servers are configured, and statements go to one of its first shard.
fn check_servers(cluster: &str, places: &[Place], own: &[Place], first: &Place) -> Result<(), String> {
    let missing = places.iter().find(|place| !own.contains(place));
    if let Some(Place { shard, replica, .. }) = missing {
        return Err(format!(
            "clickhouse.servers lacks replica {replica} of shard {shard} of cluster {cluster}: list every server"
        ));
    }
    if first.shard != places[0].shard {
        return Err(format!(
            "clickhouse.url is a server of shard {} of cluster {cluster}: it must be one of the first, {}",
            first.shard, places[0].shard
        ));
    }
    Ok(())
}

impl Store {
    /// The servers that have tables, each with its part. In a cluster they are asked which is whose,
    /// and what contradicts the configuration is refused.
    pub(super) async fn servers(&self) -> Result<Vec<Server>, StoreError> {
        let Some(cluster) = &self.layout.cluster else {
            return Ok(self.table_servers(|_| true));
        };
        let places = places(&self.server, PLACES, cluster).await?;
        let refused =
            |cause| StoreError::Refused { action: "look at ClickHouse's servers".to_owned(), cause };
        check_places(cluster, &places, self.layout.replicas).map_err(refused)?;
        let mut own = Vec::with_capacity(self.layout.servers.len());
        for (url, server) in self.layout.servers.iter().zip(self.others.iter()) {
            own.push(own_place(server, url, cluster).await?);
        }
        let first = own_place(&self.server, "clickhouse.url", cluster).await?;
        check_servers(cluster, &places, &own, &first).map_err(refused)?;
        Ok(self.table_servers(|index| own[index].shard == places[0].shard))
    }

    fn table_servers(&self, decides: impl Fn(usize) -> bool) -> Vec<Server> {
        if self.others.is_empty() {
            return vec![Server { client: self.server.clone(), url: String::new(), decides: true }];
        }
        let server = |(index, (url, client)): (usize, (&String, &Client))| Server {
            client: client.clone(),
            url: url.clone(),
            decides: decides(index),
        };
        self.layout.servers.iter().zip(self.others.iter()).enumerate().map(server).collect()
    }

    /// Refuses tables that were made for another layout.
    pub(super) async fn check_layout(&self, server: &Server) -> Result<(), StoreError> {
        let action = || format!("look at tables of {}", self.database);
        let query = server
            .client
            .query("SELECT name, engine_full FROM system.tables WHERE database = {database:String}");
        let tables: Vec<(String, String)> = fetch(query.param("database", &*self.database), action).await?;
        for (name, engine) in &tables {
            let is_ours = SPREAD_TABLES.contains(&name.as_str()) || name == "published";
            let expected = self.layout.expected_engine(name);
            let is_foreign = engine.starts_with("Distributed") && expected.is_empty();
            if is_ours && (is_foreign || !engine.starts_with(&expected)) {
                let table = server.about(name);
                return Err(StoreError::damaged(
                    format!("set up database {}", self.database),
                    format!(
                        "table {table} is a {}, made for another clickhouse.cluster or clickhouse.replicas; \
                         docs/operations.md says how to move",
                        engine.split(['(', ' ']).next().unwrap_or_default()
                    ),
                ));
            }
        }
        Ok(())
    }
}

async fn places(server: &Client, sql: &str, cluster: &str) -> Result<Vec<Place>, StoreError> {
    fetch(server.query(sql).param("cluster", cluster), || format!("look at cluster {cluster}")).await
}

async fn own_place(server: &Client, url: &str, cluster: &str) -> Result<Place, StoreError> {
    let action = || format!("look for {url} in cluster {cluster}");
    let own = server.query(OWN_PLACES).param("cluster", cluster).fetch_all::<Place>();
    match within(QUERY_TIMEOUT, action, own).await?.as_slice() {
        [place] => Ok(place.clone()),
        own => {
            let cause = format!("it is there {} times, by its host and tcp_port: once is right", own.len());
            Err(StoreError::Refused { action: action(), cause })
        }
    }
}

#[cfg(test)]
mod tests;
