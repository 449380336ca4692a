use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::event::{HOUR_MS, Plan, PlanPeriod};
use crate::month::Month;

use super::RatingError;

/// How the hours that plans share are billed. It is kept with the price list of a closed month, so
/// that an invoice is computed again by the rule that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HourRule {
    /// Hours of a month that plans may share without any of them billing it; whoever changes plans
    /// more often is billed for the further ones.
    pub free: u8,
    /// Whether an hour that Enterprise has a part of is one that plans share. It was not at first:
    /// a further one was billed to the other plan, which did not cover it.
    pub with_enterprise: bool,
}

impl HourRule {
    /// What is closed from now on.
    pub const CURRENT: Self = Self { free: 4, with_enterprise: true };
    /// Of price lists that were kept without one.
    const FIRST: Self = Self { free: 4, with_enterprise: false };

    pub(super) fn first() -> Self {
        Self::FIRST
    }

    pub(super) fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

/// A stretch of one month that a plan bills: [from, to), in epoch milliseconds, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
    /// The hours whose usage the plan bills: [first, end), counted from the epoch.
    first_hour: u32,
    end_hour: u32,
}

impl Span {
    /// It bills the hours that it covers wholly.
    pub fn of(from_ms: i64, to_ms: i64) -> Self {
        let first_hour = hour(from_ms + HOUR_MS - 1);
        Self { from_ms, to_ms, first_hour, end_hour: hour(to_ms).max(first_hour) }
    }

    pub fn whole(month: Month) -> Self {
        Self::of(month.start_ms(), month.end_ms())
    }

    /// The hours (counted from the epoch) whose usage the plan bills.
    pub fn hours(&self) -> Range<u32> {
        self.first_hour..self.end_hour
    }

    /// The hours that it covers in part: none, one or two.
    fn partial_hours(&self) -> impl Iterator<Item = u32> {
        let ends = [self.from_ms, self.to_ms].into_iter().filter(|ms| ms.rem_euclid(HOUR_MS) != 0);
        ends.map(hour)
    }

    /// Bills an hour that it covers in part too.
    fn bill_all_of(&mut self, hour: u32) {
        match self.hours().is_empty() {
            true => (self.first_hour, self.end_hour) = (hour, hour + 1),
            false => {
                self.first_hour = self.first_hour.min(hour);
                self.end_hour = self.end_hour.max(hour + 1);
            }
        }
    }

    /// The whole seconds that the plan covers; recurring prices are prorated by them.
    pub fn seconds(&self) -> u64 {
        let first = self.from_ms.div_euclid(1000) + i64::from(self.from_ms.rem_euclid(1000) > 0);
        let end = self.to_ms.div_euclid(1000);
        u64::try_from((end - first).max(0)).expect("not negative")
    }
}

fn hour(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(HOUR_MS)).expect("a span lies in a month after 1970")
}

/// What invoices and estimates bill of the month, by plan. Enterprise is billed by contract; it has
/// its part in the hours that it shares all the same.
pub fn billed_spans(
    month: Month,
    periods: &[PlanPeriod],
    rule: HourRule,
) -> Result<BTreeMap<Plan, Vec<Span>>, RatingError> {
    if rule.with_enterprise {
        let mut plans = spans_of_plans(month, periods, rule)?;
        plans.remove(&Plan::Enterprise);
        return Ok(plans);
    }
    let others: Vec<PlanPeriod> =
        periods.iter().filter(|period| period.plan != Plan::Enterprise).copied().collect();
    spans_of_plans(month, &others, rule)
}

/// What each plan has of the month. Trials bill nothing; a period without an end reaches the
/// month's end; adjoining periods on one plan are one. The order of the periods does not matter.
pub(super) fn spans_of_plans(
    month: Month,
    periods: &[PlanPeriod],
    rule: HourRule,
) -> Result<BTreeMap<Plan, Vec<Span>>, RatingError> {
    let mut within: Vec<(Span, &PlanPeriod)> =
        periods.iter().filter_map(|period| Some((clip(month, period)?, period))).collect();
    within.sort_by_key(|(span, _)| span.from_ms);
    if let Some(pair) = within.windows(2).find(|pair| pair[0].0.to_ms > pair[1].0.from_ms) {
        return Err(RatingError::PeriodsOverlap { month, first: *pair[0].1, second: *pair[1].1 });
    }
    let mut plans: BTreeMap<Plan, Vec<Span>> = BTreeMap::new();
    for (span, period) in within.iter().filter(|(_, period)| !period.trial) {
        let spans = plans.entry(period.plan).or_default();
        match spans.last_mut() {
            Some(last) if last.to_ms == span.from_ms => *last = Span::of(last.from_ms, span.to_ms),
            _ => spans.push(*span),
        }
    }
    let in_trial = |hour: u32| {
        let trials = within.iter().filter(|(_, period)| period.trial);
        trials.into_iter().any(|(span, _)| span.partial_hours().any(|partial| partial == hour))
    };
    bill_further_shared_hours(&mut plans, rule, in_trial);
    Ok(plans)
}

/// The hour in which a plan changes is billed by neither plan, in the customer's favour; but in a
/// month no more than [`HourRule::free`], or whoever changes the plan every hour would never pay. A
/// further one is billed by the highest plan that was held in it. An hour in which a trial ends is
/// always free: nobody has two trials.
fn bill_further_shared_hours(
    plans: &mut BTreeMap<Plan, Vec<Span>>,
    rule: HourRule,
    in_trial: impl Fn(u32) -> bool,
) {
    let shared: BTreeSet<u32> = plans.values().flatten().flat_map(Span::partial_hours).collect();
    let further = shared.into_iter().filter(|hour| !in_trial(*hour)).skip(rule.free.into());
    for hour in further {
        let held = plans.values_mut().rev().flatten();
        let span = held.into_iter().find(|span| span.partial_hours().any(|partial| partial == hour));
        if let Some(span) = span {
            span.bill_all_of(hour);
        }
    }
}

fn clip(month: Month, period: &PlanPeriod) -> Option<Span> {
    let from_ms = period.from_ms.max(month.start_ms());
    let to_ms = period.to_ms.unwrap_or(i64::MAX).min(month.end_ms());
    (from_ms < to_ms).then(|| Span::of(from_ms, to_ms))
}
