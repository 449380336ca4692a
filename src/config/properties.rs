//! `kafka.properties`: librdkafka's properties, but for those that odometer owns.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::Secret;
use super::reader::Scope;

#[cfg(test)]
mod tests;

/// Properties that odometer sets itself, and why they can't be given.
const OWNED: &[(&str, &str)] = &[
    ("auto.offset.reset", "odometer decides where a lane starts: set kafka.start"),
    ("enable.auto.commit", COMMITS),
    ("auto.commit.enable", COMMITS),
    ("auto.commit.interval.ms", COMMITS),
    ("enable.auto.offset.store", COMMITS),
    ("offset.store.method", COMMITS),
    ("isolation.level", "odometer counts committed records only"),
    ("enable.partition.eof", "odometer needs the end of a lane to know that its counts are complete"),
    ("group.protocol", "odometer fences its commits by the classic protocol's generation"),
    ("group.id", "set kafka.group"),
    ("bootstrap.servers", "set kafka.brokers"),
    ("metadata.broker.list", "set kafka.brokers"),
];
const COMMITS: &str = "odometer commits an offset only when what was counted before it is stored";

pub fn read(scope: &Scope<'_>) -> BTreeMap<String, Secret> {
    let mut properties = BTreeMap::new();
    for name in scope.names() {
        let Some(value) =
            scope.optional(&name, |text| Ok(text.parse::<Secret>().unwrap_or_else(|e| match e {})))
        else {
            continue;
        };
        match refusal(&name, value.as_literal()) {
            Some(reason) => scope.report(&name, reason),
            None => {
                properties.insert(name, value);
            }
        }
    }
    properties
}

/// Why a property can't be given. The value is not repeated: it may be a password.
fn refusal(name: &str, value: Option<&str>) -> Option<String> {
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return Some(format!("is odometer's own: {reason}"));
    }
    let value = value?;
    let config = ClientConfig::new().set(name, value).create_native_config();
    let error = config.err()?.to_string();
    if error.contains("No such configuration property") {
        Some("is no property of librdkafka".to_owned())
    } else {
        Some("has a value that librdkafka does not take".to_owned())
    }
}
