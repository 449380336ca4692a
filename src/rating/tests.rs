mod doc;
mod period;
mod property;
mod version;

use rust_decimal::Decimal;

use crate::event::{Plan, PlanPeriod};
use crate::month::Month;

use super::*;

/// Usage that is the same whatever the spans.
pub(crate) struct Fixed<'a>(pub &'a [(&'a str, u64)]);

impl MonthUsage for Fixed<'_> {
    fn quantity(&self, meter: &str, _: &[Span]) -> u64 {
        self.0.iter().find(|(name, _)| *name == meter).map_or(0, |(_, quantity)| *quantity)
    }

    fn adds_up(&self, meter: &str) -> bool {
        meter == "api_calls"
    }
}

pub(crate) fn month(text: &str) -> Month {
    text.parse().expect("a month")
}

pub(crate) fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

pub(crate) fn on(plan: Plan, from: &str, to: Option<&str>) -> PlanPeriod {
    PlanPeriod { plan, trial: false, from_ms: at(from), to_ms: to.map(at) }
}

pub(crate) fn trial(from: &str, to: &str) -> PlanPeriod {
    PlanPeriod { plan: Plan::Plus, trial: true, from_ms: at(from), to_ms: Some(at(to)) }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn plus_since_2020() -> PlanPeriod {
    on(Plan::Plus, "2020-01-01T00:00:00Z", None)
}

#[test]
fn the_usage_answers_example_costs_what_the_contract_says() {
    let book = PriceBook::built_in();
    let november = month("2026-11");
    let usage = Fixed(&[("services", 3), ("api_calls", 1_200_345)]);
    let now = at("2026-11-23T18:00:00Z");
    let estimate = estimate(book.at(november), november, &[plus_since_2020()], now, &usage).unwrap();
    let json = serde_json::to_value(&estimate).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "currency": "USD",
            "amount": "356.11",
            "forecast": "369.21", // 1,200,345 × 30 ÷ 22.75 days = 1,582,872 calls: 54.21
            "lines": [
                { "kind": "recurring", "meter": "services", "quantity": 3, "unit": 1, "unit_price": "105.00",
                  "amount": "315.00", "description": "Services: 3 at 105.00 USD" },
                { "kind": "usage", "meter": "api_calls", "quantity": 1_200_345, "unit": 1_000_000,
                  "unit_price": "34.25", "amount": "41.11",
                  "description": "API calls: 1,200,345 at 34.25 USD per 1,000,000" },
            ]
        })
    );
    assert_eq!(serde_json::from_value::<Estimate>(json).unwrap(), estimate);
}

#[test]
fn the_worked_month_with_a_change_of_plan() {
    let november = month("2026-11");
    let periods = [
        trial("2026-10-11T09:17:00Z", "2026-11-10T09:17:00Z"),
        on(Plan::Plus, "2026-11-10T09:17:00Z", Some("2026-11-25T12:00:00Z")),
        on(Plan::Free, "2026-11-25T12:00:00Z", None),
    ];
    let usage = Fixed(&[("services", 3), ("api_calls", 2_000_000)]);
    let rated = rate(PriceBook::built_in().at(november), november, &periods, &usage).unwrap();
    let amounts: Vec<String> = rated.lines.iter().map(|line| line.amount.to_string()).collect();
    assert_eq!(amounts, ["158.69", "68.50"]);
    assert_eq!(rated.amount, decimal("227.19"));
    assert_eq!(
        rated.lines[0].description,
        "Services: 3 at 105.00 USD, for 1,305,780 of 2,592,000 seconds of the month"
    );
}

#[test]
fn free_and_enterprise_cost_nothing_and_a_trial_neither() {
    let november = month("2026-11");
    let usage = Fixed(&[("services", 3), ("api_calls", u64::MAX)]);
    for period in [
        on(Plan::Free, "2026-01-01T00:00:00Z", None),
        on(Plan::Enterprise, "2026-01-01T00:00:00Z", None),
        trial("2026-10-20T00:00:00Z", "2026-12-19T00:00:00Z"),
    ] {
        let rated = rate(PriceBook::built_in().at(november), november, &[period], &usage).unwrap();
        assert_eq!((rated.amount.to_string().as_str(), rated.lines.len()), ("0.00", 0), "{period:?}");
    }
}

#[test]
fn a_forecast_stays_with_what_is_over_and_extends_what_lasts() {
    let book = PriceBook::built_in();
    let november = month("2026-11");
    let usage = Fixed(&[("services", 1), ("api_calls", 1_000_000)]);
    let forecast = |periods: &[PlanPeriod], now: &str| {
        estimate(book.at(november), november, periods, at(now), &usage).unwrap().forecast.to_string()
    };
    // Half of the month is over: as many calls again.
    assert_eq!(forecast(&[plus_since_2020()], "2026-11-16T00:00:00Z"), "173.50");
    // The month is over, or long over.
    assert_eq!(forecast(&[plus_since_2020()], "2026-12-01T00:00:00Z"), "139.25");
    assert_eq!(forecast(&[plus_since_2020()], "2027-06-01T00:00:00Z"), "139.25");
    // Before the first instant nothing is known.
    assert_eq!(forecast(&[plus_since_2020()], "2026-11-01T00:00:00Z"), "139.25");
    // Cancelled: nothing more comes.
    let cancelled = [on(Plan::Plus, "2026-10-01T00:00:00Z", Some("2026-11-16T00:00:00Z"))];
    assert_eq!(forecast(&cancelled, "2026-11-20T00:00:00Z"), "86.75");
}

#[test]
fn an_amount_beyond_a_decimal_is_an_error_that_names_it() {
    let yaml = "
versions:
  - effective: 2023-09
    currency: USD
    plans:
      free: {}
      plus:
        prices: [{ meter: api_calls, model: per_unit, price: 1000000000000 }]
";
    let november = month("2026-11");
    let book = PriceBook::parse(yaml).unwrap();
    let usage = Fixed(&[("api_calls", u64::MAX)]);
    let error = rate(book.at(november), november, &[plus_since_2020()], &usage).unwrap_err();
    assert_eq!(error.to_string(), "rate 2026-11: the amount of API calls is beyond what can be stated");
}

#[test]
fn periods_that_overlap_are_refused() {
    let november = month("2026-11");
    let periods = [
        on(Plan::Plus, "2026-11-01T00:00:00Z", Some("2026-11-10T00:00:01Z")),
        on(Plan::Free, "2026-11-10T00:00:00Z", None),
    ];
    let error = rate(PriceBook::built_in().at(november), november, &periods, &Fixed(&[])).unwrap_err();
    assert!(matches!(error, RatingError::PeriodsOverlap { .. }), "{error}");
}
