use proptest::prelude::*;

use super::*;

fn count(organization: &str, meter: &str, region: &str, hour: u32, value: u128) -> CountRow {
    let fold = if meter == "peak_bytes" { Fold::Max } else { Fold::Sum };
    CountRow {
        organization: organization.into(),
        meter: meter.into(),
        region: region.into(),
        hour,
        fold,
        value,
    }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn value(totals: &Totals, region: &str, meter: &str) -> u128 {
    totals.regions.get(region).and_then(|totals| totals.meters.get(meter)).map_or(0, |used| used.value())
}

#[test]
fn usage_adds_up_by_month_and_region() {
    let november = month("2026-11").hours();
    let table = Table::new(month("2026-11"));
    let rows = [
        count("acme", "api_calls", "us", november.start, 5),
        count("acme", "api_calls", "us", november.end - 1, 7),
        count("acme", "api_calls", "us", november.end, 100),
        count("acme", "api_calls", "eu", november.start, 2),
        count("other", "api_calls", "us", november.start, 1),
    ];
    let changed = table.apply(&rows, &[]);
    assert_eq!(changed, [Arc::from("acme"), Arc::from("other")]);
    let totals = table.totals("acme", month("2026-11")).unwrap();
    assert_eq!(value(&totals, "us", "api_calls"), 12);
    assert_eq!(value(&totals, "eu", "api_calls"), 2);
    let december = table.totals("acme", month("2026-12")).unwrap();
    assert_eq!(value(&december, "us", "api_calls"), 100);
    assert!(table.totals("nobody", month("2026-11")).is_none());
}

#[test]
fn a_max_meter_keeps_its_greatest_value() {
    let hour = month("2026-11").hours().start;
    let table = Table::new(month("2026-11"));
    assert_eq!(table.apply(&[count("acme", "peak_bytes", "us", hour, 9)], &[]).len(), 1);
    assert!(table.apply(&[count("acme", "peak_bytes", "us", hour + 30, 4)], &[]).is_empty());
    let mut totals = table.totals("acme", month("2026-11")).unwrap();
    assert_eq!(value(&totals, "us", "peak_bytes"), 9);
    totals.join(&Totals::of(
        &[count("acme", "peak_bytes", "us", hour, 11), count("acme", "api_calls", "us", hour, 1)],
        &Catalog::default(),
        month("2026-11"),
    ));
    assert_eq!(value(&totals, "us", "peak_bytes"), 11);
    assert_eq!(value(&totals, "us", "api_calls"), 1);
}

#[test]
fn late_usage_of_an_earlier_month_makes_the_organization_known_and_changes_nothing() {
    let table = Table::new(month("2026-11"));
    let rows = [count("acme", "api_calls", "us", month("2026-10").hours().start, 5)];
    assert!(table.apply(&rows, &[]).is_empty());
    assert_eq!(table.totals("acme", month("2026-11")), Some(Totals::default()));
}

#[test]
fn an_organization_without_usage_is_absent_until_a_block_names_it() {
    let table = Table::new(month("2026-11"));
    assert!(!table.is_absent("acme"), "nobody has asked the store");
    table.know_absent("acme");
    assert!(table.is_absent("acme") && !table.is_absent("other"));
    table.apply(&[count("acme", "api_calls", "us", month("2026-10").hours().start, 5)], &[]);
    assert!(!table.is_absent("acme"), "a block tells of it, if only in another month");
}

#[test]
fn a_zero_quantity_is_no_usage_but_shows_the_region() {
    let table = Table::new(month("2026-11"));
    let rows = [count("acme", "api_calls", "us", month("2026-11").hours().start, 0)];
    assert_eq!(table.apply(&rows, &[]).len(), 1);
    assert!(table.totals("acme", month("2026-11")).unwrap().regions["us"].is_zero());
}

#[test]
fn a_reader_sees_a_block_whole_or_not_at_all() {
    let hour = month("2026-11").hours().start;
    let table = Table::new(month("2026-11"));
    let block = [count("acme", "api_calls", "us", hour, 1), count("acme", "tokens", "eu", hour, 1)];
    let blocks = 5_000;
    std::thread::scope(|scope| {
        scope.spawn(|| (0..blocks).for_each(|_| drop(table.apply(&block, &[]))));
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < blocks {
                    let totals = table.totals("acme", month("2026-11")).unwrap_or_default();
                    let calls = value(&totals, "us", "api_calls");
                    assert_eq!(calls, value(&totals, "eu", "tokens"));
                    assert!(calls >= last, "{calls} after {last}");
                    last = calls;
                }
            });
        }
    });
}

fn any_count() -> impl Strategy<Value = CountRow> {
    let november = month("2026-11").hours().start;
    (0..3_u8, 0..2_u8, 0..2_u8, 0..1500_u32, 0..1000_u128).prop_map(
        move |(organization, meter, region, hour, value)| {
            let meter = ["api_calls", "peak_bytes"][usize::from(meter)];
            let region = ["us", "eu"][usize::from(region)];
            count(&format!("org-{organization}"), meter, region, november - 10 + hour, value)
        },
    )
}

proptest! {
    #[test]
    fn cutting_the_rows_into_blocks_changes_nothing(
        rows in prop::collection::vec(any_count(), 0..60),
        cut in 1..20_usize,
    ) {
        let table = Table::new(month("2026-11"));
        for block in rows.chunks(cut) {
            table.apply(block, &[]);
        }
        for organization in ["org-0", "org-1", "org-2"] {
            let own: Vec<CountRow> =
                rows.iter().filter(|row| row.organization == organization).cloned().collect();
            for month in [month("2026-11"), month("2026-12")] {
                let expected = (!own.is_empty()).then(|| Totals::of(&own, &Catalog::default(), month));
                prop_assert_eq!(table.totals(organization, month), expected);
            }
        }
    }
}
