use super::*;
use crate::month::Month;

fn november() -> Month {
    "2026-11".parse().unwrap()
}

fn count(hour: u32, fold: Fold, value: u128) -> CountRow {
    CountRow {
        organization: "acme".to_owned(),
        meter: "api_calls".to_owned(),
        region: String::new(),
        hour: november().hours().start + hour,
        fold,
        value,
    }
}

fn span(from_hour: i64, to_hour: i64) -> Span {
    let start = november().start_ms();
    Span::of(start + from_hour * 3_600_000, start + to_hour * 3_600_000)
}

#[test]
fn what_lies_outside_of_the_spans_is_not_billed() {
    let counts = vec![count(0, Fold::Sum, 1), count(1, Fold::Sum, 10), count(2, Fold::Sum, 100)];
    let counted = Counted { counts, ..Counted::default() };
    assert_eq!(counted.quantity("api_calls", &[span(0, 720)]), 111);
    assert_eq!(counted.quantity("api_calls", &[span(1, 2)]), 10);
    assert_eq!(counted.quantity("api_calls", &[span(0, 1), span(2, 3)]), 101);
    assert_eq!(counted.quantity("other", &[span(0, 720)]), 0);
}

#[test]
fn the_greatest_of_a_maximum_is_billed_once() {
    let counts = vec![count(0, Fold::Max, 7), count(1, Fold::Max, 5)];
    let counted = Counted { counts, ..Counted::default() };
    assert_eq!(counted.quantity("api_calls", &[span(0, 720)]), 7);
    assert_eq!(counted.quantity("api_calls", &[span(1, 720)]), 5);
}

#[test]
fn services_are_billed_at_their_peak_on_the_plan() {
    let peak =
        |span: Span, services, published| (span.from_ms..span.to_ms, ServiceCounts { services, published });
    let peaks = vec![peak(span(0, 1), 3, 0), peak(span(2, 5), 1, 1), peak(span(5, 720), 2, 0)];
    let counted = Counted { peaks, ..Counted::default() };
    assert_eq!(counted.quantity("services", &[span(2, 5), span(5, 720)]), 2);
    assert_eq!(counted.quantity("published_services", &[span(2, 5), span(5, 720)]), 1);
    assert_eq!(counted.quantity("services", &[span(0, 1)]), 3);
    assert_eq!(counted.quantity("services", &[span(1, 2)]), 0);
}
