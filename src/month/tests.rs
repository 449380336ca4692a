use proptest::prelude::*;

use super::*;

#[test]
fn months_have_the_calendar_s_length() {
    for (month, days) in
        [("2026-11", 30), ("2026-12", 31), ("2026-02", 28), ("2024-02", 29), ("2000-02", 29), ("2100-02", 28)]
    {
        let month: Month = month.parse().unwrap();
        assert_eq!(month.end_ms() - month.start_ms(), days * 24 * HOUR_MS, "{month}");
        assert_eq!(month.hours().len() as i64, days * 24, "{month}");
    }
}

#[test]
fn midnight_belongs_to_the_month_that_it_starts() {
    let november: Month = "2026-11".parse().unwrap();
    let midnight = november.end_ms();
    assert_eq!(Month::containing(midnight - 1), november);
    assert_eq!(Month::containing(midnight).to_string(), "2026-12");
}

#[test]
fn what_is_no_month_is_refused() {
    for text in [
        "", "2026", "2026-1", "2026-13", "2026-00", "2026-011", "26-11", "2026/11", "+026-11", "2026-+1",
        "２026-1",
    ] {
        assert!(text.parse::<Month>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn every_instant_belongs_to_exactly_one_month(ms in 946_684_800_000i64..4_102_444_800_000) {
        let month = Month::containing(ms);
        prop_assert!(month.start_ms() <= ms && ms < month.end_ms());
        prop_assert_eq!(month.next().start_ms(), month.end_ms());
        prop_assert_eq!(month.next().previous(), month);
        prop_assert_eq!(month.to_string().parse::<Month>().unwrap(), month);
    }
}
