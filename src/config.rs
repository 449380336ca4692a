//! The configuration: a YAML file, then the environment, checked as a whole before anything runs.
//!
//! Every key, its default and its meaning stand in `keys`; `docs/configuration.md` shows them.

mod accounts;
mod environment;
mod keys;
mod properties;
mod reader;
mod secret;
mod sections;
mod settings;
#[cfg(test)]
mod tests;
mod values;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Format, MeterRule};
use crate::store::Layout;

pub use keys::{KEYS, Key, markdown};
pub use secret::{MissingSecret, Secret};
pub use yaml::Place;

/// Read when no file is named, where there is one.
pub const DEFAULT_FILE: &str = "odometer.yaml";

/// A sound configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub region: String,
    pub kafka: Kafka,
    pub clickhouse: ClickHouse,
    /// `sqlite://…` or `postgres://…`.
    pub accounts_url: Secret,
    pub http: Http,
    /// Where `odometer ingest` tells how it is; `None`: nowhere.
    pub ingest_listen: Option<String>,
    /// Threads that count in one `ingest` process; 1 to 64.
    pub ingest_threads: u64,
    pub operator_token: Secret,
    pub metering: Metering,
    /// Bytes for windows and queues of all lanes together.
    pub memory: u64,
    pub cache: Cache,
    pub shutdown_timeout: Duration,
    pub entitlements_fail: EntitlementsFail,
    /// Beside the built-in ones, in the order of the file.
    pub meters: Vec<MeterRule>,
    /// Other regions to read from.
    pub regions: BTreeMap<String, ClickHouse>,
    /// The price book; `None`: the built-in one.
    pub plans: Option<PathBuf>,
    pub webhooks: Webhooks,
    pub payments: Payments,
    pub clock: ClockSource,
}

#[derive(Clone, Debug)]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    /// Never empty; names are unique.
    pub topics: Vec<Topic>,
    pub dead_letters: String,
    pub snapshots: String,
    pub start: Start,
    /// Take records from the client in batches.
    pub batches: bool,
    /// Librdkafka's, without those that odometer owns.
    pub properties: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub format: Format,
    pub organization: Option<String>,
    pub region: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

#[derive(Clone, Debug)]
pub struct ClickHouse {
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: Secret,
    pub layout: Layout,
}

#[derive(Clone, Debug)]
pub struct Http {
    /// `HOST:PORT`.
    pub listen: String,
    /// Without a slash at its end.
    pub public_url: String,
}

#[derive(Clone, Debug)]
pub struct Metering {
    /// Offsets, at least 1.
    pub dedup_window: u64,
    pub flush_interval: Duration,
    pub snapshot_interval: Duration,
    pub roll_interval: Duration,
    pub accept_past: Duration,
    pub accept_future: Duration,
    pub max_event_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct Cache {
    pub dir: PathBuf,
    /// Bytes.
    pub budget: u64,
}

/// What to answer when usage is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntitlementsFail {
    Open,
    Closed,
    /// Closed where overage blocks, open where it is charged.
    Auto,
}

#[derive(Clone, Debug)]
pub struct Webhooks {
    pub sales: Option<Secret>,
    pub notices: Option<Secret>,
    pub secret: Option<Secret>,
    pub allow_private: bool,
}

#[derive(Clone, Debug)]
pub enum Payments {
    Sandbox,
    Stripe { secret_key: Secret, webhook_secret: Option<Secret>, base_url: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    System,
    Test,
}

/// One thing that is wrong: where, which key, what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// Empty where the file as a whole is meant.
    pub key: String,
    pub message: String,
}

impl Problem {
    pub(crate) fn new(place: Place, key: &str, message: impl Into<String>) -> Self {
        Self { place, key: key.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn one(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads `file` (which must exist), else `odometer.yaml` where there is one, then lays the
    /// process's environment over it.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        let text = match file {
            Some(file) => read(file)?,
            None => String::new(),
        };
        let name = file.unwrap_or(default).display().to_string();
        Self::parse(&name, &text, std::env::vars_os())
    }

    /// The configuration of a file's text under a set of environment variables.
    pub fn parse(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let file: Arc<str> = file.into();
        let place = |line| Place::Line(file.clone(), line);
        let mut root = yaml::parse(text, &place).map_err(ConfigError::one)?;
        let mut problems = Vec::new();
        environment::overlay(&mut root, variables, &mut problems);
        let reader = reader::Reader::default();
        problems.into_iter().for_each(|problem| reader.report(problem));
        let config = sections::config(&reader.root(root));
        let problems = reader.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems }),
        }
    }

    /// The built-in defaults alone.
    pub fn built_in() -> Self {
        Self::parse(DEFAULT_FILE, "", []).expect("built-in defaults are sound")
    }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|error| {
        let place = Place::File(file.display().to_string().into());
        ConfigError::one(Problem::new(place, "", format!("read configuration: {error}")))
    })
}
