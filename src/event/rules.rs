use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All of the configuration that decides what counts, for one topic. It holds no secrets, and it is
/// stored under its hash, so that a range of the log can be counted again as it was counted then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub format: Format,
    /// Where the organization is: a dotted path, `header:NAME` or `topic:PATTERN`;
    /// `None`: `subject` (cloudevents), the field of that name (batch).
    pub organization: Option<String>,
    /// Where the region is, likewise; `None`: `data.region` (cloudevents), none (kafka-log).
    pub region: Option<String>,
    /// The region of events that name none: the deployment's.
    pub default_region: String,
    /// The configured meters, in order. `api_calls` is built in and not listed.
    pub meters: Vec<MeterRule>,
    /// Offsets, at least 1.
    pub dedup_window: u64,
    pub accept_past_ms: i64,
    pub accept_future_ms: i64,
    /// Bytes of a record's value.
    pub max_event_bytes: u64,
}

impl Rules {
    /// SHA-256 over the canonical JSON (fields in declaration order), cut to 128 bits.
    pub fn hash(&self) -> RulesHash {
        use sha2::{Digest, Sha256};
        let json = serde_json::to_vec(self).expect("rules are plain data");
        let digest = Sha256::digest(&json);
        RulesHash(u128::from_be_bytes(digest[..16].try_into().expect("32 bytes")))
    }
}

/// Names one `Rules`; printed as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RulesHash(pub u128);

impl fmt::Display for RulesHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RulesHash {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Cloudevents,
    KafkaLog,
    Batch,
}

/// A configured meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterRule {
    pub name: String,
    /// The event type that it takes.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Dotted path of the value; needed for `sum` and `max`, not used by `count`.
    #[serde(default)]
    pub value: Option<String>,
    pub aggregation: Aggregation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    Count,
    Sum,
    Max,
}
