use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::{HOUR_MS, Plan, PlanPeriod};
use crate::month::Month;

use super::RatingError;

/// A stretch of one month that a plan bills: [from, to), in epoch milliseconds, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Span {
    /// The hours (counted from the epoch) whose usage the plan bills: those that it covers wholly.
    /// An hour that two plans share is billed by neither, which is in the customer's favour.
    pub fn hours(&self) -> Range<u32> {
        let first = hour(self.from_ms + HOUR_MS - 1);
        first..hour(self.to_ms).max(first)
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

/// What each plan bills of the month. Trials bill nothing; a period without an end reaches the
/// month's end; adjoining periods on one plan are one. The order of the periods does not matter.
pub fn billable_spans(
    month: Month,
    periods: &[PlanPeriod],
) -> Result<BTreeMap<Plan, Vec<Span>>, RatingError> {
    let mut within: Vec<(Span, &PlanPeriod)> =
        periods.iter().filter_map(|period| Some((clip(month, period)?, period))).collect();
    within.sort_by_key(|(span, _)| span.from_ms);
    if let Some(pair) = within.windows(2).find(|pair| pair[0].0.to_ms > pair[1].0.from_ms) {
        return Err(RatingError::PeriodsOverlap { month, first: *pair[0].1, second: *pair[1].1 });
    }
    let mut plans: BTreeMap<Plan, Vec<Span>> = BTreeMap::new();
    for (span, period) in within.into_iter().filter(|(_, period)| !period.trial) {
        let spans = plans.entry(period.plan).or_default();
        match spans.last_mut() {
            Some(last) if last.to_ms == span.from_ms => last.to_ms = span.to_ms,
            _ => spans.push(span),
        }
    }
    Ok(plans)
}

fn clip(month: Month, period: &PlanPeriod) -> Option<Span> {
    let from_ms = period.from_ms.max(month.start_ms());
    let to_ms = period.to_ms.unwrap_or(i64::MAX).min(month.end_ms());
    (from_ms < to_ms).then_some(Span { from_ms, to_ms })
}
