use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{AccountError, AccountResult};
use super::idempotency::Pending;

/// What an API key may do in its organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything that is the organization's own.
    Admin,
    /// Reads.
    Viewer,
    /// Fetches the license and asks entitlements, nothing else.
    Runtime,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Runtime => "runtime",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Admin, Self::Viewer, Self::Runtime].into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Who runs odometer: any organization, every plan.
    Operator,
    /// A holder of one of an organization's keys, or of a portal session that a key opened.
    Key { id: String, organization: String, role: Role },
    /// odometer itself, when something falls due.
    Schedule,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Key { id, .. } => write!(f, "key {id}"),
            Self::Schedule => f.write_str("schedule"),
        }
    }
}

/// Who asks for a change, and under which idempotency key.
#[derive(Clone, Debug)]
pub struct Caller {
    pub actor: Actor,
    /// The answer is stored with the change, in one transaction.
    pub idempotency: Option<Pending>,
}

impl Caller {
    pub fn operator() -> Self {
        Self { actor: Actor::Operator, idempotency: None }
    }

    /// odometer itself.
    pub fn schedule() -> Self {
        Self { actor: Actor::Schedule, idempotency: None }
    }

    pub fn is_operator(&self) -> bool {
        !matches!(self.actor, Actor::Key { .. })
    }

    /// An organization's admin, or the operator.
    pub(super) fn require_admin(&self, organization: &str) -> AccountResult<()> {
        match &self.actor {
            Actor::Key { organization: own, .. } if own != organization => {
                Err(AccountError::OrganizationNotFound { organization: organization.to_owned() })
            }
            Actor::Key { role, .. } if *role != Role::Admin => {
                Err(AccountError::Role { role: role.as_str(), needed: "an admin" })
            }
            _ => Ok(()),
        }
    }

    pub fn require_operator(&self) -> AccountResult<()> {
        match &self.actor {
            Actor::Key { role, .. } => {
                Err(AccountError::Role { role: role.as_str(), needed: "the operator" })
            }
            _ => Ok(()),
        }
    }
}
