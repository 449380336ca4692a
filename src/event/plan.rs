use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an organization is subscribed to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    Free,
    Plus,
    /// Not self-service: the operator alone changes to and from it.
    Enterprise,
}

impl Plan {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Plus => "plus",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("plan {text:?} is none of free, plus, enterprise")]
pub struct UnknownPlan {
    text: String,
}

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(text: &str) -> Result<Self, UnknownPlan> {
        [Self::Free, Self::Plus, Self::Enterprise]
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or_else(|| UnknownPlan { text: text.to_owned() })
    }
}

/// A stretch of time that an organization spent on one plan: [from, to), in epoch milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPeriod {
    pub plan: Plan,
    /// A trial costs nothing, whatever its plan.
    pub trial: bool,
    pub from_ms: i64,
    /// `None`: it lasts.
    pub to_ms: Option<i64>,
}
