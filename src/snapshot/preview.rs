//! What a change of plan would cost, before it is made.

use crate::accounts::Account;
use crate::event::{Plan, PlanPeriod};
use crate::rating::{Estimate, PriceBookVersion};

use super::cost::Bill;
use super::service::{SnapshotError, Snapshots};

/// What a plan would cost, were it chosen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The current month with the change in it; `None` where a trial lasts to the month's end.
    pub this_month: Option<Estimate>,
    /// A whole month of the plan with usage like this month's: its forecast is what one costs.
    pub whole_month: Estimate,
}

impl Snapshots {
    /// The price list of the current month; `None` where accounts are not shown.
    pub fn price_list(&self) -> Option<&PriceBookVersion> {
        self.plans().map(|plans| plans.book.at(self.current_month()))
    }

    /// `None` where the organization has no account.
    pub async fn preview(&self, organization: &str, plan: Plan) -> Result<Option<Preview>, SnapshotError> {
        let (Some(version), Some(account)) = (self.price_list(), self.account(organization).await?) else {
            return Ok(None);
        };
        let (month, now_ms) = (self.current_month(), self.clock().now_ms());
        let Some(joined) = self.figures(organization, month, true).await? else { return Ok(None) };
        let totals = &joined.figures.totals;
        let changed = with_plan(&account, plan, now_ms);
        let bill = |account| Bill { account, version, month, now_ms, totals };
        let this_month = match bill(&changed) {
            bill if bill.is_in_trial() && changed.trial_ends_ms(now_ms) >= Some(month.end_ms()) => None,
            bill if bill.needs_basis()? => Some(bill.rate(Some(&self.load_basis(&bill).await?))?),
            bill => Some(bill.rate(None)?),
        };
        let whole_month = bill(&always_on(&account, plan)).rate(None)?;
        Ok(Some(Preview { this_month, whole_month }))
    }

    /// What a whole month of a plan costs with usage like this month's: its forecast. `None` where
    /// the organization has no account.
    pub async fn whole_month(
        &self,
        organization: &str,
        plan: Plan,
    ) -> Result<Option<Estimate>, SnapshotError> {
        let (Some(version), Some(account)) = (self.price_list(), self.account(organization).await?) else {
            return Ok(None);
        };
        let (month, now_ms) = (self.current_month(), self.clock().now_ms());
        let Some(joined) = self.figures(organization, month, true).await? else { return Ok(None) };
        let account = always_on(&account, plan);
        let bill = Bill { account: &account, version, month, now_ms, totals: &joined.figures.totals };
        bill.rate(None).map(Some)
    }
}

fn always_on(account: &Account, plan: Plan) -> Account {
    let always = PlanPeriod { plan, trial: false, from_ms: i64::MIN, to_ms: None };
    Account { periods: vec![always], ..account.clone() }
}

/// The account as it would be. A trial goes on where Plus follows it.
fn with_plan(account: &Account, plan: Plan, now_ms: i64) -> Account {
    let trial_ends_ms = account.trial_ends_ms(now_ms).filter(|_| plan == Plan::Plus);
    let from_ms = trial_ends_ms.unwrap_or(now_ms);
    let mut periods: Vec<PlanPeriod> =
        account.periods.iter().copied().filter(|period| period.from_ms < from_ms).collect();
    if let Some(last) = periods.last_mut() {
        match last.plan == plan && !last.trial {
            true => last.to_ms = None,
            false => {
                last.to_ms = Some(from_ms);
                periods.push(PlanPeriod { plan, trial: false, from_ms, to_ms: None });
            }
        }
    }
    Account { periods, ..account.clone() }
}
