use std::time::Duration;

use super::*;
use crate::event::Aggregation;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("odometer.yaml", text, [])
}

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

/// The only problem with a configuration.
fn problem(text: &str) -> String {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

#[test]
fn the_built_in_defaults_are_the_contracts() {
    let config = Config::built_in();
    assert_eq!(config.region, "us");
    assert_eq!(config.kafka.brokers, "127.0.0.1:9092");
    assert_eq!(config.kafka.group, "odometer");
    let topics: Vec<_> = config.kafka.topics.iter().map(|t| (t.name.as_str(), t.format)).collect();
    assert_eq!(topics, [("gateway.events", Format::Cloudevents), ("gateway.logs", Format::KafkaLog)]);
    assert_eq!(config.kafka.topics[1].organization.as_deref(), Some("konnect.org_id"));
    assert_eq!(config.kafka.topics[1].region.as_deref(), Some("konnect.geo"));
    assert_eq!(config.kafka.dead_letters, "odometer.dead-letters");
    assert_eq!(config.kafka.snapshots, "odometer.snapshots");
    assert_eq!(config.kafka.start, Start::Earliest);
    assert!(config.kafka.properties.is_empty());
    assert_eq!(config.clickhouse.url, "http://127.0.0.1:8123");
    assert_eq!(config.clickhouse.database, "odometer");
    assert_eq!(config.clickhouse.user, "default");
    assert_eq!(config.clickhouse_password().unwrap(), "");
    assert_eq!(config.accounts_url().unwrap(), "sqlite://odometer.db");
    assert_eq!(config.http.listen, "127.0.0.1:8080");
    assert_eq!(config.http.public_url, "http://127.0.0.1:8080");
    assert_eq!(format!("{:?}", config.operator_token), "env:ODOMETER_TOKEN");
    assert_eq!(config.metering.dedup_window, 4_194_304);
    assert_eq!(config.metering.flush_interval, Duration::from_secs(1));
    assert_eq!(config.metering.snapshot_interval, Duration::from_secs(1));
    assert_eq!(config.metering.roll_interval, Duration::from_secs(600));
    assert_eq!(config.metering.accept_past, Duration::from_secs(35 * 86_400));
    assert_eq!(config.metering.accept_future, Duration::from_secs(3_600));
    assert_eq!(config.metering.max_event_bytes, 1 << 20);
    assert_eq!(config.memory, 1 << 30);
    assert_eq!(config.cache.dir, Path::new("./odometer-cache"));
    assert_eq!(config.cache.budget, 20 << 30);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(20));
    assert_eq!(config.entitlements_fail, EntitlementsFail::Auto);
    assert!(config.meters.is_empty() && config.regions.is_empty());
    assert_eq!(config.plans, None);
    assert!(!config.webhooks.allow_private);
    assert!(matches!(config.payments, Payments::Sandbox));
    assert_eq!(config.clock, ClockSource::System);
}

#[test]
fn the_contracts_example_is_the_default() {
    let example = include_str!("tests/example.yaml");
    assert_eq!(format!("{:?}", parse(example).unwrap()), format!("{:?}", Config::built_in()));
}

#[test]
fn empty_sections_are_defaults() {
    let config = parse("kafka:\nclickhouse: {}\nmeters: []\nregions: null\n").unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::built_in()));
}

#[test]
fn every_key_can_be_set() {
    let config = parse(include_str!("tests/full.yaml")).unwrap();
    assert_eq!(config.region, "eu");
    assert_eq!(config.kafka.topics[0].organization.as_deref(), Some("header:x-org"));
    assert_eq!(config.kafka.properties["security.protocol"].as_literal(), Some("sasl_ssl"));
    assert_eq!(config.meters[0].name, "tokens");
    assert_eq!(config.meters[0].aggregation, Aggregation::Sum);
    assert_eq!(config.regions["us"].url, "https://us.example.com:8443");
    assert_eq!(config.regions["us"].database, "odometer");
    assert!(config.webhooks.allow_private);
    assert!(matches!(config.payments, Payments::Stripe { .. }));
    assert_eq!(config.clock, ClockSource::Test);
    assert_eq!(config.entitlements_fail, EntitlementsFail::Closed);
}

#[test]
fn rules_hold_the_topics_and_the_limits() {
    let config = parse(include_str!("tests/full.yaml")).unwrap();
    let rules = config.rules("gateway.batches").unwrap();
    assert_eq!(rules.format, Format::Batch);
    assert_eq!(rules.default_region, "eu");
    assert_eq!(rules.dedup_window, 1_000);
    assert_eq!(rules.accept_past_ms, 86_400_000);
    assert_eq!(rules.accept_future_ms, 60_000);
    assert_eq!(rules.max_event_bytes, 2_000_000);
    assert_eq!(rules.meters, config.meters);
    assert!(config.rules("another").is_none());
}

#[test]
fn unknown_keys_are_named_with_line_and_hint() {
    for (text, wanted) in [
        (
            "region: us\nkafka:\n  brokrs: a:1\n",
            "odometer.yaml:3: kafka.brokrs: unknown key: did you mean kafka.brokers?",
        ),
        ("regoin: us\n", "odometer.yaml:1: regoin: unknown key: did you mean region?"),
        ("brokers: a:1\n", "odometer.yaml:1: brokers: unknown key: did you mean kafka.brokers?"),
        ("zzz: 1\n", "odometer.yaml:1: zzz: unknown key: docs/configuration.md lists all"),
        (
            "kafka:\n  topics:\n    - name: a\n      fromat: batch\n      format: batch\n",
            "odometer.yaml:4: kafka.topics[0].fromat: unknown key: did you mean kafka.topics[].format?",
        ),
        (
            "regions: { eu: { clikhouse: {}, clickhouse: { url: http://a } } }",
            "odometer.yaml:1: regions.eu.clikhouse: unknown key: did you mean regions.*.clickhouse?",
        ),
    ] {
        assert_eq!(problem(text), wanted);
    }
}

#[test]
fn unknown_variables_are_named() {
    let error = Config::parse("f", "", [("ODOMETER__KAFKA__BROKRS".into(), "a:1".into())]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable ODOMETER__KAFKA__BROKRS: kafka.brokrs: unknown key: did you mean kafka.brokers?"
    );
}

#[test]
fn variables_override_the_file() {
    let variables = [
        ("ODOMETER__REGION", "au"),
        ("ODOMETER__KAFKA__TOPICS", "[{ name: t, format: batch }]"),
        ("ODOMETER__CLICKHOUSE__PASSWORD", "p@ss: #1"),
        ("ODOMETER__METERING__DEDUP_WINDOW", "7"),
        ("ODOMETER__WEBHOOKS__ALLOW_PRIVATE", "true"),
    ];
    let variables = variables.map(|(name, text)| (name.into(), text.into()));
    let config = Config::parse("f", "region: eu\nkafka: { group: g }", variables).unwrap();
    assert_eq!(config.region, "au");
    assert_eq!(config.kafka.group, "g");
    assert_eq!(config.kafka.topics.len(), 1);
    assert_eq!(config.clickhouse_password().unwrap(), "p@ss: #1");
    assert_eq!(config.metering.dedup_window, 7);
    assert!(config.webhooks.allow_private);
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    let topics = |topics: &str| format!("kafka: {{ topics: [{topics}] }}");
    let cases = [
        ("region: US".to_owned(), "region: \"US\" is not a region"),
        ("kafka: 5".to_owned(), "kafka: is not a map"),
        ("kafka: { topics: x }".to_owned(), "kafka.topics: is not a list"),
        ("kafka: { topics: [] }".to_owned(), "kafka.topics: names no topic"),
        ("kafka: { group: [a] }".to_owned(), "kafka.group: is not a single value"),
        ("kafka: { start: middle }".to_owned(), "\"middle\" is none of earliest, latest"),
        (topics("{ name: a b, format: batch }"), "kafka.topics[0].name: \"a b\" is not a topic's name"),
        (topics("{ name: a }"), "kafka.topics[0].format: is missing"),
        (topics("{ name: a, format: json }"), "\"json\" is none of cloudevents, kafka-log, batch"),
        (
            topics("{ name: a, format: batch, region: 'topic:(' }"),
            "kafka.topics[0].region: \"topic:(\": the pattern",
        ),
        (topics("{ name: a, format: batch, organization: x.y }"), "events of a batch have no paths"),
        (topics("{ name: a, format: cloudevents, organization: 'header:' }"), "must follow header:"),
        (topics("{ name: a, format: kafka-log }"), "kafka.topics[0].organization: is missing"),
        (
            topics("{ name: a, format: batch }, { name: a, format: batch }"),
            "kafka.topics[1].name: \"a\" is listed twice",
        ),
        (topics("{ name: odometer.snapshots, format: batch }"), "is also one of kafka.topics"),
        (topics("{ name: odometer.dead-letters, format: batch }"), "is also one of kafka.topics"),
        ("kafka: { snapshots: odometer.dead-letters }".to_owned(), "is also kafka.dead_letters"),
        ("kafka: { properties: { group.id: x } }".to_owned(), "kafka.properties.group.id: is odometer's own"),
        (
            "metering: { dedup_window: 0 }".to_owned(),
            "metering.dedup_window: \"0\" is not a whole number from 1 to 2147483648",
        ),
        (
            "metering: { dedup_window: 2_147_483_649 }".to_owned(),
            "metering.dedup_window: \"2_147_483_649\" is not a whole number from 1 to 2147483648",
        ),
        ("metering: { flush_interval: 0s }".to_owned(), "is not positive"),
        ("metering: { flush_interval: 1 }".to_owned(), "is not a duration"),
        ("memory: 1KiB".to_owned(), "is less than 1048576 bytes"),
        ("plans: prices.yaml".to_owned(), "does not exist"),
        ("meters: [{ name: services, type: x, aggregation: count }]".to_owned(), "taken by a built-in meter"),
        (
            "meters: [{ name: a, type: x, aggregation: sum }]".to_owned(),
            "meters[0].value: sum and max need value",
        ),
        (
            "meters: [{ name: a, type: service.created, aggregation: count }]".to_owned(),
            "no meter can take them",
        ),
        ("regions: { us: { clickhouse: { url: http://a } } }".to_owned(), "own region"),
        ("regions: { eu: {} }".to_owned(), "regions.eu.clickhouse.url: is missing"),
        ("clickhouse: { cluster: usage }".to_owned(), "clickhouse.servers: is missing"),
        ("clickhouse: { replicas: 2 }".to_owned(), "clickhouse.servers: is missing"),
        ("clickhouse: { replicas: 0 }".to_owned(), "from 1 on"),
        ("clickhouse: { servers: 'http://a' }".to_owned(), "given without clickhouse.cluster"),
        (
            "clickhouse: { cluster: c, servers: 'http://a, b' }".to_owned(),
            "clickhouse.servers: \"http://a, b\"",
        ),
        ("payments: { provider: stripe }".to_owned(), "payments.secret_key: is missing"),
        ("clock: sundial".to_owned(), "\"sundial\" is none of system, test"),
    ];
    for (text, wanted) in cases {
        let problem = problem(&text);
        assert!(problem.contains(wanted), "{text}: {problem}");
        assert!(problem.starts_with("odometer.yaml:1: "), "{text}: {problem}");
    }
}

#[test]
fn secrets_are_not_repeated() {
    let problem = problem("accounts: { url: 'mysql://me:hunter2@host/db' }");
    assert!(!problem.contains("hunter2"), "{problem}");
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = problems("region: X!\nkafka: { start: never, topics: [{ format: batch }] }\nclok: test\n");
    assert_eq!(problems.len(), 4, "{problems:#?}");
}

#[test]
fn a_missing_secret_matters_only_where_it_is_needed() {
    let config = parse("clickhouse: { password: 'env:ODOMETER_NO_SUCH_VARIABLE' }").unwrap();
    let error = config.clickhouse_password().unwrap_err().to_string();
    assert!(error.contains("clickhouse.password: is env:ODOMETER_NO_SUCH_VARIABLE"), "{error}");
}

#[test]
fn a_database_may_lie_on_a_cluster() {
    let text = "clickhouse: { cluster: usage, servers: 'http://a:8123, https://b', replicas: 2 }\n\
                regions: { eu: { clickhouse: { url: http://c, cluster: other } } }";
    let config = parse(text).unwrap();
    let own = config.store_settings().unwrap().layout;
    assert_eq!((own.cluster.as_deref(), own.replicas), (Some("usage"), 2));
    assert_eq!(own.servers, ["http://a:8123", "https://b"]);
    let other = &config.other_deployments().unwrap()[0].1.layout;
    assert_eq!((other.cluster.as_deref(), other.replicas, other.servers.len()), (Some("other"), 1, 0));
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::load(Some(Path::new("no/such/odometer.yaml"))).unwrap_err().to_string();
    assert!(error.starts_with("no/such/odometer.yaml: read configuration: "), "{error}");
}

const DOCUMENTATION: &str = "docs/configuration.md";

/// The page's table is made from the code: `UPDATE_DOCS=1 cargo test documentation` writes it.
#[test]
fn the_documentation_shows_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTATION);
    let page = std::fs::read_to_string(&path).unwrap();
    let start = page.find("| key | type |").unwrap();
    let end = start + page[start..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, [&page[..start], &markdown(), &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(
            &page[start..end],
            markdown(),
            "UPDATE_DOCS=1 cargo test documentation writes {DOCUMENTATION}"
        );
    }
}
