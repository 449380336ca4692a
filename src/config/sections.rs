//! Builds the configuration section by section and checks what keys say together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::reader::Scope;
use super::values::{self, Read, choice};
use super::{
    Cache, ClickHouse, ClockSource, Config, EntitlementsFail, Http, Kafka, Metering, Payments, Secret, Start,
    Topic, Webhooks, keys, properties,
};
use crate::decode::{Decoder, InvalidMeter, InvalidRules};
use crate::dedup::MAX_WIDTH;
use crate::event::{Aggregation, Format, MeterRule, Rules};
use crate::store::Layout;

/// Below this no lane's window and queue have room.
const LEAST_MEMORY: u64 = 1 << 20;
/// More than one member of a group can keep busy.
const MAX_THREADS: u64 = 64;
/// What one thread that reads can keep busy.
const DEFAULT_THREADS: u64 = 4;
/// A meter's number has 16 bits, and `api_calls` is one of them.
const MAX_METERS: usize = 1_000;

/// `None` where something that has no default can't be read; it has been reported then.
pub fn config(root: &Scope<'_>) -> Option<Config> {
    let region = root.get("region", values::region);
    let kafka = kafka(&root.section("kafka"));
    let clickhouse = clickhouse(&root.section("clickhouse"));
    let accounts_url = root.section("accounts").get("url", secret_of(values::accounts_url));
    let http = http(&root.section("http"));
    let ingest = root.section("ingest");
    let ingest_listen = ingest.optional("listen", values::listen_address);
    let ingest_threads = ingest.optional("threads", values::integer_within(1, MAX_THREADS));
    let operator_token = root.section("auth").get("operator_token", secret_of(values::text));
    let metering = metering(&root.section("metering"));
    let cache = root.section("cache");
    let entitlements = root.section("entitlements");
    let meters = meters(root);
    let regions = regions(root, &region);
    let payments = payments(&root.section("payments"));
    Some(Config {
        memory: root.get("memory", values::size(LEAST_MEMORY)),
        cache: Cache { dir: cache.get("dir", values::path), budget: cache.get("budget", values::size(1)) },
        shutdown_timeout: root.get("shutdown_timeout", values::positive_duration),
        entitlements_fail: entitlements.get(
            "fail",
            choice(&[
                ("open", EntitlementsFail::Open),
                ("closed", EntitlementsFail::Closed),
                ("auto", EntitlementsFail::Auto),
            ]),
        ),
        plans: plans(root),
        webhooks: webhooks(&root.section("webhooks")),
        clock: root.get("clock", choice(&[("system", ClockSource::System), ("test", ClockSource::Test)])),
        region,
        kafka,
        clickhouse: clickhouse?,
        accounts_url,
        http,
        ingest_listen,
        ingest_threads: ingest_threads.unwrap_or_else(threads),
        operator_token,
        metering,
        meters,
        regions,
        payments: payments?,
    })
}

/// One for each core, as far as reading keeps up.
fn threads() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| DEFAULT_THREADS.min(cores.get() as u64))
}

fn kafka(scope: &Scope<'_>) -> Kafka {
    let kafka = Kafka {
        brokers: scope.get("brokers", values::brokers),
        group: scope.get("group", values::text),
        topics: topics(scope),
        dead_letters: scope.get("dead_letters", values::topic),
        snapshots: scope.get("snapshots", values::topic),
        start: scope.get("start", choice(&[("earliest", Start::Earliest), ("latest", Start::Latest)])),
        batches: scope.get("batches", values::boolean),
        properties: properties::read(&scope.section("properties")),
    };
    for (key, name) in [("dead_letters", &kafka.dead_letters), ("snapshots", &kafka.snapshots)] {
        if kafka.topics.iter().any(|topic| topic.name == *name) {
            scope.report(
                key,
                format!("{name:?} is also one of kafka.topics: what is written there would be counted"),
            );
        }
    }
    if kafka.dead_letters == kafka.snapshots {
        scope.report(
            "snapshots",
            format!("{:?} is also kafka.dead_letters: give each its own topic", kafka.snapshots),
        );
    }
    kafka
}

fn topics(kafka: &Scope<'_>) -> Vec<Topic> {
    let Some(scopes) = kafka.list("topics") else { return Vec::new() };
    if scopes.is_empty() {
        kafka.report("topics", "names no topic: give at least one");
    }
    let mut names = BTreeSet::new();
    let mut topics = Vec::new();
    for scope in &scopes {
        let Some(topic) = topic(scope) else { continue };
        if !names.insert(topic.name.clone()) {
            scope.report("name", format!("{:?} is listed twice: keep one", topic.name));
        }
        topics.push(topic);
    }
    topics
}

fn topic(scope: &Scope<'_>) -> Option<Topic> {
    let name = scope.required("name", values::topic);
    let format = scope.required(
        "format",
        choice(&[
            ("cloudevents", Format::Cloudevents),
            ("kafka-log", Format::KafkaLog),
            ("batch", Format::Batch),
        ]),
    );
    let organization = scope.optional("organization", values::text);
    let region = scope.optional("region", values::text);
    let (name, format) = (name?, format?);
    let rules = Rules { format, organization: organization.clone(), region: region.clone(), ..bare_rules() };
    match Decoder::new(&name, &rules).err() {
        Some(InvalidRules::Organization { text, cause }) => {
            scope.report("organization", format!("{text:?}: {cause}"))
        }
        Some(InvalidRules::Region { text, cause }) => scope.report("region", format!("{text:?}: {cause}")),
        Some(other) => scope.report("organization", format!("is missing: {other}")),
        None => {}
    }
    Some(Topic { name, format, organization, region })
}

/// Rules that every decoder takes: what decides whether the others are sound is filled in.
fn bare_rules() -> Rules {
    Rules {
        format: Format::Batch,
        organization: None,
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: 1,
        accept_past_ms: 1,
        accept_future_ms: 1,
        max_event_bytes: 1,
    }
}

/// Serves `clickhouse` (all keys have defaults) and `regions.*.clickhouse` (its URL has none).
fn clickhouse(scope: &Scope<'_>) -> Option<ClickHouse> {
    let is_other_region = !scope.path().eq("clickhouse");
    let url = match is_other_region {
        true => scope.required("url", values::http_url),
        false => Some(scope.get("url", values::http_url)),
    };
    let database = scope.get("database", values::database_name);
    let user = scope.get("user", values::text);
    let password = scope.get("password", secret);
    let layout = Layout {
        cluster: scope.optional("cluster", values::text),
        // Tables are made where events are counted; elsewhere they are only read.
        servers: if is_other_region { Vec::new() } else { scope.get("servers", values::http_urls) },
        replicas: scope.get("replicas", values::integer(1)),
    };
    let is_spread = layout.cluster.is_some() || layout.replicas > 1;
    if !is_other_region && is_spread == scope.is_absent("servers") {
        let problem = match is_spread {
            true => "is missing: list the URLs of all servers that have tables",
            false => {
                "is given without clickhouse.cluster or clickhouse.replicas: one server is clickhouse.url"
            }
        };
        scope.report("servers", problem);
    }
    Some(ClickHouse { url: url?, database, user, password, layout })
}

fn http(scope: &Scope<'_>) -> Http {
    Http {
        listen: scope.get("listen", values::listen_address),
        public_url: scope.get("public_url", values::http_url),
    }
}

fn metering(scope: &Scope<'_>) -> Metering {
    Metering {
        dedup_window: scope.get("dedup_window", values::integer_within(1, MAX_WIDTH)),
        flush_interval: scope.get("flush_interval", values::positive_duration),
        snapshot_interval: scope.get("snapshot_interval", values::positive_duration),
        roll_interval: scope.get("roll_interval", values::positive_duration),
        accept_past: scope.get("accept_past", values::positive_duration),
        accept_future: scope.get("accept_future", values::positive_duration),
        max_event_bytes: scope.get("max_event_bytes", values::size(1)),
    }
}

fn meters(root: &Scope<'_>) -> Vec<MeterRule> {
    let Some(scopes) = root.list("meters") else { return Vec::new() };
    if scopes.len() > MAX_METERS {
        root.report("meters", format!("lists {} meters: at most {MAX_METERS} are possible", scopes.len()));
    }
    let mut names = BTreeSet::new();
    let mut meters = Vec::new();
    for scope in &scopes {
        let Some(meter) = meter(scope) else { continue };
        if !names.insert(meter.name.clone()) {
            scope.report("name", format!("{:?} is listed twice: keep one", meter.name));
        }
        meters.push(meter);
    }
    meters
}

fn meter(scope: &Scope<'_>) -> Option<MeterRule> {
    let name = scope.required("name", values::text);
    let event_type = scope.required("type", values::text);
    let value = scope.optional("value", values::text);
    let aggregation = scope.required(
        "aggregation",
        choice(&[("count", Aggregation::Count), ("sum", Aggregation::Sum), ("max", Aggregation::Max)]),
    );
    let meter = MeterRule { name: name?, event_type: event_type?, value, aggregation: aggregation? };
    let rules = Rules { meters: vec![meter.clone()], ..bare_rules() };
    if let Some(InvalidRules::Meter { cause, .. }) = Decoder::new("any", &rules).err() {
        let key = match &cause {
            InvalidMeter::Name | InvalidMeter::Reserved | InvalidMeter::Twice => "name",
            InvalidMeter::NoType | InvalidMeter::ServiceType(_) => "type",
            InvalidMeter::NoValue | InvalidMeter::Value { .. } => "value",
        };
        scope.report(key, cause.to_string());
    }
    Some(meter)
}

fn regions(root: &Scope<'_>, own: &str) -> BTreeMap<String, ClickHouse> {
    let scope = root.section("regions");
    let mut regions = BTreeMap::new();
    for (name, region) in scope.entries() {
        if let Err(message) = values::region(&name) {
            scope.report(&name, format!("{name:?} {message}"));
        }
        if name == own {
            scope.report(&name, format!("{name:?} is this deployment's own region: list only the others"));
        }
        if let Some(clickhouse) = clickhouse(&region.section("clickhouse")) {
            regions.insert(name, clickhouse);
        }
    }
    regions
}

/// The default file may be absent, any other must be there.
fn plans(root: &Scope<'_>) -> Option<PathBuf> {
    let path = root.get("plans", values::path);
    let default = keys::find("plans").and_then(|key| key.default).map(PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    if Some(&path) != default.as_ref() {
        root.report("plans", format!("{path:?} does not exist: name a price book that does"));
    }
    None
}

fn webhooks(scope: &Scope<'_>) -> Webhooks {
    Webhooks {
        sales: scope.optional("sales", secret_of(values::http_url)),
        notices: scope.optional("notices", secret_of(values::http_url)),
        secret: scope.optional("secret", secret_of(values::text)),
        allow_private: scope.get("allow_private", values::boolean),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Provider {
    Sandbox,
    Stripe,
}

fn payments(scope: &Scope<'_>) -> Option<Payments> {
    let provider =
        scope.get("provider", choice(&[("sandbox", Provider::Sandbox), ("stripe", Provider::Stripe)]));
    let webhook_secret = scope.optional("webhook_secret", secret_of(values::text));
    let base_url = scope.get("base_url", values::http_url);
    match provider {
        Provider::Sandbox => Some(Payments::Sandbox),
        Provider::Stripe => {
            let secret_key = scope.required("secret_key", secret_of(values::text))?;
            Some(Payments::Stripe { secret_key, webhook_secret, base_url })
        }
    }
}

fn secret(text: &str) -> Read<Secret> {
    let Ok(secret) = text.parse();
    Ok(secret)
}

/// A secret whose value, where it is given as it is, must be what `read` allows.
fn secret_of<T>(read: impl Fn(&str) -> Read<T>) -> impl Fn(&str) -> Read<Secret> {
    move |text| {
        let secret = secret(text)?;
        secret.as_literal().map(&read).transpose()?;
        Ok(secret)
    }
}
