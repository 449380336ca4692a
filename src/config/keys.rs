//! Every configuration key with its default and meaning. The reader takes defaults from here, and
//! `docs/configuration.md` is made from here, so that neither can say anything else.

/// One key, or a pattern of keys: `*` stands for any name, `[]` for each item of a list.
pub struct Key {
    pub path: &'static str,
    pub kind: &'static str,
    /// YAML; `None` where there is no default.
    pub default: Option<&'static str>,
    pub meaning: &'static str,
}

const fn key(
    path: &'static str,
    kind: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> Key {
    Key { path, kind, default, meaning }
}

/// In the order of the file.
pub const KEYS: &[Key] = &[
    key("region", "region", Some("us"), "The region of this deployment, and of every event that names none."),
    key(
        "kafka.brokers",
        "text",
        Some("127.0.0.1:9092"),
        "Brokers to start from: `host:port`, separated by commas.",
    ),
    key(
        "kafka.group",
        "text",
        Some("odometer"),
        "The consumer group. All `ingest` processes of one database share it.",
    ),
    key(
        "kafka.topics",
        "list",
        Some(
            "[{ name: gateway.events, format: cloudevents }, \
             { name: gateway.logs, format: kafka-log, organization: konnect.org_id, region: konnect.geo }]",
        ),
        "The topics that are counted.",
    ),
    key(
        "kafka.topics[].name",
        "topic",
        None,
        "The topic's name. Compacted topics are refused: they lose events.",
    ),
    key(
        "kafka.topics[].format",
        "choice",
        None,
        "`cloudevents`, `kafka-log` or `batch`; see [formats](formats.md).",
    ),
    key(
        "kafka.topics[].organization",
        "locator",
        None,
        "Where the organization is: a dotted path into the record, `header:NAME`, or `topic:PATTERN` with one \
         capture group. Needed for `kafka-log`; else the format's own place.",
    ),
    key(
        "kafka.topics[].region",
        "locator",
        None,
        "Where the region is, likewise; else the format's own place.",
    ),
    key(
        "kafka.dead_letters",
        "topic",
        Some("odometer.dead-letters"),
        "Where rejected events go, with the reason.",
    ),
    key("kafka.snapshots", "topic", Some("odometer.snapshots"), "The compacted topic of usage snapshots."),
    key(
        "kafka.start",
        "choice",
        Some("earliest"),
        "Where a lane without any history starts: `earliest` or `latest`. Partitions that are added to a topic later start at their beginning.",
    ),
    key(
        "kafka.batches",
        "boolean",
        Some("true"),
        "Whether records are taken from librdkafka in batches. `false` takes them one by one, which is slower and counts the same.",
    ),
    key(
        "kafka.properties",
        "map",
        Some("{}"),
        "Properties of librdkafka for every connection: TLS, SASL, OAUTHBEARER and so on.",
    ),
    key(
        "kafka.properties.*",
        "secret",
        None,
        "One property. In the environment `_` says `.`: `ODOMETER__KAFKA__PROPERTIES__SASL_USERNAME`.",
    ),
    key(
        "clickhouse.url",
        "URL",
        Some("http://127.0.0.1:8123"),
        "ClickHouse's HTTP interface: `http://` or `https://`.",
    ),
    key("clickhouse.database", "name", Some("odometer"), "The database; `odometer setup` makes it."),
    key("clickhouse.user", "text", Some("default"), "The user."),
    key("clickhouse.password", "secret", Some("\"\""), "The user's password."),
    key(
        "clickhouse.cluster",
        "text",
        None,
        "The name in ClickHouse's `remote_servers` of the cluster over whose shards counts are spread; see [operations](operations.md). Without it, one shard.",
    ),
    key(
        "clickhouse.servers",
        "URLs",
        Some("\"\""),
        "With a cluster or replicas: all servers that have tables, separated by commas. `clickhouse.url` is one of the first shard, or leads to them.",
    ),
    key(
        "clickhouse.replicas",
        "integer",
        Some("1"),
        "Replicas of each shard. From 2 on the tables are replicated, and an insert waits until all have it.",
    ),
    key(
        "accounts.url",
        "secret",
        Some("sqlite://odometer.db"),
        "The accounts database: `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`.",
    ),
    key(
        "http.listen",
        "address",
        Some("127.0.0.1:8080"),
        "Where `serve` listens: `HOST:PORT`; port 0 takes a free one.",
    ),
    key(
        "http.public_url",
        "URL",
        Some("http://127.0.0.1:8080"),
        "How people reach `serve`; links are made from it.",
    ),
    key(
        "ingest.listen",
        "address",
        None,
        "Where `ingest`, as a process of its own, answers `/healthz`, `/readyz` and `/metrics`: `HOST:PORT`; port 0 takes a free one. Without it, nowhere.",
    ),
    key(
        "ingest.threads",
        "integer",
        None,
        "Threads that count, each its share of the process's lanes: 1 to 64. Without it, as many as the process has cores, at most 4: \
         what one thread that reads can keep busy.",
    ),
    key(
        "auth.operator_token",
        "secret",
        Some("env:ODOMETER_TOKEN"),
        "The token that may do everything. `serve` needs it.",
    ),
    key(
        "metering.dedup_window",
        "integer",
        Some("4194304"),
        "How many offsets back in its lane an event's key is remembered; at least 1, at most 2147483648.",
    ),
    key("metering.flush_interval", "duration", Some("1s"), "How often counts are published."),
    key(
        "metering.snapshot_interval",
        "duration",
        Some("1s"),
        "How often an organization's snapshot is produced, at most.",
    ),
    key("metering.roll_interval", "duration", Some("10m"), "How often small blocks are rolled up."),
    key(
        "metering.accept_past",
        "duration",
        Some("35d"),
        "How much older than its record an event may be (`too_old`).",
    ),
    key(
        "metering.accept_future",
        "duration",
        Some("1h"),
        "How much newer than its record an event may be (`too_new`).",
    ),
    key("metering.max_event_bytes", "size", Some("1MiB"), "The greatest record value (`too_large`)."),
    key(
        "memory",
        "size",
        Some("1GiB"),
        "For windows and queues of all lanes together; beyond it windows go to disk.",
    ),
    key(
        "cache.dir",
        "path",
        Some("./odometer-cache"),
        "The folder of the windows and their journals. Losing it costs time, no counts. Processes that share it find \
         each other's journals, so that a lane takes its window along from one to another.",
    ),
    key(
        "cache.budget",
        "size",
        Some("20GiB"),
        "The folder's limit, for windows and their journals. A journal that finds no room is given up, which costs time at the next start; a window that must grow waits, and its lane with it: it never shrinks.",
    ),
    key("shutdown_timeout", "duration", Some("20s"), "How long stopping may take after SIGTERM."),
    key(
        "entitlements.fail",
        "choice",
        Some("auto"),
        "What to answer when usage is unknown: `open`, `closed`, or `auto` (closed where overage blocks, open where \
         it is charged).",
    ),
    key(
        "meters",
        "list",
        Some("[]"),
        "More meters, beside `api_calls`, `services`, `published_services` and `regions`.",
    ),
    key("meters[].name", "name", None, "The meter's name: 1 to 64 of `a-z`, `0-9` and `_`."),
    key("meters[].type", "text", None, "The event type that it takes."),
    key(
        "meters[].value",
        "path",
        None,
        "The dotted path of the value, e.g. `data.tokens`. Needed for `sum` and `max`.",
    ),
    key("meters[].aggregation", "choice", None, "`count`, `sum` or `max`."),
    key("regions", "map", Some("{}"), "Other regions that `serve` reads from, by name."),
    key("regions.*.clickhouse.url", "URL", None, "That region's ClickHouse."),
    key("regions.*.clickhouse.database", "name", Some("odometer"), "That region's database."),
    key("regions.*.clickhouse.user", "text", Some("default"), "That region's user."),
    key("regions.*.clickhouse.password", "secret", Some("\"\""), "That region's password."),
    key("regions.*.clickhouse.cluster", "text", None, "That region's cluster."),
    key("regions.*.clickhouse.replicas", "integer", Some("1"), "That region's replicas of each shard."),
    key(
        "plans",
        "path",
        Some("plans.yaml"),
        "The price book. `plans.yaml` may be absent: then the built-in Free, Plus and Enterprise hold. Any other \
         file that is named must exist.",
    ),
    key("webhooks.sales", "secret", None, "The URL that hears of sales requests."),
    key("webhooks.notices", "secret", None, "The URL that hears of notices, e.g. that a trial ends."),
    key("webhooks.secret", "secret", None, "What webhooks are signed with (Standard Webhooks)."),
    key("webhooks.allow_private", "boolean", Some("false"), "Whether webhooks may go to private addresses."),
    key("payments.provider", "choice", Some("sandbox"), "`sandbox` or `stripe`."),
    key("payments.secret_key", "secret", None, "The provider's API key. Needed for `stripe`."),
    key("payments.webhook_secret", "secret", None, "What the provider signs its webhooks with."),
    key("payments.base_url", "URL", Some("https://api.stripe.com"), "The provider's API."),
    key(
        "clock",
        "choice",
        Some("system"),
        "`system`, or `test`: the operator sets the time, for trying things out.",
    ),
];

/// The key's entry; `path` is a pattern.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether some key lies at `pattern` or below it.
pub fn covers(pattern: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
    })
}

/// The pattern of a key named `name` below `pattern`, if there is one.
pub fn below(pattern: &str, name: &str) -> Option<String> {
    let exact = join(pattern, name);
    let any = join(pattern, "*");
    if name != "*" && covers(&exact) { Some(exact) } else { covers(&any).then_some(any) }
}

pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Names that differ by this much at most are taken for slips of the pen.
const MAX_SLIPS: usize = 2;

/// The key that was probably meant by `name` below `pattern`: one beside it that is spelled much
/// like it, or the only one of that very name elsewhere.
pub fn suggest(pattern: &str, name: &str) -> Option<String> {
    let depth = if pattern.is_empty() { 0 } else { pattern.len() + 1 };
    let beside = KEYS.iter().filter(|key| covers_strictly(pattern, key.path)).map(|key| {
        let rest = &key.path[depth..];
        &rest[..rest.find(['.', '[']).unwrap_or(rest.len())]
    });
    let closest = beside
        .map(|candidate| (strsim::damerau_levenshtein(candidate, &name.to_lowercase()), candidate))
        .filter(|(slips, candidate)| *slips <= MAX_SLIPS && *slips < candidate.len())
        .min();
    if let Some((_, candidate)) = closest {
        return Some(join(pattern, candidate));
    }
    let mut elsewhere = KEYS.iter().filter(|key| key.path.ends_with(&format!(".{name}")));
    match (elsewhere.next(), elsewhere.next()) {
        (Some(only), None) => Some(only.path.to_owned()),
        _ => None,
    }
}

fn covers_strictly(pattern: &str, path: &str) -> bool {
    pattern.is_empty() || path.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.'))
}

/// The table of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut table = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = key.default.map_or_else(|| "–".to_owned(), |default| format!("`{default}`"));
        let row = format!("| `{}` | {} | {default} | {} |\n", key.path, key.kind, key.meaning);
        table.push_str(&row);
    }
    table
}
