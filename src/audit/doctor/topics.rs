use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::{Check, Settings};
use crate::audit::kafka::{PATIENCE, client, partitions};
use crate::source::{KafkaError, Watermarks};

/// Usage that waits longer than this for odometer is lost.
const LEAST_RETENTION_MS: i64 = 2 * 86_400_000;

/// What a topic is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Input,
    DeadLetters,
    Snapshots,
}

/// An input topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub topic_id: Arc<str>,
    pub partitions: Vec<i32>,
}

/// The input topics that there are; `None` where Kafka does not answer.
pub type Topics = Option<BTreeMap<String, Described>>;

pub async fn check(settings: &Settings) -> (Vec<Check>, Topics) {
    let wanted: Vec<(String, Purpose)> = settings
        .kafka
        .topics
        .iter()
        .map(|topic| (topic.clone(), Purpose::Input))
        .chain([
            (settings.kafka.dead_letters.clone(), Purpose::DeadLetters),
            (settings.snapshots.clone(), Purpose::Snapshots),
        ])
        .collect();
    let (asked, names) = (settings.clone(), wanted.clone());
    let described = tokio::task::spawn_blocking(move || describe(&asked, &names)).await;
    let described = match described {
        Ok(Ok(described)) => described,
        Ok(Err(error)) => return (vec![unreachable(settings, &error.to_string())], None),
        Err(error) => return (vec![unreachable(settings, &error.to_string())], None),
    };
    let mut checks = vec![Check::good(format!("Kafka {}", settings.kafka.brokers), "answers")];
    for (topic, purpose) in &wanted {
        checks.push(match described.get(topic) {
            None => Check::wrong(name(topic), "does not exist", "run `odometer setup` to make it"),
            Some(found) => match configuration(settings, topic).await {
                Ok(configuration) => judge(topic, *purpose, found.partitions.len(), &configuration),
                Err(cause) => Check::doubtful(
                    name(topic),
                    format!("its configuration can't be read: {cause}"),
                    "let odometer describe its topics' configurations (ACL: DescribeConfigs)",
                ),
            },
        });
    }
    (checks, Some(described))
}

fn name(topic: &str) -> String {
    format!("topic {topic}")
}

fn unreachable(settings: &Settings, cause: &str) -> Check {
    let name = format!("Kafka {}", settings.kafka.brokers);
    Check::unreachable(name, cause, "start it, or correct kafka.brokers and kafka.properties")
}

fn describe(
    settings: &Settings,
    wanted: &[(String, Purpose)],
) -> Result<BTreeMap<String, Described>, KafkaError> {
    let mut described = BTreeMap::new();
    let watermarks = Watermarks::connect(&settings.kafka)?;
    for (topic, _) in wanted {
        let Some(partitions) = partitions(&settings.kafka, topic)? else { continue };
        let id = watermarks.describe_topics(std::slice::from_ref(topic))?.into_iter().next();
        let Some((_, topic_id)) = id else { continue };
        described.insert(topic.clone(), Described { topic_id, partitions });
    }
    Ok(described)
}

async fn configuration(settings: &Settings, topic: &str) -> Result<BTreeMap<String, String>, String> {
    let admin: AdminClient<DefaultClientContext> =
        client(&settings.kafka).create().map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
    let mut described = described.map_err(|error| error.to_string())?;
    let found = described.pop().ok_or("no answer")?.map_err(|code| code.to_string())?;
    Ok(found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
}

fn judge(
    topic: &str,
    purpose: Purpose,
    partitions: usize,
    configuration: &BTreeMap<String, String>,
) -> Check {
    let name = name(topic);
    let is_compacted = configuration.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
    let retention_ms: i64 =
        configuration.get("retention.ms").and_then(|text| text.parse().ok()).unwrap_or(-1);
    let sound = Check::good(name.clone(), format!("{partitions} partitions, kept {}", span(retention_ms)));
    match purpose {
        Purpose::Input | Purpose::DeadLetters if is_compacted => Check::wrong(
            name,
            "is compacted: of records with one key all but the last vanish",
            "set cleanup.policy=delete, or count another topic",
        ),
        Purpose::Input if (0..LEAST_RETENTION_MS).contains(&retention_ms) => Check::wrong(
            name,
            format!("keeps records only {}: a longer outage loses usage", span(retention_ms)),
            "set retention.ms to at least 2 days, better 7",
        ),
        Purpose::DeadLetters if (0..LEAST_RETENTION_MS).contains(&retention_ms) => Check::doubtful(
            name,
            format!("keeps dead letters only {}", span(retention_ms)),
            "set retention.ms so that somebody can look at them and send them again",
        ),
        Purpose::Snapshots if !is_compacted => Check::doubtful(
            name,
            "is not compacted: consumers read every snapshot that there ever was",
            "set cleanup.policy=compact",
        ),
        _ => sound,
    }
}

fn span(retention_ms: i64) -> String {
    match retention_ms {
        ..0 => "for ever".to_owned(),
        ms if ms >= 86_400_000 => format!("{} days", ms / 86_400_000),
        ms if ms >= 3_600_000 => format!("{} hours", ms / 3_600_000),
        ms => format!("{} minutes", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::doctor::Health;

    #[test]
    fn a_topic_is_judged_by_what_it_is_for() {
        use Health::{Doubtful, Good, Wrong};
        use Purpose::{DeadLetters, Input, Snapshots};
        let cases = [
            (Input, "delete", "-1", Good),
            (Input, "delete", "604800000", Good),
            (Input, "delete", "3600000", Wrong),
            (Input, "compact", "-1", Wrong),
            (Input, "compact,delete", "604800000", Wrong),
            (DeadLetters, "delete", "3600000", Doubtful),
            (DeadLetters, "compact", "-1", Wrong),
            (Snapshots, "compact", "3600000", Good),
            (Snapshots, "delete", "-1", Doubtful),
        ];
        for (purpose, policy, retention, expected) in cases {
            let configuration = [("cleanup.policy", policy), ("retention.ms", retention)];
            let configuration = configuration.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let check = judge("t", purpose, 4, &configuration);
            assert_eq!(check.health, expected, "{purpose:?} {policy} {retention}");
            assert_eq!(check.hint.is_some(), expected != Good);
        }
    }
}
