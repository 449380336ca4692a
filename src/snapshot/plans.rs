//! What accounts and the price book add to usage.

use std::sync::Arc;

use crate::accounts::{Account, AccountError, Accounts};
use crate::month::Month;
use crate::rating::PriceBook;

use super::cost::Bases;
use super::entitlement::FailPolicy;
use super::service::{SnapshotError, Snapshots};
use super::usage::{REGIONS, Trial, Usage};
use crate::clock::Time;

/// Whose plan is what, and what it costs.
#[derive(Debug)]
pub struct Plans {
    accounts: Arc<Accounts>,
    pub(super) book: PriceBook,
    pub(super) fail: FailPolicy,
    pub(super) bases: Bases,
}

impl Plans {
    pub fn new(accounts: Arc<Accounts>, book: PriceBook, fail: FailPolicy) -> Self {
        Self { accounts, book, fail, bases: Bases::default() }
    }

    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }
}

impl Snapshots {
    /// `None` where the organization has no account, or accounts are not shown.
    pub(super) async fn account(&self, organization: &str) -> Result<Option<Arc<Account>>, SnapshotError> {
        let Some(plans) = self.plans() else { return Ok(None) };
        match plans.accounts.account(organization).await {
            Ok(account) => Ok(Some(account)),
            Err(AccountError::OrganizationNotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn account_in_memory(&self, organization: &str) -> Option<Arc<Account>> {
        self.plans()?.accounts.directory()?.get(organization)
    }

    /// Whether the organization has an account that can't be read.
    pub(super) fn is_damaged(&self, organization: &str) -> bool {
        self.plans().is_some_and(|plans| plans.accounts.damaged().holds(organization))
    }
}

/// The instant that a month's answer speaks of: now, or the last one of a past month.
pub(super) fn instant_of(month: Month, now_ms: i64) -> i64 {
    now_ms.min(month.end_ms() - 1)
}

pub(super) fn show_account(usage: &mut Usage, account: &Account, month: Month, now_ms: i64) {
    let instant_ms = instant_of(month, now_ms);
    usage.plan = Some(account.plan(instant_ms));
    usage.trial = account.trial_ends_ms(instant_ms).map(|ends_ms| Trial { ends_at: Time(ends_ms) });
    usage.usage.set(REGIONS, account.regions.len() as u128);
}
