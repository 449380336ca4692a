//! One odometer of a test's own: its names, its folder, its configuration.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::Http;
use super::process::{self, Ended, Odometer};
use super::{servers, unique};

const TOKEN: &str = "the-tests-operator";

pub struct Deployment {
    folder: TempDir,
    /// The beginning of all its names, and its database.
    pub name: String,
    address: String,
}

impl Deployment {
    /// `topics` as in the configuration, their names without the deployment's own; `changes` are
    /// merged into the rest of it.
    pub fn new(test: &str, topics: &[Value], changes: &Value) -> Self {
        let name = unique(test);
        let folder = TempDir::with_prefix(&name).expect("make a folder");
        let address = free_address();
        let mut topics = topics.to_vec();
        for topic in &mut topics {
            topic["name"] =
                Value::String(format!("{name}.{}", topic["name"].as_str().expect("a topic's name")));
        }
        let mut config = json!({
            "region": "us",
            "kafka": {
                "brokers": servers::kafka_brokers(),
                "group": name,
                "topics": topics,
                "dead_letters": format!("{name}.dead-letters"),
                "snapshots": format!("{name}.snapshots"),
                // The least that the broker allows: a killed member is missed soon.
                "properties": { "session.timeout.ms": "6000", "heartbeat.interval.ms": "1000" },
            },
            "clickhouse": { "url": servers::clickhouse_url(), "database": name },
            "accounts": { "url": format!("sqlite://{}", folder.path().join("odometer.db").display()) },
            "http": { "listen": address, "public_url": format!("http://{address}") },
            "auth": { "operator_token": TOKEN },
            "cache": { "dir": folder.path().join("cache") },
        });
        if let Some((cluster, servers)) = servers::cluster() {
            config["clickhouse"]["cluster"] = json!(cluster);
            config["clickhouse"]["servers"] = json!(servers.join(","));
        }
        merge(&mut config, changes);
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&config).expect("a configuration is plain data");
        std::fs::write(folder.path().join("odometer.yaml"), text).expect("write a configuration");
        Self { folder, name, address }
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        process::run(self.folder(), arguments)
    }

    /// Starts a command that goes on; `name` is its log's name.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Odometer {
        Odometer::start(self.folder(), name, arguments, &[])
    }

    /// Starts a command with more environment variables.
    pub fn start_with(&self, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Odometer {
        Odometer::start(self.folder(), name, arguments, environment)
    }

    /// Starts a command as on a machine of its own: with a cache that is only its.
    pub fn start_elsewhere(&self, name: &str, arguments: &[&str]) -> Odometer {
        let environment = [("ODOMETER__CACHE__DIR", &*format!("./cache-of-{name}"))];
        Odometer::start(self.folder(), name, arguments, &environment)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The operator's.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Where `http.listen` is, and nothing else.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn http(&self) -> Http {
        Http::new(&self.address, TOKEN)
    }

    /// A table or view of its database, as it stands in a query.
    pub fn table(&self, table: &str) -> String {
        format!("`{}`.`{table}`", self.name)
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a free port");
    listener.local_addr().expect("a listener's address").to_string()
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(into.entry(key.as_str()).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}
