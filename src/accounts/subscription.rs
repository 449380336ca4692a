//! The plans' state machine. Each state is a type and each transition a method of it that takes
//! what it needs as proof, so that a wrong order does not compile:
//!
//! ```compile_fail
//! use odometer::accounts::subscription::{Free, PaymentMethodSet};
//! fn nothing_to_cancel(free: Free) {
//!     free.cancel();
//! }
//! ```
//! ```compile_fail
//! use odometer::accounts::subscription::{Free, Plus};
//! fn no_payment_method(free: Free) -> Plus {
//!     free.upgrade()
//! }
//! ```
//! ```compile_fail
//! use odometer::accounts::subscription::{Enterprise, Free};
//! fn without_the_operator(enterprise: Enterprise) -> Free {
//!     enterprise.to_free()
//! }
//! ```

use crate::event::{Plan, PlanPeriod};

use super::caller::Caller;
use super::error::{AccountError, AccountResult};

/// How long a trial lasts: 30 days, to the millisecond.
pub const TRIAL_MS: i64 = 30 * 86_400_000;

/// On Plus without paying, until `ends_ms`.
#[derive(Debug, PartialEq, Eq)]
pub struct Trial {
    pub ends_ms: i64,
    /// What comes after: Plus where it was chosen, else Free.
    pub chosen_plus: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Free(());

#[derive(Debug, PartialEq, Eq)]
pub struct Plus(());

#[derive(Debug, PartialEq, Eq)]
pub struct Enterprise(());

#[derive(Debug, PartialEq, Eq)]
pub enum Subscription {
    Trial(Trial),
    Free(Free),
    Plus(Plus),
    Enterprise(Enterprise),
}

/// Proof that the organization has a default payment method.
#[derive(Debug)]
pub struct PaymentMethodSet(());

/// Proof that the operator acts.
#[derive(Debug)]
pub struct OperatorConsent(());

impl PaymentMethodSet {
    pub(super) fn prove(organization: &str, is_set: bool) -> AccountResult<Self> {
        let missing = || AccountError::PaymentMethodRequired { organization: organization.to_owned() };
        is_set.then_some(Self(())).ok_or_else(missing)
    }
}

impl OperatorConsent {
    /// Without the operator, whatever it is goes through sales.
    pub(super) fn prove(caller: &Caller, organization: &str, what: &'static str) -> AccountResult<Self> {
        let sales = || AccountError::ContactSales { organization: organization.to_owned(), what };
        caller.is_operator().then_some(Self(())).ok_or_else(sales)
    }
}

impl Trial {
    /// What every sign-up begins with.
    pub fn begin(now_ms: i64) -> Self {
        Self { ends_ms: now_ms + TRIAL_MS, chosen_plus: false }
    }

    /// The trial goes on to its end, and Plus follows.
    pub fn choose_plus(self, _: &PaymentMethodSet) -> Self {
        Self { chosen_plus: true, ..self }
    }

    pub fn cancel(self) -> Free {
        Free(())
    }

    pub fn to_enterprise(self, _: &OperatorConsent) -> Enterprise {
        Enterprise(())
    }
}

impl Free {
    pub fn upgrade(self, _: &PaymentMethodSet) -> Plus {
        Plus(())
    }

    pub fn to_enterprise(self, _: &OperatorConsent) -> Enterprise {
        Enterprise(())
    }
}

impl Plus {
    pub fn cancel(self) -> Free {
        Free(())
    }

    pub fn to_enterprise(self, _: &OperatorConsent) -> Enterprise {
        Enterprise(())
    }
}

impl Enterprise {
    pub fn to_plus(self, _: &OperatorConsent, _: &PaymentMethodSet) -> Plus {
        Plus(())
    }

    pub fn to_free(self, _: &OperatorConsent) -> Free {
        Free(())
    }
}

impl Subscription {
    /// The state that the periods say. `None` before the first.
    pub fn at(periods: &[PlanPeriod], now_ms: i64) -> Option<Self> {
        let period = period_at(periods, now_ms)?;
        if let (true, Some(ends_ms)) = (period.trial, period.to_ms) {
            let next = period_at(periods, ends_ms);
            let chosen_plus = next.is_some_and(|next| next.plan == Plan::Plus);
            return Some(Self::Trial(Trial { ends_ms, chosen_plus }));
        }
        Some(match period.plan {
            Plan::Free => Self::Free(Free(())),
            Plan::Plus => Self::Plus(Plus(())),
            Plan::Enterprise => Self::Enterprise(Enterprise(())),
        })
    }

    /// The periods from `now_ms` on.
    pub fn periods(&self, now_ms: i64) -> Vec<PlanPeriod> {
        let lasting = |plan, from_ms| PlanPeriod { plan, trial: false, from_ms, to_ms: None };
        match self {
            Self::Trial(Trial { ends_ms, chosen_plus }) => {
                let next = if *chosen_plus { Plan::Plus } else { Plan::Free };
                let trial =
                    PlanPeriod { plan: Plan::Plus, trial: true, from_ms: now_ms, to_ms: Some(*ends_ms) };
                vec![trial, lasting(next, *ends_ms)]
            }
            Self::Free(_) => vec![lasting(Plan::Free, now_ms)],
            Self::Plus(_) => vec![lasting(Plan::Plus, now_ms)],
            Self::Enterprise(_) => vec![lasting(Plan::Enterprise, now_ms)],
        }
    }
}

/// The period that the instant belongs to.
pub fn period_at(periods: &[PlanPeriod], now_ms: i64) -> Option<&PlanPeriod> {
    periods.iter().find(|period| period.from_ms <= now_ms && period.to_ms.is_none_or(|to_ms| now_ms < to_ms))
}
