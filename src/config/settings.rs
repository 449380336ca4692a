//! What each room is given: its own settings of plain types, secrets fetched.

use xxhash_rust::xxh3::xxh3_64;

use super::{Config, ConfigError, Payments, Place, Problem, Secret, Start, Topic};
use crate::dedup::CacheSettings;
use crate::event::Rules;
use crate::snapshot::TopicSettings;
use crate::snapshot::completeness::Acceptance;
use crate::snapshot::deployment;
use crate::{http, pipeline, source, store, web};

impl Config {
    /// The counting rules of a configured topic; `None` where it is not configured.
    pub fn rules(&self, topic: &str) -> Option<Rules> {
        let topic = self.kafka.topics.iter().find(|configured| configured.name == topic)?;
        Some(self.rules_of(topic))
    }

    /// The counting rules of a topic with this deployment's limits and meters.
    pub fn rules_of(&self, topic: &Topic) -> Rules {
        Rules {
            format: topic.format,
            organization: topic.organization.clone(),
            region: topic.region.clone(),
            default_region: self.region.clone(),
            meters: self.meters.clone(),
            dedup_window: self.metering.dedup_window,
            accept_past_ms: milliseconds(self.metering.accept_past),
            accept_future_ms: milliseconds(self.metering.accept_future),
            max_event_bytes: self.metering.max_event_bytes,
        }
    }

    /// The properties of every Kafka connection: the configured ones and the brokers.
    pub fn kafka_properties(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut properties = vec![("bootstrap.servers".to_owned(), self.kafka.brokers.clone())];
        for (name, value) in &self.kafka.properties {
            properties.push((name.clone(), fetch(&format!("kafka.properties.{name}"), value)?));
        }
        Ok(properties)
    }

    /// How to reach Kafka, and what of it.
    pub fn source_settings(&self) -> Result<source::Settings, ConfigError> {
        let mut properties = std::collections::BTreeMap::new();
        for (name, value) in &self.kafka.properties {
            properties.insert(name.clone(), fetch(&format!("kafka.properties.{name}"), value)?);
        }
        // A quarter of the memory for what the client has fetched and nobody has read yet.
        properties
            .entry("queued.max.messages.kbytes".to_owned())
            .or_insert_with(|| (self.memory / 4 / 1024).clamp(1024, 64 * 1024).to_string());
        Ok(source::Settings {
            brokers: self.kafka.brokers.clone(),
            group: self.kafka.group.clone(),
            topics: self.kafka.topics.iter().map(|topic| topic.name.clone()).collect(),
            dead_letters: self.kafka.dead_letters.clone(),
            start: match self.kafka.start {
                Start::Earliest => source::Start::Earliest,
                Start::Latest => source::Start::Latest,
            },
            batches: self.kafka.batches,
            properties,
        })
    }

    /// What counting needs: half of the memory is for windows, a quarter for blocks, a quarter for
    /// what was fetched.
    pub fn pipeline_settings(&self) -> Result<pipeline::Settings, ConfigError> {
        Ok(pipeline::Settings {
            kafka: self.source_settings()?,
            store: self.store_settings()?,
            rules: self.kafka.topics.iter().map(|topic| (topic.name.clone(), self.rules_of(topic))).collect(),
            cache: self.cache_settings(),
            block_memory: self.memory / 4,
            threads: usize::try_from(self.ingest_threads).unwrap_or(1),
            flush_interval: self.metering.flush_interval,
            roll_interval: self.metering.roll_interval,
            shutdown_timeout: self.shutdown_timeout,
        })
    }

    /// What others may know of a lane is of use only where they count into the same ledger.
    pub fn cache_settings(&self) -> CacheSettings {
        let ledger = [&*self.clickhouse.database, "\0", &self.kafka.group].concat();
        let dir = self.cache.dir.join(format!("{:016x}", xxh3_64(ledger.as_bytes())));
        CacheSettings { dir, memory: self.memory / 2, budget: self.cache.budget }
    }

    pub fn store_settings(&self) -> Result<store::Settings, ConfigError> {
        Ok(store::Settings {
            url: self.clickhouse.url.clone(),
            database: self.clickhouse.database.clone(),
            user: self.clickhouse.user.clone(),
            password: self.clickhouse_password()?,
            layout: self.clickhouse.layout.clone(),
        })
    }

    /// How this deployment's usage is read.
    pub fn deployment_settings(&self) -> deployment::Settings {
        deployment::Settings {
            region: self.region.as_str().into(),
            topics: self.kafka.topics.iter().map(|topic| topic.name.clone()).collect(),
            acceptance: Acceptance {
                past_ms: milliseconds(self.metering.accept_past),
                future_ms: milliseconds(self.metering.accept_future),
            },
        }
    }

    /// The other regions that usage is read from; which topics they count is their own affair.
    pub fn other_deployments(&self) -> Result<Vec<(deployment::Settings, store::Settings)>, ConfigError> {
        let mut others = Vec::new();
        for (region, clickhouse) in &self.regions {
            let reading = deployment::Settings {
                region: region.as_str().into(),
                topics: Vec::new(),
                ..self.deployment_settings()
            };
            let key = format!("regions.{region}.clickhouse.password");
            let store = store::Settings {
                url: clickhouse.url.clone(),
                database: clickhouse.database.clone(),
                user: clickhouse.user.clone(),
                password: fetch(&key, &clickhouse.password)?,
                layout: clickhouse.layout.clone(),
            };
            others.push((reading, store));
        }
        Ok(others)
    }

    /// Where snapshots of usage go.
    pub fn snapshot_topic(&self) -> Result<TopicSettings, ConfigError> {
        Ok(TopicSettings {
            properties: self.kafka_properties()?,
            topic: self.kafka.snapshots.clone(),
            interval: self.metering.snapshot_interval,
        })
    }

    pub fn http_settings(&self) -> Result<http::Settings, ConfigError> {
        Ok(http::Settings {
            operator_token: self.operator_token()?,
            public_url: self.http.public_url.clone(),
            snapshot_interval: self.metering.snapshot_interval,
            rate: http::Settings::DEFAULT_RATE,
        })
    }

    pub fn web_settings(&self) -> Result<web::Settings, ConfigError> {
        Ok(web::Settings {
            sandbox_payments: matches!(self.payments, Payments::Sandbox),
            kafka: Some(self.source_settings()?),
        })
    }

    pub fn clickhouse_password(&self) -> Result<String, ConfigError> {
        fetch("clickhouse.password", &self.clickhouse.password)
    }

    pub fn accounts_url(&self) -> Result<String, ConfigError> {
        let url = fetch("accounts.url", &self.accounts_url)?;
        super::values::accounts_url(&url).map_err(|message| at("accounts.url", message))
    }

    /// Never empty.
    pub fn operator_token(&self) -> Result<String, ConfigError> {
        let token = fetch("auth.operator_token", &self.operator_token)?;
        super::values::text(&token).map_err(|message| at("auth.operator_token", message))
    }
}

/// Fetches a secret that a command needs.
pub fn fetch(key: &str, secret: &Secret) -> Result<String, ConfigError> {
    secret.resolve().map_err(|missing| at(key, missing.to_string()))
}

fn at(key: &str, message: String) -> ConfigError {
    ConfigError::one(Problem::new(Place::Default, key, message))
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("durations are at most 100 years")
}
