use super::*;

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

#[test]
fn numbers_are_grouped_and_amounts_keep_their_digits() {
    for (value, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_200_345, "1,200,345"), (-12, "−12")]
    {
        assert_eq!(number(value), shown);
    }
    let cases = [
        ("356.11", "USD", "$356.11"),
        ("1234567.80", "USD", "$1,234,567.80"),
        ("-3.00", "EUR", "−€3.00"),
        ("-0.00", "USD", "$0.00"),
        ("34.2500000001", "USD", "$34.2500000001"),
        ("1200", "JPY", "JPY\u{a0}1,200"),
    ];
    for (amount, code, shown) in cases {
        assert_eq!(money(amount.parse().expect("a decimal"), currency(code)), shown);
    }
}

#[test]
fn instants_are_shown_in_utc() {
    let time: Time = "2026-12-01T09:00:00Z".parse().expect("a time");
    assert_eq!(date(time), "1 December 2026");
    assert_eq!(day(time), "1 Dec");
    assert_eq!(clock(time), "09:00:00");
    let html = instant(time).into_string();
    assert_eq!(html, r#"<time datetime="2026-12-01T09:00:00Z">1 December 2026, 09:00 UTC</time>"#);
    assert_eq!(month("2026-02".parse().expect("a month")), "February 2026");
}

#[test]
fn the_date_stands_where_it_is_another_one() {
    let time: Time = "2026-12-01T09:00:00Z".parse().expect("a time");
    let shown = |now: &str| near(time, now.parse().expect("a time")).into_string();
    assert_eq!(shown("2026-12-01T23:59:59Z"), r#"<time datetime="2026-12-01T09:00:00Z">09:00:00 UTC</time>"#);
    for other in ["2026-12-02T00:00:00Z", "2027-12-01T09:00:00Z"] {
        let dated = r#"<time datetime="2026-12-01T09:00:00Z">1 December 2026, 09:00:00 UTC</time>"#;
        assert_eq!(shown(other), dated, "{other}");
    }
}

#[test]
fn started_days_count_whole() {
    let day = 86_400_000;
    for (left, days) in [(30 * day, 30), (29 * day + 1, 30), (day, 1), (1, 1), (0, 0), (-5, 0)] {
        assert_eq!(days_left(1_000, 1_000 + left), days);
    }
}
