use super::*;

fn spans(periods: &[PlanPeriod], plan: Plan) -> Vec<Span> {
    billable_spans(month("2026-11"), periods).unwrap().remove(&plan).unwrap_or_default()
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
        let span = Span { from_ms: at(from), to_ms: at(to) };
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
