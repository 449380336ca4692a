//! Whether a measured run counted what the generator sent: every organization, month and region, and
//! every outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use odometer::config::Config;
use serde::Deserialize;

use crate::measure::{ClickHouse, Outcomes, Sent};

#[derive(Args)]
pub struct Compare {
    #[arg(long)]
    config: PathBuf,
    /// What `odometer simulate --output json` said.
    #[arg(long)]
    sent: PathBuf,
    /// What `odometer simulate --expected` wrote.
    #[arg(long)]
    expected: PathBuf,
}

/// (organization, region, month)
type Key = (String, String, String);

#[derive(Deserialize)]
struct Line {
    organization: String,
    region: String,
    month: String,
    meter: String,
    value: u128,
}

impl Compare {
    pub fn run(&self) -> anyhow::Result<()> {
        let config = Config::load(Some(&self.config))?;
        let (url, database) = (&config.clickhouse.url, &config.clickhouse.database);
        let (counted, outcomes) = crate::block_on(async {
            let server = ClickHouse::new(url);
            let usage = format!(
                "SELECT organization, region, formatDateTime(month, '%Y-%m'), value
                FROM {database}.usage_monthly WHERE meter = 'api_calls' FORMAT TSV"
            );
            let outcomes = format!(
                "SELECT sum(received), sum(counted), sum(duplicate), sum(ignored), sum(rejected)
                FROM {database}.ledger FORMAT TSV"
            );
            Ok((server.ask(&usage).await?, server.ask(&outcomes).await?))
        })?;
        let counted = counted.lines().map(read_row).collect::<anyhow::Result<BTreeMap<Key, u128>>>()?;
        let expected = self.expected()?;
        let differing = expected
            .iter()
            .find(|(key, value)| counted.get(*key) != Some(*value))
            .map(|(key, value)| format!("{key:?}: {value} were sent, {:?} counted", counted.get(key)));
        ensure!(differing.is_none(), "compare counts: {}", differing.unwrap_or_default());
        ensure!(counted.len() == expected.len(), "compare counts: {} figures of none", counted.len());
        let sent = Sent::read(&self.sent)?.outcomes;
        ensure!(tally(&sent) == outcomes.trim(), "compare outcomes: {sent:?} sent, {outcomes:?} counted");
        let calls: u128 = counted.values().sum();
        eprintln!("{} figures, {calls} calls in all, are as sent", counted.len());
        Ok(())
    }

    fn expected(&self) -> anyhow::Result<BTreeMap<Key, u128>> {
        let text = std::fs::read_to_string(&self.expected).context("read what is expected")?;
        let mut expected = BTreeMap::new();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).context("read what is expected")?;
            if line.meter == "api_calls" {
                expected.insert((line.organization, line.region, line.month), line.value);
            }
        }
        ensure!(!expected.is_empty(), "read what is expected: nothing is");
        Ok(expected)
    }
}

fn read_row(row: &str) -> anyhow::Result<(Key, u128)> {
    let fields: Vec<&str> = row.split('\t').collect();
    let [organization, region, month, value] = fields[..] else { anyhow::bail!("read {row:?}") };
    Ok(((organization.into(), region.into(), month.into()), value.parse()?))
}

/// As the ledger's sums are printed; nothing malformed is sent.
fn tally(sent: &Outcomes) -> String {
    let ignored: u64 = sent.ignored.values().sum();
    format!("{}\t{}\t{}\t{ignored}\t0", sent.received, sent.counted, sent.duplicate)
}
