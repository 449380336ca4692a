use super::*;

fn hour(text: &str) -> u32 {
    let time: Time = text.parse().unwrap();
    u32::try_from(time.0 / HOUR_MS).unwrap()
}

fn series(from: &str, to: &str, window: Window) -> Series {
    Series { hours: hour(from)..hour(to), window, meter: None, region: None }
}

fn cuts(series: &Series) -> Vec<(String, String)> {
    let text = |hour| hour_start(hour).to_string();
    windows(series).map(|window| (text(window.start), text(window.end))).collect()
}

#[test]
fn windows_are_calendar_windows_cut_to_what_is_asked() {
    let days = series("2026-10-31T22:00:00Z", "2026-11-02T03:00:00Z", Window::Day);
    let expected = [
        ("2026-10-31T22:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
        ("2026-11-02T00:00:00Z", "2026-11-02T03:00:00Z"),
    ];
    assert_eq!(cuts(&days), expected.map(|(start, end)| (start.to_owned(), end.to_owned())));
    let months = series("2028-02-29T23:00:00Z", "2028-04-01T00:00:00Z", Window::Month);
    let expected =
        [("2028-02-29T23:00:00Z", "2028-03-01T00:00:00Z"), ("2028-03-01T00:00:00Z", "2028-04-01T00:00:00Z")];
    assert_eq!(cuts(&months), expected.map(|(start, end)| (start.to_owned(), end.to_owned())));
    assert_eq!(cuts(&series("2026-11-01T00:00:00Z", "2026-11-01T05:00:00Z", Window::Hour)).len(), 5);
    assert!(cuts(&series("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", Window::Day)).is_empty());
}

#[test]
fn a_stored_point_is_cut_to_what_is_asked() {
    let days = series("2026-11-01T22:00:00Z", "2026-11-02T03:00:00Z", Window::Day);
    let stored = |start: &str, value| SeriesPoint {
        start_ms: start.parse::<Time>().unwrap().0,
        region: "us".into(),
        meter: "api_calls".into(),
        value,
    };
    let first = Point::of(stored("2026-11-01T00:00:00Z", 5), &days);
    assert_eq!(
        (first.start.to_string(), first.end.to_string()),
        ("2026-11-01T22:00:00Z".into(), "2026-11-02T00:00:00Z".into())
    );
    let last = Point::of(stored("2026-11-02T00:00:00Z", 7), &days);
    assert_eq!(
        (last.start.to_string(), last.end.to_string()),
        ("2026-11-02T00:00:00Z".into(), "2026-11-02T03:00:00Z".into())
    );
    let joined = Point::join(vec![last.clone(), first.clone(), last.clone()]);
    assert_eq!(joined, [first, Point { value: 14, ..last }]);
}

fn service(service: &str, time: &str, exists: bool) -> ServiceRow {
    let time_ms = time.parse::<Time>().unwrap().0;
    ServiceRow {
        organization: "acme".into(),
        region: "us".into(),
        service: service.into(),
        version: time_ms,
        time_ms,
        source: "catalog".into(),
        id: time.into(),
        exists: Some(exists),
        published: Some(service == "public"),
        name: None,
    }
}

#[test]
fn the_catalog_is_counted_at_each_windows_end() {
    let rows = [
        service("public", "2026-11-02T05:00:00Z", true),
        service("private", "2026-11-01T05:00:00Z", true),
        // At the end of a day: what happens at midnight is the next day's.
        service("private", "2026-11-04T00:00:00Z", false),
        service("public", "2026-11-05T10:00:00Z", false),
    ];
    let count = |meter: &str| {
        let asked = series("2026-10-31T00:00:00Z", "2026-11-07T00:00:00Z", Window::Day);
        let points = catalog_points(&rows, &Series { meter: Some(meter.into()), ..asked });
        points
            .iter()
            .map(|point| (point.start.to_string()[8..10].to_owned(), point.value))
            .collect::<Vec<_>>()
    };
    let expect = |points: &[(&str, u128)]| {
        points.iter().map(|(day, value)| ((*day).to_owned(), *value)).collect::<Vec<_>>()
    };
    assert_eq!(count("services"), expect(&[("01", 1), ("02", 2), ("03", 2), ("04", 1)]));
    assert_eq!(count("published_services"), expect(&[("02", 1), ("03", 1), ("04", 1)]));
}
