use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn row(service: &str, time_ms: i64, exists: Option<bool>, published: Option<bool>) -> ServiceRow {
    ServiceRow {
        organization: "acme".into(),
        region: "us".into(),
        service: service.into(),
        version: time_ms,
        time_ms,
        source: "catalog".into(),
        id: format!("{service}-{time_ms}"),
        exists,
        published,
        name: None,
    }
}

fn created(service: &str, time_ms: i64) -> ServiceRow {
    row(service, time_ms, Some(true), Some(false))
}

fn deleted(service: &str, time_ms: i64) -> ServiceRow {
    row(service, time_ms, Some(false), None)
}

fn counts(services: u64, published: u64) -> ServiceCounts {
    ServiceCounts { services, published }
}

#[test]
fn publication_is_a_register_of_its_own() {
    let publish = row("a", 20, Some(true), Some(true));
    let unpublish = row("a", 30, None, Some(false));
    let cases: [(&[&ServiceRow], ServiceCounts); 6] = [
        (&[&created("a", 10)], counts(1, 0)),
        (&[&created("a", 10), &publish], counts(1, 1)),
        (&[&publish, &created("a", 10)], counts(1, 1)),
        (&[&created("a", 10), &publish, &unpublish], counts(1, 0)),
        (&[&unpublish], counts(0, 0)),
        (&[&publish, &deleted("a", 40)], counts(0, 0)),
    ];
    for (rows, expected) in cases {
        assert_eq!(Catalog::of(rows.iter().copied()).total(), expected, "{rows:?}");
    }
}

#[test]
fn a_past_catalog_is_what_events_timed_before_its_end_say() {
    let rows = [created("a", 10), deleted("a", 20), created("b", 15)];
    assert_eq!(Catalog::before(&rows, 10).total(), counts(0, 0));
    assert_eq!(Catalog::before(&rows, 11).total(), counts(1, 0));
    assert_eq!(Catalog::before(&rows, 20).total(), counts(2, 0));
    assert_eq!(Catalog::before(&rows, 21).total(), counts(1, 0));
}

#[test]
fn a_peak_counts_what_stood_at_one_instant() {
    let rows = [created("a", 10), deleted("a", 20), created("b", 20), created("c", 25), deleted("b", 30)];
    let cases = [
        (0..10, 0),
        (0..11, 1),
        (0..20, 1),
        // Deleted and created at one instant: never two at once.
        (0..21, 1),
        (0..100, 2),
        (25..30, 2),
        (30..100, 1),
        (26..27, 2),
        (50..50, 0),
    ];
    for (period, services) in cases {
        assert_eq!(peak(&rows, period.clone()).services, services, "{period:?}");
    }
}

fn any_row() -> impl Strategy<Value = ServiceRow> {
    let flag = || prop::option::of(any::<bool>());
    (0..3_u8, 0..2_u8, 0..4_i64, 0..6_i64, 0..2_u8, 0..2_u8, flag(), flag()).prop_map(
        |(service, region, version, time_ms, source, id, exists, published)| ServiceRow {
            organization: "acme".into(),
            region: ["us", "eu"][usize::from(region)].into(),
            service: format!("service-{service}"),
            version,
            time_ms,
            source: format!("source-{source}"),
            id: format!("id-{id}"),
            exists,
            published,
            name: None,
        },
    )
}

/// The rule once more, as plainly as it can be said.
fn naive(rows: &[ServiceRow]) -> ServiceCounts {
    let mut services: BTreeMap<(&str, &str), Vec<&ServiceRow>> = BTreeMap::new();
    for row in rows {
        services.entry((&row.region, &row.service)).or_default().push(row);
    }
    let latest = |rows: &[&ServiceRow], field: fn(&ServiceRow) -> Option<bool>| {
        rows.iter()
            .filter_map(|row| Some((row.version, row.time_ms, &row.source, &row.id, field(row)?)))
            .max()
            .is_some_and(|(.., value)| value)
    };
    let mut total = ServiceCounts::default();
    for rows in services.values() {
        let exists = latest(rows, |row| row.exists);
        total.services += u64::from(exists);
        total.published += u64::from(exists && latest(rows, |row| row.published));
    }
    total
}

proptest! {
    #[test]
    fn any_order_and_any_repeats_give_the_same(
        rows in prop::collection::vec(any_row(), 0..20),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let expected = naive(&rows);
        prop_assert_eq!(Catalog::of(&rows).total(), expected);
        if !rows.is_empty() {
            let shuffled = order.iter().map(|index| &rows[index.index(rows.len())]);
            let repeated = Catalog::of(shuffled.chain(rows.iter().rev()));
            prop_assert_eq!(repeated.total(), expected);
        }
    }

    #[test]
    fn a_peak_is_the_greatest_over_every_instant(
        rows in prop::collection::vec(any_row(), 0..20),
        start in 0..7_i64,
        length in 0..7_i64,
    ) {
        let at = |instant| {
            let until: Vec<_> = rows.iter().filter(|row| row.time_ms <= instant).cloned().collect();
            naive(&until)
        };
        let expected = (start..start + length)
            .fold(ServiceCounts::default(), |greatest, instant| greatest.max(at(instant)));
        prop_assert_eq!(peak(&rows, start..start + length), expected);
    }

    #[test]
    fn peaks_of_several_periods_are_those_of_each(
        mut rows in prop::collection::vec(any_row(), 0..20),
        periods in prop::collection::vec((0..7_i64, 0..7_i64), 0..4),
    ) {
        let periods = periods.into_iter().map(|(start, length)| start..start + length);
        let expected: Vec<_> = periods.clone().map(|period| (period.clone(), peak(&rows, period))).collect();
        rows.sort_by_key(|row| row.time_ms);
        let mut peaks = Peaks::over(periods);
        for row in &rows {
            peaks.take(row);
        }
        prop_assert_eq!(peaks.finish(), expected);
    }
}
