use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

#[cfg(test)]
mod tests;

/// What must hold before this process does its work, check by check: connected, assigned, flushing.
/// Whoever does a part of the work keeps its own check up to date; `/readyz` shows them all.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<RwLock<BTreeMap<String, Option<String>>>>,
}

/// One check, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckState {
    pub name: String,
    /// Why the check does not hold; `None` where it does.
    pub reason: Option<String>,
}

/// One part's own check; it is gone when this is dropped.
#[derive(Debug)]
pub struct ReadinessCheck {
    name: String,
    readiness: Readiness,
}

impl Readiness {
    /// A new check, which does not hold until [`ReadinessCheck::ready`]. Names are unique in a
    /// process, short and lower-case: `kafka`, `assignment`.
    pub fn check(&self, name: &str) -> ReadinessCheck {
        let check = ReadinessCheck { name: name.to_owned(), readiness: self.clone() };
        check.not_ready("starting");
        check
    }

    /// Every check, by name.
    pub fn report(&self) -> Vec<CheckState> {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        let state = |(name, reason): (&String, &Option<String>)| CheckState {
            name: name.clone(),
            reason: reason.clone(),
        };
        checks.iter().map(state).collect()
    }

    fn set(&self, name: &str, reason: Option<String>) {
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.to_owned(), reason);
    }
}

impl ReadinessCheck {
    pub fn ready(&self) {
        self.readiness.set(&self.name, None);
    }

    /// `reason` says what is wrong and names what it waits for.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.readiness.set(&self.name, Some(reason.into()));
    }
}

impl Drop for ReadinessCheck {
    fn drop(&mut self) {
        let mut checks = self.readiness.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.remove(&self.name);
    }
}
