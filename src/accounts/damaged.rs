//! Organizations of which something that is stored can't be read. They are left out, and the others go
//! on: one row keeps no process from starting and no other organization waiting.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::AccountError;

/// How often those that could not be read are read again: who mends a row by hand leaves no entry in
/// the account log.
const LOOKED_AT_AGAIN: Duration = Duration::from_secs(10);

/// What could not be done for the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Without its account it is answered nothing.
    ReadAccount,
    /// The key opens nothing.
    ReadKey,
    /// What fell due waits.
    DoWhatIsDue,
}

impl Work {
    fn words(self) -> &'static str {
        match self {
            Self::ReadAccount => "read an organization",
            Self::ReadKey => "read an API key",
            Self::DoWhatIsDue => "do what is due for an organization",
        }
    }
}

/// Which they are, and why.
#[derive(Debug, Default)]
pub struct Damaged {
    causes: Mutex<BTreeMap<(String, Work), String>>,
    looked_at: Mutex<Option<Instant>>,
}

impl Damaged {
    fn causes(&self) -> MutexGuard<'_, BTreeMap<(String, Work), String>> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told once, until it is mended.
    pub(super) fn note(&self, work: Work, organization: &str, error: &AccountError) {
        let mut causes = self.causes();
        if causes.insert((organization.to_owned(), work), error.to_string()).is_none() {
            tracing::error!(organization, %error, "{}; the others go on", work.words());
        }
        count(&causes);
    }

    pub(super) fn mended(&self, work: Work, organization: &str) {
        let mut causes = self.causes();
        // The usual case allocates nothing.
        if causes.is_empty() {
            return;
        }
        if causes.remove(&(organization.to_owned(), work)).is_some() {
            tracing::info!(organization, "{}: works again", work.words());
            count(&causes);
        }
    }

    /// By organization, each once, and why.
    pub fn list(&self) -> Vec<(String, String)> {
        let causes = self.causes();
        let mut list: Vec<(String, String)> = Vec::new();
        for ((organization, _), cause) in causes.iter() {
            if list.last().is_none_or(|(last, _)| last != organization) {
                list.push((organization.clone(), cause.clone()));
            }
        }
        list
    }

    /// Whether its account is one that can't be read.
    pub fn holds(&self, organization: &str) -> bool {
        let causes = self.causes();
        !causes.is_empty() && causes.contains_key(&(organization.to_owned(), Work::ReadAccount))
    }

    /// Those whose account or key could not be read, when it is time to read them again.
    pub(super) fn due_again(&self, now: Instant) -> Vec<String> {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_some_and(|looked_at| now - looked_at < LOOKED_AT_AGAIN) {
            return Vec::new();
        }
        *looked_at = Some(now);
        let causes = self.causes();
        let read = causes.keys().filter(|(_, work)| *work != Work::DoWhatIsDue);
        let mut organizations: Vec<String> = read.map(|(organization, _)| organization.clone()).collect();
        organizations.dedup();
        organizations
    }
}

fn count(causes: &BTreeMap<(String, Work), String>) {
    let mut organizations: Vec<&str> = causes.keys().map(|(organization, _)| organization.as_str()).collect();
    organizations.dedup();
    metrics::gauge!("odometer_accounts_damaged").set(u32::try_from(organizations.len()).unwrap_or(u32::MAX));
}
