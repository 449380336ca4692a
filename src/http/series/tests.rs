use super::*;

fn accept(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
}

#[test]
fn csv_is_given_to_whom_likes_it_best() {
    let cases = [
        ("text/csv", true),
        ("TEXT/CSV; charset=utf-8", true),
        ("text/csv, application/json;q=0.5", true),
        ("text/csv;q=0.5, application/json", false),
        ("*/*", false),
        ("text/csv, */*;q=0.1", true),
        ("application/json", false),
        ("text/html, */*", false),
    ];
    for (value, csv) in cases {
        assert_eq!(prefers_csv(&accept(value)), csv, "{value}");
    }
    assert!(!prefers_csv(&HeaderMap::new()));
}

#[test]
fn bounds_are_times_days_or_months() {
    let november = "2026-11-01T00:00:00Z".parse::<Time>().unwrap().0;
    for text in ["2026-11-01T00:00:00Z", "2026-11-01", "2026-11", "2026-11-01T01:00:00 01:00"] {
        assert_eq!(parse_bound("from", text).unwrap(), november, "{text}");
    }
    for text in ["", "now", "2026", "2026-13", "2026-11-31", "2026-11-01T00:00"] {
        assert_eq!(parse_bound("from", text).unwrap_err().slug(), "invalid-range", "{text}");
    }
}

#[test]
fn ranges_are_whole_hours_and_go_forward() {
    let hour = |count: i64| EARLIEST_TIME_MS + count * HOUR_MS;
    let first = u32::try_from(EARLIEST_TIME_MS / HOUR_MS).unwrap();
    assert_eq!(hours_between(hour(2), hour(5)).unwrap(), first + 2..first + 5);
    assert!(hours_between(hour(2), hour(2)).unwrap().is_empty());
    assert_eq!(
        hours_between(hour(2) + 1, hour(4) + 1).unwrap(),
        first + 2..first + 5,
        "touched hours are in"
    );
    assert!(hours_between(hour(2) + 1, hour(2) + 1).unwrap().is_empty());
    assert_eq!(hours_between(hour(5), hour(2)).unwrap_err().slug(), "invalid-range");
    assert_eq!(hours_between(0, hour(1)).unwrap(), first..first + 1, "nothing is counted before 2000");
    assert!(hours_between(i64::MAX / HOUR_MS * HOUR_MS, i64::MAX / HOUR_MS * HOUR_MS).is_ok());
}

#[test]
fn an_unknown_meter_is_answered_with_those_that_are() {
    let known = ["api_calls", "tokens"];
    assert!(check_meter("tokens", known.into_iter()).is_ok());
    for meter in ["", "token", "regions"] {
        assert_eq!(check_meter(meter, known.into_iter()).unwrap_err().slug(), "invalid-meter", "{meter}");
    }
}

#[test]
fn the_next_page_keeps_the_question() {
    let uri = |text: &'static str| Uri::from_static(text);
    let link = |uri: &Uri| next_link(uri, "abc").unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        link(&uri("/v1/organizations/a%20b/usage/series")),
        r#"</v1/organizations/a%20b/usage/series?cursor=abc>; rel="next""#
    );
    let asked = uri("/series?window=day&cursor=old&meter=api_calls");
    assert_eq!(link(&asked), r#"</series?window=day&meter=api_calls&cursor=abc>; rel="next""#);
}

#[test]
fn fields_are_quoted_where_they_must_be() {
    for (text, field) in [("us", "us"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\"")] {
        assert_eq!(csv_field(text), field);
    }
}
