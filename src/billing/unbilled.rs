//! Organizations that could not be billed: what is damaged of one must not keep the others waiting.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::accounts::AccountError;

use super::error::{BillingError, BillingResult};

/// By organization, why it was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Unbilled(BTreeMap<String, String>);

impl Unbilled {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(organization, cause)| (organization.as_str(), cause.as_str()))
    }

    pub fn contains(&self, organization: &str) -> bool {
        self.0.contains_key(organization)
    }

    pub fn add(&mut self, organization: &str, cause: &impl ToString) {
        self.0.entry(organization.to_owned()).or_insert_with(|| cause.to_string());
    }

    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// What the attempt gave; a failure that is the organization's own leaves it out.
    pub fn take<T>(&mut self, organization: &str, attempt: BillingResult<T>) -> BillingResult<Option<T>> {
        match attempt {
            Ok(made) => Ok(Some(made)),
            Err(error) if is_damage(&error) => {
                self.add(organization, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// An error that tells of them, where there are some.
    pub fn into_result(self) -> BillingResult<()> {
        match self.0.iter().next() {
            None => Ok(()),
            Some((organization, cause)) => Err(BillingError::Unbilled {
                count: self.0.len(),
                organization: organization.clone(),
                cause: cause.clone(),
            }),
        }
    }
}

/// Whether it is what one organization has that can't be read or priced, and not a server.
fn is_damage(error: &BillingError) -> bool {
    match error {
        BillingError::Rating { .. }
        | BillingError::TotalTooGreat { .. }
        | BillingError::NoHomeRegion { .. } => true,
        BillingError::Database(error) | BillingError::Account(AccountError::Database(error)) => {
            error.is_unreadable()
        }
        _ => false,
    }
}
