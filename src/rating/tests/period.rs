use super::super::period::{billed_spans, spans_of_plans};
use super::*;
use crate::event::HOUR_MS;

fn spans(periods: &[PlanPeriod], plan: Plan) -> Vec<Span> {
    spans_of_plans(month("2026-11"), periods, HourRule::CURRENT).unwrap().remove(&plan).unwrap_or_default()
}

#[test]
fn an_hour_is_billed_by_a_plan_that_covers_it_wholly() {
    let november = month("2026-11").hours();
    let first = november.start;
    for (from, to, hours) in [
        ("2026-11-01T00:00:00Z", "2026-11-01T02:00:00Z", first..first + 2),
        ("2026-11-01T00:00:00.001Z", "2026-11-01T02:00:00Z", first + 1..first + 2),
        ("2026-11-01T00:00:00Z", "2026-11-01T01:59:59.999Z", first..first + 1),
        ("2026-11-01T00:30:00Z", "2026-11-01T00:40:00Z", first + 1..first + 1),
        ("2026-10-31T22:30:00Z", "2026-11-01T01:30:00Z", first..first + 1),
        ("2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", november.clone()),
    ] {
        let found = spans(&[on(Plan::Plus, from, Some(to))], Plan::Plus);
        let found: Vec<_> = found.iter().map(Span::hours).collect();
        assert_eq!(found, [hours], "{from} to {to}");
    }
}

#[test]
fn seconds_are_whole_and_never_more_than_were_covered() {
    for (from, to, seconds) in [
        ("2026-11-01T00:00:00Z", "2026-11-01T00:00:01Z", 1),
        ("2026-11-01T00:00:00.001Z", "2026-11-01T00:00:02.999Z", 1),
        ("2026-11-01T00:00:00.400Z", "2026-11-01T00:00:00.600Z", 0),
        ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 2_592_000),
    ] {
        let span = Span::of(at(from), at(to));
        assert_eq!(span.seconds(), seconds, "{from} to {to}");
    }
}

#[test]
fn adjoining_periods_are_one_and_a_change_of_plan_cuts() {
    let plus = |from, to| on(Plan::Plus, from, Some(to));
    let touching = [
        plus("2026-11-02T00:00:00Z", "2026-11-03T00:30:00Z"),
        plus("2026-11-03T00:30:00Z", "2026-11-04T00:00:00Z"),
    ];
    assert_eq!(spans(&touching, Plan::Plus).len(), 1);
    let cut = [
        plus("2026-11-02T00:00:00Z", "2026-11-03T00:30:00Z"),
        on(Plan::Free, "2026-11-03T00:30:00Z", Some("2026-11-03T00:31:00Z")),
        plus("2026-11-03T00:31:00Z", "2026-11-04T00:00:00Z"),
    ];
    let hours: u32 = spans(&cut, Plan::Plus).iter().map(|span| span.hours().len() as u32).sum();
    assert_eq!(hours, 47, "the hour of the changes belongs to neither");
}

#[test]
fn other_months_do_not_touch_this_one() {
    let before = on(Plan::Plus, "2026-09-01T00:00:00Z", Some("2026-11-01T00:00:00Z"));
    let after = on(Plan::Plus, "2026-12-01T00:00:00Z", None);
    assert_eq!(spans(&[before, after], Plan::Plus), []);
}

/// Plus but for a minute before the end of each of the first `changes` hours.
fn off_each_hour(changes: i64) -> Vec<PlanPeriod> {
    let start = month("2026-11").start_ms();
    let mut from_ms = start;
    let mut periods = Vec::new();
    for number in 0..changes {
        let end_ms = start + number * HOUR_MS + 59 * 60_000;
        periods.push(PlanPeriod { plan: Plan::Plus, trial: false, from_ms, to_ms: Some(end_ms - 60_000) });
        periods.push(PlanPeriod {
            plan: Plan::Free,
            trial: false,
            from_ms: end_ms - 60_000,
            to_ms: Some(end_ms),
        });
        from_ms = end_ms;
    }
    periods.push(PlanPeriod { plan: Plan::Plus, trial: false, from_ms, to_ms: None });
    periods
}

#[test]
fn who_changes_plans_every_hour_pays_from_the_fifth_on() {
    let whole = month("2026-11").hours().len();
    for (changes, free) in [(0, 0), (1, 1), (4, 4), (5, 4), (24, 4), (720, 4)] {
        let billed: usize =
            spans(&off_each_hour(changes), Plan::Plus).iter().map(|span| span.hours().len()).sum();
        assert_eq!(billed, whole - free, "{changes} changes");
        assert!(spans(&off_each_hour(changes), Plan::Free).iter().all(|span| span.hours().is_empty()));
    }
}

/// Plus but for the second half of each of the first `changes` hours, which is on Enterprise.
fn on_enterprise_each_hour(changes: i64) -> Vec<PlanPeriod> {
    let enterprise = |period: PlanPeriod| match period.plan {
        Plan::Free => PlanPeriod { plan: Plan::Enterprise, ..period },
        _ => period,
    };
    off_each_hour(changes).into_iter().map(enterprise).collect()
}

#[test]
fn a_further_hour_shared_with_enterprise_is_of_enterprise_and_not_billed() {
    let whole = month("2026-11").hours().len();
    for changes in [1, 4, 5, 24] {
        let billed =
            billed_spans(month("2026-11"), &on_enterprise_each_hour(changes), HourRule::CURRENT).unwrap();
        assert_eq!(billed.keys().collect::<Vec<_>>(), [&Plan::Plus]);
        let hours: usize = billed[&Plan::Plus].iter().map(|span| span.hours().len()).sum();
        assert_eq!(hours, whole - changes as usize, "{changes} changes");
    }
}

#[test]
fn what_was_closed_by_the_first_rule_is_computed_by_it() {
    let book = PriceBook::built_in();
    let mut kept = serde_json::to_value(book.at(month("2026-11"))).unwrap();
    kept.as_object_mut().unwrap().remove("shared_hours").expect("the rule is kept");
    let version: PriceBookVersion = serde_json::from_value(kept.clone()).unwrap();
    assert_eq!(serde_json::to_value(&version).unwrap(), kept, "its digest stays");
    let hours = |version: &PriceBookVersion| -> usize {
        let plans = version.charged_spans(month("2026-11"), &on_enterprise_each_hour(24)).unwrap();
        plans.iter().flat_map(|(_, spans)| spans).map(|span| span.hours().len()).sum()
    };
    let whole = month("2026-11").hours().len();
    assert_eq!((hours(&version), hours(book.at(month("2026-11")))), (whole - 4, whole - 24));
}

#[test]
fn the_hour_of_a_trials_end_is_free_whatever_comes_before_it() {
    let mut periods = off_each_hour(10);
    let last = periods.last_mut().unwrap();
    let (from, end) = (last.from_ms, at("2026-11-20T09:17:00Z"));
    *last = PlanPeriod { plan: Plan::Plus, trial: true, from_ms: from, to_ms: Some(end) };
    periods.push(PlanPeriod { plan: Plan::Plus, trial: false, from_ms: end, to_ms: None });
    let found = spans(&periods, Plan::Plus);
    assert_eq!(found.last().unwrap().hours().start, hour_of("2026-11-20T10:00:00Z"));
}

fn hour_of(time: &str) -> u32 {
    u32::try_from(at(time) / HOUR_MS).unwrap()
}
