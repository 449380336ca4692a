//! The story's events as bytes.

use bincode::Encode;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::story::{Event, What, Wrong};
use crate::oracle::{self, Format};
use crate::support::kafka::KafkaRecord;

const HOUR_MS: i64 = 3_600_000;

pub fn name(format: Format) -> &'static str {
    match format {
        Format::CloudEvents => "ce",
        Format::KafkaLog => "log",
        Format::Batch => "batch",
    }
}

pub fn record(format: Format, events: &[(Event, Option<Wrong>)], random: &mut ChaCha8Rng) -> KafkaRecord {
    let mut record = match format {
        Format::CloudEvents => cloudevents(events, random),
        Format::KafkaLog => kafka_log(events, random),
        Format::Batch => batch(events),
    };
    if random.random_ratio(1, 4) {
        record.headers.push(("traceparent".to_owned(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-01".to_vec()));
    }
    record
}

fn cloudevents(events: &[(Event, Option<Wrong>)], random: &mut ChaCha8Rng) -> KafkaRecord {
    if let [(event, None)] = events {
        let key = Some(event.id.clone().into_bytes());
        if random.random_ratio(1, 40) {
            return KafkaRecord { key, ..binary_mode(event) };
        }
    }
    let key = events.first().map(|(event, _)| event.id.clone().into_bytes());
    let texts: Vec<String> = events.iter().map(|(event, wrong)| structured(event, *wrong, random)).collect();
    let value = match &texts[..] {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    KafkaRecord { key, value: Some(value.into_bytes()), ..KafkaRecord::default() }
}

fn structured(event: &Event, wrong: Option<Wrong>, random: &mut ChaCha8Rng) -> String {
    let mut attributes = Map::new();
    let mut set = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
    set("specversion", json!(if wrong == Some(Wrong::Version) { "1.1" } else { "1.0" }));
    set("datacontenttype", json!("application/json"));
    set("type", json!(event_type(event, wrong)));
    if wrong != Some(Wrong::NoSource) {
        set("source", json!(event.source));
    }
    match wrong {
        Some(Wrong::NoId) => set("id", Value::Null),
        _ => set("id", json!(event.id)),
    };
    match wrong {
        Some(Wrong::NoOrganization) => None,
        Some(Wrong::EmptyOrganization) => set("subject", json!("")),
        _ => set("subject", json!(event.organization)),
    };
    match wrong {
        Some(Wrong::NoTime) => None,
        Some(Wrong::Time) => set("time", json!("2024-02-30T12:00:00Z")),
        _ => set("time", json!(time(event, wrong, random))),
    };
    let data = data(event, wrong);
    if random.random_ratio(1, 50) {
        use base64::Engine as _;
        set("data_base64", json!(base64::engine::general_purpose::STANDARD.encode(data.to_string())));
    } else {
        set("data", data);
    }
    let text = Value::Object(attributes).to_string();
    match wrong {
        Some(Wrong::RepeatedField) => text.replacen('{', &format!("{{\"id\":\"{}\",", event.id), 1),
        _ => text,
    }
}

fn binary_mode(event: &Event) -> KafkaRecord {
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event.id.clone()),
        ("ce_source", event.source.to_owned()),
        ("ce_type", event_type(event, None).to_owned()),
        ("ce_subject", event.organization.clone()),
        ("ce_time", oracle::rfc3339(event.time_ms)),
        ("content-type", "application/json".to_owned()),
    ];
    KafkaRecord {
        value: Some(data(event, None).to_string().into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
        ..KafkaRecord::default()
    }
}

fn event_type(event: &Event, wrong: Option<Wrong>) -> &'static str {
    match &event.what {
        _ if wrong == Some(Wrong::Service) => "service.updated",
        _ if wrong == Some(Wrong::Quantity) => "api.request",
        What::Request { quantity: None } if event.time_ms % 5 == 0 => "kong.api_request",
        What::Request { .. } => "api.request",
        What::Tokens { .. } => "ai.completion",
        What::Catalog { event_type, .. } => event_type,
        What::Other => "portal.page_viewed",
    }
}

/// In one of the ways that RFC 3339 has for one instant.
fn time(event: &Event, wrong: Option<Wrong>, random: &mut ChaCha8Rng) -> String {
    match wrong {
        Some(Wrong::Before2000) => return "1999-12-31T23:59:59.999Z".to_owned(),
        Some(Wrong::From2100) => return "2100-01-01T00:00:00Z".to_owned(),
        _ => {}
    }
    match random.random_range(0..20) {
        0 => oracle::rfc3339(event.time_ms + 2 * HOUR_MS).replace('Z', "+02:00"),
        1 => oracle::rfc3339(event.time_ms - HOUR_MS / 2).replace('Z', "-00:30"),
        2 => oracle::rfc3339(event.time_ms).to_lowercase(),
        3 => oracle::rfc3339(event.time_ms).replace('Z', "999999z"),
        _ => oracle::rfc3339(event.time_ms),
    }
}

fn data(event: &Event, wrong: Option<Wrong>) -> Value {
    let mut data = match &event.what {
        _ if wrong == Some(Wrong::Service) => json!({ "name": "No id" }),
        _ if wrong == Some(Wrong::Quantity) => json!({ "quantity": -1, "service": "orders" }),
        What::Request { quantity: None } => {
            json!({ "service": "orders", "method": "GET", "status": 200, "route": "list-orders", "consumer": "mobile" })
        }
        What::Request { quantity } => json!({ "service": "orders", "quantity": quantity, "window_s": 10 }),
        What::Tokens { value } => json!({ "model": "small", "value": value }),
        What::Catalog { service, published, version, .. } => {
            let mut data = json!({ "service": service, "name": format!("The {service}") });
            if let Some(published) = published {
                data["published"] = json!(published);
            }
            if let Some(version) = version {
                data["version"] = json!(version);
            }
            data
        }
        What::Other => json!({ "path": "/docs" }),
    };
    match (wrong, event.region) {
        (Some(Wrong::Region), _) => data["region"] = json!("EU"),
        (_, Some(region)) => data["region"] = json!(region),
        (_, None) => {}
    }
    data
}

fn kafka_log(events: &[(Event, Option<Wrong>)], random: &mut ChaCha8Rng) -> KafkaRecord {
    let logs: Vec<Vec<u8>> = events.iter().map(|(event, wrong)| log(event, *wrong, random)).collect();
    let value = match &logs[..] {
        [one] => one.clone(),
        several => [b"[", several.join(&b","[..]).as_slice(), b"]"].concat(),
    };
    KafkaRecord { value: Some(value), ..KafkaRecord::default() }
}

fn log(event: &Event, wrong: Option<Wrong>, random: &mut ChaCha8Rng) -> Vec<u8> {
    let started_at = match wrong {
        Some(Wrong::Time) => json!("2024-01-01T00:00:00Z"),
        Some(Wrong::Before2000) => json!(946_684_799_999_i64),
        Some(Wrong::From2100) => json!(4_102_444_800_000_i64),
        _ => json!(event.time_ms),
    };
    let mut log = json!({
        "request": { "id": event.id, "method": "GET", "uri": "/orders/17?page=2", "size": 311, "querystring": {},
            "headers": { "host": "api.example:8443", "accept": "*/*", "user-agent": "curl/8.5.0", "x-name": "@@" } },
        "response": { "status": 200, "size": 934, "headers": { "content-type": "application/json" } },
        "latencies": { "kong": 3, "proxy": 12, "request": 15 },
        "upstream_status": "502, 200",
        "tries": [{ "ip": "10.0.0.7", "port": 8080, "balancer_latency": 0 }],
        "client_ip": "203.0.113.9",
        "started_at": started_at,
        "service": { "id": "orders", "name": "orders", "host": "orders.internal" },
        "consumer": { "username": format!("team-{}", event.time_ms % 7), "custom_id": format!("c{}", event.time_ms % 3) },
        "konnect": { "control_plane_id": "cp-1" },
    });
    match wrong {
        Some(Wrong::NoOrganization) => {}
        Some(Wrong::EmptyOrganization) => log["konnect"]["org_id"] = json!(""),
        _ => log["konnect"]["org_id"] = json!(event.organization),
    }
    match (wrong, event.region) {
        (Some(Wrong::Region), _) => log["konnect"]["geo"] = json!("the moon"),
        (_, Some(region)) => log["konnect"]["geo"] = json!(region),
        (_, None) => {}
    }
    match (&event.what, event.time_ms % 3) {
        (What::Other, 0) => log["service"] = Value::Null,
        (What::Other, 1) => log["service"] = json!({}),
        (What::Other, _) => log["service"] = json!([]),
        (_, _) if random.random_ratio(1, 50) => log["service"] = json!("orders"),
        _ => {}
    }
    let mut text = log.to_string().replace('/', "\\/");
    if wrong == Some(Wrong::RepeatedField) {
        text = text.replacen('{', "{\"started_at\":1,", 1);
    }
    if random.random_ratio(1, 30) {
        let exponent = format!("\"started_at\":{:e}", event.time_ms);
        text = text.replace(&format!("\"started_at\":{}", event.time_ms), &exponent);
    }
    // Bytes that are no UTF-8, in a header that nobody reads.
    let (before, after) = text.split_once("@@").expect("a header");
    let name: &[u8] = if random.random_ratio(1, 20) { b"Ren\xe9" } else { b"Ren" };
    [before.as_bytes(), name, after.as_bytes()].concat()
}

#[derive(Encode)]
struct Compact {
    organization: String,
    source: String,
    id: String,
    event_type: String,
    time_ms: i64,
    region: Option<String>,
    service: Option<String>,
    name: Option<String>,
    published: Option<bool>,
    version: Option<i64>,
    quantity: Option<u64>,
}

fn batch(events: &[(Event, Option<Wrong>)]) -> KafkaRecord {
    let events: Vec<Compact> = events.iter().map(|(event, wrong)| compact(event, *wrong)).collect();
    let value = bincode::encode_to_vec(&events, bincode::config::standard()).expect("plain data");
    KafkaRecord { value: Some(value), ..KafkaRecord::default() }
}

fn compact(event: &Event, wrong: Option<Wrong>) -> Compact {
    let text = |unless: &[Wrong], text: &str| match wrong {
        Some(wrong) if unless.contains(&wrong) => String::new(),
        _ => text.to_owned(),
    };
    let (service, published, version) = match &event.what {
        What::Catalog { service, published, version, .. } => (Some(service.clone()), *published, *version),
        _ => (Some("orders".to_owned()), None, None),
    };
    Compact {
        organization: text(&[Wrong::EmptyOrganization], &event.organization),
        source: text(&[Wrong::NoSource], event.source),
        id: text(&[Wrong::NoId], &event.id),
        event_type: event_type(event, wrong).to_owned(),
        time_ms: match wrong {
            Some(Wrong::Before2000) => 946_684_799_999,
            Some(Wrong::From2100) => 4_102_444_800_000,
            _ => event.time_ms,
        },
        region: if wrong == Some(Wrong::Region) {
            Some("EU".to_owned())
        } else {
            event.region.map(str::to_owned)
        },
        service: service.filter(|_| wrong != Some(Wrong::Service)),
        name: None,
        published,
        version,
        quantity: match &event.what {
            _ if wrong == Some(Wrong::Quantity) => Some(1 << 53),
            What::Request { quantity } => *quantity,
            _ => None,
        },
    }
}
