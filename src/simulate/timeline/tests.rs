use proptest::prelude::*;

use super::*;
use crate::month::Month;

#[test]
fn a_month_is_walked_from_its_first_millisecond_to_its_last() {
    let month: Month = "2026-02".parse().unwrap();
    let timeline = Timeline::new(month.start_ms(), month.end_ms(), 10_000);
    assert_eq!(timeline.at(0), month.start_ms());
    assert_eq!(timeline.at(9_999), month.end_ms() - 1);
    let at_noon = (0..10_000).filter(|&step| (timeline.at(step) / HOUR_MS) % 24 == 12).count();
    let at_night = (0..10_000).filter(|&step| (timeline.at(step) / HOUR_MS) % 24 == 3).count();
    assert!(at_noon > 5 * at_night, "{at_noon} at noon, {at_night} at night");
}

proptest! {
    #[test]
    fn steps_stay_inside_and_never_go_back(
        start in 0_i64..4_000_000_000_000, length in 1_i64..3_000_000_000, steps in 1_u64..500
    ) {
        let timeline = Timeline::new(start, start + length, steps);
        let mut last = start;
        for step in 0..steps {
            let at = timeline.at(step);
            prop_assert!(last <= at && at < start + length);
            last = at;
        }
        prop_assert_eq!(timeline.at(0), start);
        prop_assert!(steps == 1 || last == start + length - 1);
    }
}
