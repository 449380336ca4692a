use super::*;
use crate::clock::Time;
use crate::event::{API_CALLS, Plan};
use crate::rating::PriceBook;
use crate::snapshot::register::Catalog;

fn at(text: &str) -> i64 {
    text.parse::<Time>().unwrap().0
}

fn period(plan: Plan, trial: bool, from: &str, to: Option<&str>) -> PlanPeriod {
    PlanPeriod { plan, trial, from_ms: at(from), to_ms: to.map(at) }
}

fn account(periods: Vec<PlanPeriod>) -> Account {
    Account {
        id: "acme".into(),
        name: "Acme".into(),
        email: "billing@acme.example".into(),
        created_ms: periods[0].from_ms,
        periods,
        regions: vec!["us".into()],
        home_region: Some("us".into()),
        has_payment_method: true,
        past_due: false,
        version: 1,
    }
}

fn calls(time: &str, value: u128) -> CountRow {
    CountRow {
        organization: "acme".into(),
        meter: API_CALLS.into(),
        region: "us".into(),
        hour: u32::try_from(at(time) / 3_600_000).unwrap(),
        fold: Fold::Sum,
        value,
    }
}

fn service(name: &str, time: &str, exists: bool) -> ServiceRow {
    ServiceRow {
        organization: "acme".into(),
        region: "us".into(),
        service: name.into(),
        version: at(time),
        time_ms: at(time),
        source: "catalog".into(),
        id: format!("{name}-{time}"),
        exists: Some(exists),
        published: Some(false),
        name: None,
    }
}

/// The amount, and whether it took more than the month's totals.
fn cost(account: &Account, now: &str, counts: &[CountRow], services: &[ServiceRow]) -> (String, bool) {
    let month = "2026-11".parse().unwrap();
    let totals = Totals::of(counts, &Catalog::of(services), month);
    let book = PriceBook::built_in();
    let bill = Bill { account, version: book.at(month), month, now_ms: at(now), totals: &totals };
    let needed = bill.needs_basis().unwrap();
    let basis = needed.then(|| Basis {
        periods: account.periods.clone(),
        services_changed_ms: totals.services_changed_ms,
        services: totals.sum().services,
        parts: bill
            .charged_spans()
            .unwrap()
            .into_iter()
            .map(|spans| BasisPart::of(spans, counts, services))
            .collect(),
        read_at: clock::instant(),
    });
    (bill.rate(basis.as_ref()).unwrap().amount.to_string(), needed)
}

#[test]
fn a_plan_of_the_whole_month_bills_what_is_in_memory() {
    let account = account(vec![period(Plan::Plus, false, "2026-01-01T00:00:00Z", None)]);
    let counts = [calls("2026-11-01T00:00:00Z", 1_200_000), calls("2026-11-20T00:00:00Z", 345)];
    let services = ["a", "b", "c"].map(|name| service(name, "2026-10-05T00:00:00Z", true));
    assert_eq!(cost(&account, "2026-11-23T18:00:00Z", &counts, &services), ("356.11".into(), false));
}

#[test]
fn the_most_services_of_the_month_are_billed() {
    let account = account(vec![period(Plan::Plus, false, "2026-01-01T00:00:00Z", None)]);
    let services = [
        service("a", "2026-10-05T00:00:00Z", true),
        service("b", "2026-11-05T00:00:00Z", true),
        service("b", "2026-11-06T00:00:00Z", false),
    ];
    assert_eq!(cost(&account, "2026-11-23T18:00:00Z", &[], &services), ("210.00".into(), true));
}

#[test]
fn what_was_used_in_the_trial_and_in_the_hour_of_its_end_is_not_billed() {
    let account = account(vec![
        period(Plan::Plus, true, "2026-10-11T09:17:00Z", Some("2026-11-10T09:17:00Z")),
        period(Plan::Plus, false, "2026-11-10T09:17:00Z", None),
    ]);
    let counts = [
        calls("2026-11-02T00:00:00Z", 50_000_000),
        calls("2026-11-10T09:00:00Z", 7_000_000),
        calls("2026-11-10T10:00:00Z", 2_000_000),
    ];
    // 2 services from the 10th: 105 × 2 × 1,780,980 s ÷ 2,592,000 s; one more was gone by then.
    let services = [
        service("a", "2026-10-12T00:00:00Z", true),
        service("b", "2026-10-12T00:00:00Z", true),
        service("c", "2026-10-12T00:00:00Z", true),
        service("c", "2026-11-09T00:00:00Z", false),
    ];
    let (amount, needed) = cost(&account, "2026-11-23T18:00:00Z", &counts, &services);
    assert_eq!((amount.as_str(), needed), ("212.79", true));
}

#[test]
fn after_a_cancel_the_bill_stands_still() {
    let account = account(vec![
        period(Plan::Plus, false, "2026-01-01T00:00:00Z", Some("2026-11-16T00:00:00Z")),
        period(Plan::Free, false, "2026-11-16T00:00:00Z", None),
    ]);
    let counts = [calls("2026-11-15T23:00:00Z", 1_000_000), calls("2026-11-16T00:00:00Z", 9_000_000)];
    let services = [service("a", "2026-10-12T00:00:00Z", true), service("b", "2026-11-20T00:00:00Z", true)];
    assert_eq!(cost(&account, "2026-11-23T18:00:00Z", &counts, &services).0, "86.75");
}

#[test]
fn a_trial_has_no_cost() {
    let account = account(vec![
        period(Plan::Plus, true, "2026-11-01T09:00:00Z", Some("2026-12-01T09:00:00Z")),
        period(Plan::Free, false, "2026-12-01T09:00:00Z", None),
    ]);
    let book = PriceBook::built_in();
    let totals = Totals::default();
    let month: Month = "2026-11".parse().unwrap();
    let version = book.at(month);
    let in_trial = |month: Month, now: &str| {
        Bill { account: &account, version, month, now_ms: at(now), totals: &totals }.is_in_trial()
    };
    assert!(in_trial(month, "2026-11-23T18:00:00Z"));
    assert!(in_trial(month, "2027-03-01T00:00:00Z"), "the past month was spent in the trial");
    assert!(!in_trial(month.next(), "2026-12-01T09:00:00Z"));
}
