use super::*;

fn chart(days: &[(&str, &[(usize, u128)])]) -> Chart {
    let month: Month = "2026-11".parse().expect("a month");
    let filled = days.iter().map(|(region, values)| {
        let mut all = vec![0; 30];
        values.iter().for_each(|(day, value)| all[day - 1] = *value);
        (Arc::from(*region), all)
    });
    let now = "2026-11-23T18:00:01Z".parse().expect("a time");
    Chart { month, now, days: Arc::new(filled.collect()) }
}

#[test]
fn scales_end_in_a_round_number() {
    for (value, top) in
        [(1, 2), (2, 2), (3, 4), (7, 8), (11, 20), (99, 100), (12_345, 20_000), (41_000, 50_000)]
    {
        assert_eq!(rounded_up(value), top, "{value}");
    }
    for (value, shown) in [(0, "0"), (950, "950"), (1_000, "1k"), (1_500, "1.5k"), (2_000_000, "2M")] {
        assert_eq!(short(value), shown);
    }
}

#[test]
fn bars_and_table_say_the_same() {
    let chart = chart(&[("eu", &[(1, 500), (23, 10)]), ("us", &[(1, 500), (2, 250)])]);
    let bars = chart.bars().into_string();
    assert!(bars.contains("1 Nov: 1,000 API calls"), "{bars}");
    // A thousand is the top: the first day's regions share the height, the second has a quarter.
    assert!(bars.contains(r#"<rect class="r0" x="1" y="500" width="8" height="500">"#), "{bars}");
    assert!(bars.contains(r#"<rect class="r1" x="1" y="0" width="8" height="500">"#), "{bars}");
    assert!(bars.contains(r#"<rect class="r1" x="11" y="750" width="8" height="250">"#), "{bars}");
    assert!(bars.contains("1,260 this month, most on 1 Nov with 1,000"), "{bars}");
    let table = chart.table().into_string();
    assert_eq!(table.matches("<tr>").count(), 1 + 23, "days to come have no row");
    assert!(table.contains(r#"<data value="1000">1,000</data>"#), "{table}");
    let empty = self::chart(&[]).bars().into_string();
    assert!(empty.contains("No API calls yet"), "{empty}");
}
