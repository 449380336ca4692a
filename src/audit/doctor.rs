//! What is wrong, and what to do about it: topics, lanes, ledger, windows, dead letters, ClickHouse.
//!
//! Each part looks at one thing and judges it by itself, so that one server that doesn't answer hides
//! nothing of the others.

mod clickhouse;
mod lanes;
mod ledger;
mod letters;
mod topics;

use serde::Serialize;

use crate::clock::Clock;
use crate::source;
use crate::store::Store;

/// What the doctor needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: source::Settings,
    pub snapshots: String,
    /// Offsets.
    pub dedup_window: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Good,
    /// Figures are right, but somebody should know.
    Doubtful,
    /// Figures are wrong, stand still, or soon will.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub health: Health,
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A server did not answer.
    #[serde(skip)]
    pub is_unreachable: bool,
}

impl Check {
    pub fn new(name: impl Into<String>, health: Health, detail: impl Into<String>) -> Self {
        Self { name: name.into(), health, detail: detail.into(), hint: None, is_unreachable: false }
    }

    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Health::Good, detail)
    }

    pub fn doubtful(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Health::Doubtful, detail) }
    }

    /// A server that does not answer.
    pub fn unreachable(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { is_unreachable: true, ..Self::wrong(name, detail, hint) }
    }

    pub fn wrong(name: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(name, Health::Wrong, detail) }
    }
}

/// Items of a list that a check names; the rest is only counted.
const NAMED: usize = 5;

/// A list's first items, and how many more there are.
pub fn named(items: &[String]) -> String {
    let mut text = items.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if items.len() > NAMED {
        text += &format!("; and {} more", items.len() - NAMED);
    }
    text
}

/// Looks at everything. `store` and Kafka may be away: then that is what is wrong.
pub async fn examine(store: &Store, settings: &Settings, clock: &Clock) -> Vec<Check> {
    let asked = settings.clone();
    let (clickhouse, topics) = tokio::join!(clickhouse::check(store, clock), topics::check(&asked));
    let clickhouse_answers = clickhouse.iter().all(|check| check.health != Health::Wrong);
    let (topics, described) = topics;
    let mut checks = clickhouse;
    checks.extend(topics);
    let mut rows = None;
    if clickhouse_answers {
        let (found, ledger) = ledger::check(store, settings).await;
        rows = found;
        checks.extend(ledger);
    }
    if let (Some(rows), Some(described)) = (&rows, &described) {
        checks.extend(lanes::check(store, settings, rows, described, clock).await);
    }
    if described.is_some() {
        checks.push(letters::check(settings, clock).await);
    }
    checks
}
