//! The tables, the views, and how they come to be.

use super::client::{QUERY_TIMEOUT, execute, within};
use super::layout::Server;
use super::{Layout, Store, StoreError, closings, gate, recounts};

/// Counts up with every change of tables or views; `setup` brings older databases up to it.
const SCHEMA_VERSION: u32 = 4;

/// What a ledger row is made of, in both tables that have some.
const LEDGER_COLUMNS: &str = "
    topic LowCardinality(String),
    topic_id LowCardinality(String),
    partition Int32,
    consumer_group LowCardinality(String),
    token UInt64,
    tenure UInt128,
    sequence UInt64,
    block UInt128,
    kind Enum8('live' = 0, 'roll' = 1, 'recount' = 2),
    level UInt8,
    bucket UInt32,
    first_offset Int64,
    next_offset Int64,
    received UInt64,
    counted UInt64,
    duplicate UInt64,
    rejected UInt64,
    ignored UInt64,
    quantity UInt128,
    min_time Nullable(DateTime64(3, 'UTC')),
    max_time Nullable(DateTime64(3, 'UTC')),
    window_from Int64,
    leader_epoch Int32,
    digest UInt128,
    rules UInt128,
    loss String";

/// An insert that was acknowledged survives a power cut: the ledger must not outlive its counts.
const DURABLE: &str = "fsync_after_insert = 1, fsync_part_directory = 1";

/// Days that observations of watermarks are kept, by the server's clock: a test's clock may stand
/// years behind it.
const WATERMARK_DAYS: u32 = 40;

/// Of these every server has a part: what blocks say.
fn spread_tables(database: &str, layout: &Layout) -> Vec<String> {
    let (counts, service_changes) = (layout.local("counts"), layout.local("service_changes"));
    let engine = layout.engine("MergeTree", "");
    vec![
        // Sorted for one organization's month; all other columns are nearly constant within a part
        // or follow from the order, so they compress to little.
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{counts} (
    organization String CODEC(ZSTD(1)),
    meter LowCardinality(String),
    region LowCardinality(String),
    hour DateTime('UTC') CODEC(Delta, ZSTD(1)),
    fold Enum8('sum' = 0, 'max' = 1) CODEC(ZSTD(1)),
    block UInt128 CODEC(ZSTD(1)),
    value UInt128 CODEC(ZSTD(1)),
    level UInt8,
    bucket UInt32,
    INDEX hours hour TYPE minmax GRANULARITY 16
) ENGINE = {engine} PARTITION BY (level, bucket)
ORDER BY (organization, meter, region, hour, fold, block)
SETTINGS {DURABLE}, index_granularity = 2048"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.{service_changes} (
    organization String,
    region LowCardinality(String),
    service String,
    version Int64,
    time DateTime64(3, 'UTC'),
    source String,
    id String,
    existing Nullable(Bool),
    published Nullable(Bool),
    name Nullable(String),
    block UInt128,
    level UInt8,
    bucket UInt32
) ENGINE = {engine} PARTITION BY (level, bucket)
ORDER BY (organization, region, service, block)
SETTINGS {DURABLE}, index_granularity = 2048"
        ),
    ]
}

/// What decides which blocks count, and all else that is small.
fn deciding_tables(database: &str, layout: &Layout) -> Vec<String> {
    let engine = layout.engine("MergeTree", "");
    let replacing = |version: &str| layout.engine("ReplacingMergeTree", version);
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.prepared ({LEDGER_COLUMNS},
    prepared_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = {engine} PARTITION BY (level, bucket) ORDER BY block SETTINGS {DURABLE}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.published ({LEDGER_COLUMNS},
    published_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = {engine} PARTITION BY (level, bucket)
ORDER BY (topic, topic_id, partition, token, sequence, tenure, block)
SETTINGS {DURABLE}"
        ),
        // Of a lane's claims only the greatest by (token, tenure) matters.
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.claims (
    topic LowCardinality(String), topic_id LowCardinality(String), partition Int32, token UInt64,
    tenure UInt128
) ENGINE = {} ORDER BY (topic, topic_id, partition, tenure) SETTINGS {DURABLE}",
            replacing("token")
        ),
        // Partitions beyond the least number were added later, and are read from their beginning.
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.topics (
    topic LowCardinality(String), topic_id LowCardinality(String), partitions Int32
) ENGINE = {engine} ORDER BY (topic, topic_id) SETTINGS {DURABLE}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.rules (hash UInt128, rules String)
ENGINE = {} ORDER BY hash SETTINGS {DURABLE}",
            replacing("")
        ),
        // Of an idle lane's equal observations only the latest is kept.
        format!(
            "CREATE TABLE IF NOT EXISTS {database}.watermarks (
    topic LowCardinality(String),
    topic_id LowCardinality(String),
    partition Int32,
    high Int64 CODEC(Delta, ZSTD(1)),
    observed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now(),
    INDEX seen observed_at TYPE minmax GRANULARITY 1
) ENGINE = {} PARTITION BY toDate(observed_at)
ORDER BY (topic, topic_id, partition, high)
TTL stored_at + INTERVAL {WATERMARK_DAYS} DAY SETTINGS ttl_only_drop_parts = 1",
            replacing("observed_at")
        ),
        recounts::table(database, &replacing("answered")),
        closings::table(database, &engine, DURABLE),
    ]
}

/// What brings tables of older versions up to date; done again, they change nothing.
fn upgrades(database: &str) -> Vec<String> {
    vec![
        format!(
            "ALTER TABLE {database}.watermarks
            ADD COLUMN IF NOT EXISTS stored_at DateTime('UTC') DEFAULT now() AFTER observed_at"
        ),
        format!("ALTER TABLE {database}.watermarks MODIFY TTL stored_at + INTERVAL {WATERMARK_DAYS} DAY"),
        format!(
            "ALTER TABLE {database}.claims ADD COLUMN IF NOT EXISTS tenure UInt128,
            MODIFY ORDER BY (topic, topic_id, partition, tenure)"
        ),
    ]
}

/// The columns that the ledger's views take from its table, in the contract's order.
const LEDGER_VIEW_COLUMNS: &[&str] = &[
    "topic",
    "topic_id",
    "partition",
    "token",
    "block",
    "kind",
    "first_offset",
    "next_offset",
    "received",
    "counted",
    "duplicate",
    "rejected",
    "ignored",
    "quantity",
    "min_time",
    "max_time",
    "window_from",
    "digest",
    "rules",
    "loss",
    "published_at",
];

/// The value of one key: what is summed, and the greatest of what is not.
pub(super) const VALUE: &str = "sumIf(c.value, c.fold = 'sum') + maxIf(c.value, c.fold = 'max')";

fn views(database: &str, layout: &Layout, replace: bool) -> Vec<String> {
    let create = if replace { "CREATE OR REPLACE VIEW" } else { "CREATE VIEW IF NOT EXISTS" };
    let counting = format!("{} ({})", layout.among(), gate::counting_blocks(database));
    let whole = layout.whole();
    // What the events of one service say of one thing, the greatest by (version, time, source, id)
    // first; the value breaks ties.
    let said = |what: u8| {
        format!(
            "arrayReverseSort(arrayMap(event -> (event.1, assumeNotNull(event.{what})),
            arrayFilter(event -> isNotNull(event.{what}), events)))"
        )
    };
    let (existence, published, name) = (said(2), said(3), said(4));
    let ledger = gate::counting_rows(database, LEDGER_VIEW_COLUMNS);
    vec![
        format!(
            "{create} {database}.usage_hourly (organization String,
    region LowCardinality(String), meter LowCardinality(String), hour DateTime('UTC'), value UInt128)
AS SELECT c.organization AS organization, c.region AS region, c.meter AS meter, c.hour AS hour, {VALUE} AS value
FROM {database}.counts AS c WHERE c.block {counting}
GROUP BY organization, region, meter, hour{whole}"
        ),
        format!(
            "{create} {database}.usage_monthly (organization String,
    region LowCardinality(String), meter LowCardinality(String), month Date, value UInt64)
AS SELECT c.organization AS organization, c.region AS region, c.meter AS meter,
    toStartOfMonth(c.hour) AS month, toUInt64(least({VALUE}, toUInt128(18446744073709551615))) AS value
FROM {database}.counts AS c WHERE c.block {counting}
GROUP BY organization, region, meter, month{whole}"
        ),
        format!(
            "{create} {database}.ledger (topic LowCardinality(String), topic_id LowCardinality(String),
    partition Int32, token UInt64, block String, kind String, first_offset Int64, next_offset Int64,
    received UInt64, counted UInt64, duplicate UInt64, rejected UInt64, ignored UInt64, quantity UInt128,
    min_time Nullable(DateTime64(3, 'UTC')), max_time Nullable(DateTime64(3, 'UTC')), window_from Int64,
    digest String, config String, loss String, published_at DateTime64(3, 'UTC'))
AS SELECT topic, topic_id, partition, token, {block} AS block, toString(l.kind) AS kind, first_offset, next_offset,
    received, counted, duplicate, rejected, ignored, quantity, min_time, max_time, window_from,
    {digest} AS digest, {rules} AS config, loss, published_at
FROM ({ledger}) AS l WHERE first_offset < next_offset OR loss != ''",
            block = hex("l.block"),
            digest = hex("l.digest"),
            rules = hex("l.rules"),
        ),
        format!(
            "{create} {database}.services (organization String, region LowCardinality(String),
    service String, name String, published Bool, created_at DateTime64(3, 'UTC'),
    deleted_at Nullable(DateTime64(3, 'UTC')))
AS SELECT organization, region, service, {name}[1].2 AS name, {published}[1].2 AS published,
    arrayFilter(said -> said.1 > deletion, creations)[-1].1.2 AS created_at,
    if(existence[1].2, NULL, existence[1].1.2) AS deleted_at
FROM (
    SELECT organization, region, service, {existence} AS existence,
        arrayFilter(said -> said.2, existence) AS creations,
        arrayFilter(said -> NOT said.2 AND said.1 < creations[1].1, existence)[1].1 AS deletion, events
    FROM (
        SELECT organization, region, service,
            groupArray(((version, time, source, id), existing, published, name)) AS events
        FROM {database}.service_changes WHERE block {counting}
        GROUP BY organization, region, service
    )
)
WHERE notEmpty(creations){whole}"
        ),
    ]
}

/// 32 hex digits of a UInt128.
fn hex(column: &str) -> String {
    format!("lower(leftPad(hex({column}), 32, '0'))")
}

/// Text as it stands in statements. A brace or a question mark would mean something to whoever
/// builds a statement around it.
pub(super) fn literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", text.replace('{', "\\x7B").replace('?', "\\x3F"))
}

impl Store {
    /// Makes the database, its tables and its views where they are missing or older, on each server
    /// its own. May be called by several processes at once, and again at any time.
    pub async fn setup(&self) -> Result<(), StoreError> {
        let servers = self.servers().await?;
        let database = self.quoted_database();
        for server in &servers {
            self.change(server, &format!("CREATE DATABASE IF NOT EXISTS {database}")).await?;
        }
        let deciding = || servers.iter().filter(|server| server.decides);
        for server in deciding() {
            let engine = self.layout.engine("MergeTree", "");
            let versions = format!(
                "CREATE TABLE IF NOT EXISTS {database}.schema_version (
                version UInt32, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
            ) ENGINE = {engine} ORDER BY version SETTINGS {DURABLE}"
            );
            self.change(server, &versions).await?;
        }
        let version = self.schema_version().await?;
        if version > SCHEMA_VERSION {
            return Err(StoreError::damaged(
                format!("set up database {}", self.database),
                format!("it has schema {version}, made by a newer odometer; this one knows {SCHEMA_VERSION}"),
            ));
        }
        for server in &servers {
            self.set_up_server(server, version).await?;
        }
        if version < SCHEMA_VERSION {
            // Replicas pass them on to one another.
            for server in deciding().take(1).filter(|_| version > 0) {
                for statement in upgrades(&database) {
                    self.change(server, &statement).await?;
                }
            }
            let record = format!("INSERT INTO {database}.schema_version (version) VALUES ({SCHEMA_VERSION})");
            let query = self.with_insert_settings(self.server.query_raw(&record));
            execute(query, QUERY_TIMEOUT, || format!("set up database {}", self.database)).await?;
        }
        Ok(())
    }

    async fn set_up_server(&self, server: &Server, version: u32) -> Result<(), StoreError> {
        let database = self.quoted_database();
        self.check_layout(server).await?;
        let mut statements = spread_tables(&database, &self.layout);
        if server.decides {
            // A database that was moved onto a cluster has views over tables that are elsewhere now,
            // until a set-up has come to its end.
            let replace = version < SCHEMA_VERSION || self.layout.cluster.is_some();
            statements.extend(self.layout.distributed_tables(&database, &self.database));
            statements.extend(deciding_tables(&database, &self.layout));
            statements.extend(views(&database, &self.layout, replace));
        }
        for statement in &statements {
            self.change(server, statement).await?;
        }
        Ok(())
    }

    async fn schema_version(&self) -> Result<u32, StoreError> {
        let query = self.client.query("SELECT max(version) FROM schema_version").fetch_one::<u32>();
        within(QUERY_TIMEOUT, || format!("read schema version of {}", self.database), query).await
    }

    async fn change(&self, server: &Server, statement: &str) -> Result<(), StoreError> {
        let action = || format!("set up database {}", server.about(&self.database));
        execute(server.client.query_raw(statement), QUERY_TIMEOUT, action).await
    }

    /// The database's name as it stands in statements.
    pub(super) fn quoted_database(&self) -> String {
        format!("`{}`", self.database.replace('\\', "\\\\").replace('`', "\\`"))
    }
}
