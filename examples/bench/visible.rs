//! How long an event takes from Kafka's acknowledgement until HTTP answers with it. Each probe is the
//! first event of an organization of its own, so that its figure can come from nothing else.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use odometer::config::Config;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};

#[derive(Args)]
pub struct Visible {
    #[arg(long)]
    config: PathBuf,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    seconds: u64,
    /// Between two probes, in milliseconds.
    #[arg(long, default_value_t = 200)]
    every: u64,
    /// Where `serve` answers.
    #[arg(long)]
    address: String,
    /// A file with a header that names a token.
    #[arg(long)]
    authorization: PathBuf,
    #[arg(long)]
    into: PathBuf,
}

/// In milliseconds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Times {
    pub probes: usize,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub greatest: u64,
}

/// Between two looks at one organization at least, else this part of the time that it has taken: the
/// precision of what is measured. Many probes that wait long must not be a load themselves.
const LOOK: Duration = Duration::from_millis(10);
const PART: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(60);

impl Visible {
    pub fn run(&self) -> anyhow::Result<()> {
        let times = crate::block_on(self.probe())?;
        std::fs::write(&self.into, serde_json::to_string(&times)?)?;
        eprintln!("{times:?}");
        Ok(())
    }

    async fn probe(&self) -> anyhow::Result<Times> {
        let config = Config::load(Some(&self.config))?;
        let producer: FutureProducer = config
            .kafka_properties()?
            .into_iter()
            .collect::<ClientConfig>()
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()?;
        let header = std::fs::read_to_string(&self.authorization)?;
        let token = header.trim().split_once(": ").context("read the authorization header")?.1.to_owned();
        let client = reqwest::Client::new();
        let mut probes = Vec::new();
        let count = self.seconds * 1_000 / self.every;
        let began = tokio::time::Instant::now();
        for number in 0..count {
            tokio::time::sleep_until(began + Duration::from_millis(self.every) * number as u32).await;
            let probe = Probe {
                producer: producer.clone(),
                client: client.clone(),
                topic: self.topic.clone(),
                organization: format!("probe-{number}"),
                address: self.address.clone(),
                token: token.clone(),
            };
            probes.push(tokio::spawn(probe.run()));
        }
        let mut taken = Vec::new();
        for probe in probes {
            taken.push(probe.await??.as_millis() as u64);
        }
        taken.sort_unstable();
        ensure!(!taken.is_empty(), "probe: no time for one");
        // The smallest that at least so many per cent of all do not exceed.
        let rank = |percent: usize| taken[(taken.len() * percent).div_ceil(100) - 1];
        Ok(Times { probes: taken.len(), p50: rank(50), p90: rank(90), p99: rank(99), greatest: rank(100) })
    }
}

struct Probe {
    producer: FutureProducer,
    client: reqwest::Client,
    topic: String,
    organization: String,
    address: String,
    token: String,
}

impl Probe {
    async fn run(self) -> anyhow::Result<Duration> {
        let event = serde_json::json!({
            "specversion": "1.0",
            "id": self.organization,
            "source": "/bench/probe",
            "type": "api.request",
            "subject": self.organization,
            "time": jiff::Timestamp::now().to_string(),
            "data": { "service": "probe" },
        });
        let (value, key) = (event.to_string(), self.organization.clone());
        let sent =
            self.producer.send(FutureRecord::to(&self.topic).key(&key).payload(&value), PATIENCE).await;
        sent.map_err(|(error, _)| error).context("send probe")?;
        let acknowledged = Instant::now();
        while self.calls().await? == 0 {
            ensure!(acknowledged.elapsed() < PATIENCE, "probe {key}: not visible after {PATIENCE:?}");
            tokio::time::sleep(LOOK.max(acknowledged.elapsed() / PART)).await;
        }
        Ok(acknowledged.elapsed())
    }

    /// None as long as nobody knows the organization.
    async fn calls(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/v1/organizations/{}/usage", self.address, self.organization);
        let response = self.client.get(&url).header("Authorization", &self.token).send().await?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(0);
        }
        let usage: serde_json::Value = response.error_for_status()?.json().await?;
        Ok(usage["usage"]["api_calls"].as_u64().unwrap_or(0))
    }
}
