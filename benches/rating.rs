//! How long one organization's estimate takes: plan periods and meters as they are in a month in
//! which the plan changed, by each of the price books that ship.
//!
//! `cargo bench --bench rating`; what it measured, on which machine, is in docs/benchmarks.md.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use odometer::event::{Plan, PlanPeriod};
use odometer::month::Month;
use odometer::rating::{MonthUsage, PriceBook, Span, estimate};

const DAY_MS: i64 = 86_400_000;

const BOOKS: [(&str, &str); 3] = [
    ("2021", include_str!("../fixtures/price-books/2021.yaml")),
    ("2023-09", include_str!("../fixtures/price-books/2023-09.yaml")),
    ("2024", include_str!("../fixtures/price-books/2024.yaml")),
];

/// Calls by hour, as they are held of an organization whose plan changed, and what lasts.
struct Used {
    calls: Vec<(u32, u64)>,
    services: u64,
    published: u64,
}

impl MonthUsage for Used {
    fn quantity(&self, meter: &str, spans: &[Span]) -> u64 {
        match meter {
            "services" => self.services,
            "published_services" => self.published,
            "regions" => 1,
            _ => {
                let billed = |hour: &u32| spans.iter().any(|span| span.hours().contains(hour));
                self.calls.iter().filter(|(hour, _)| billed(hour)).map(|(_, calls)| calls).sum()
            }
        }
    }

    fn adds_up(&self, meter: &str) -> bool {
        meter == "api_calls"
    }
}

fn used(month: Month) -> Used {
    let calls = month.hours().enumerate().map(|(place, hour)| (hour, 1_000 + place as u64 * 37 % 9_000));
    Used { calls: calls.collect(), services: 7, published: 3 }
}

fn whole_month(month: Month) -> Vec<PlanPeriod> {
    vec![PlanPeriod { plan: Plan::Plus, trial: false, from_ms: month.start_ms() - 90 * DAY_MS, to_ms: None }]
}

/// Its trial ended on the 4th, it went to Free on the 11th and back to Plus on the 20th.
fn changed(month: Month) -> Vec<PlanPeriod> {
    let day = |day: i64| month.start_ms() + (day - 1) * DAY_MS + 8 * 3_600_000 + 123_456;
    let period = |plan, trial, from_ms, to_ms| PlanPeriod { plan, trial, from_ms, to_ms };
    vec![
        period(Plan::Plus, true, day(4) - 30 * DAY_MS, Some(day(4))),
        period(Plan::Plus, false, day(4), Some(day(11))),
        period(Plan::Free, false, day(11), Some(day(20))),
        period(Plan::Plus, false, day(20), None),
    ]
}

fn estimates(criterion: &mut Criterion) {
    let month: Month = "2026-11".parse().expect("a month");
    let now_ms = month.start_ms() + 22 * DAY_MS;
    let used = used(month);
    let mut group = criterion.benchmark_group("estimate");
    for (name, yaml) in BOOKS {
        let book = PriceBook::parse(yaml).expect("a price book that ships");
        for (periods, case) in [(whole_month(month), "one plan"), (changed(month), "four periods")] {
            group.bench_function(format!("{name}, {case}"), |bencher| {
                bencher.iter(|| {
                    let version = black_box(&book).at(month);
                    estimate(version, month, black_box(&periods), now_ms, &used).expect("periods in order")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, estimates);
criterion_main!(benches);
