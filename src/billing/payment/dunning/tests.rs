use super::*;

#[test]
fn what_failed_is_tried_again_by_the_schedule_and_what_was_missed_once() {
    let day = |days: i64| days * DAY_MS;
    for (now, next) in [
        (0, Some(1)),
        (1, Some(3)),
        (2, Some(3)),
        (3, Some(5)),
        (5, Some(7)),
        // Nothing ran from the second day to the sixth.
        (6, Some(7)),
        (7, None),
        (30, None),
    ] {
        assert_eq!(next_try(day(10), day(10 + now)), next.map(|days| day(10 + days)), "day {now}");
    }
    assert_eq!(next_try(0, day(1) - 1), Some(day(1)));
}
