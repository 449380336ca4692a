use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::aggregate::{CountRow, Fold};
use crate::event::Plan;
use crate::rating::{PriceBook, estimate};

fn at(text: &str) -> i64 {
    text.parse::<crate::clock::Time>().unwrap().0
}

fn on(plan: Plan, trial: bool, from: &str, to: Option<&str>) -> PlanPeriod {
    PlanPeriod { plan, trial, from_ms: at(from), to_ms: to.map(at) }
}

fn payer(periods: &[PlanPeriod]) -> Payer {
    Payer {
        organization: "acme".to_owned(),
        periods: periods.to_vec(),
        regions: 1,
        home: Some("us".to_owned()),
    }
}

fn november() -> Month {
    "2026-11".parse().unwrap()
}

fn counted(calls: u128) -> Counted {
    let counts = vec![CountRow {
        organization: "acme".to_owned(),
        meter: "api_calls".to_owned(),
        region: String::new(),
        hour: november().hours().start + 400,
        fold: Fold::Sum,
        value: calls,
    }];
    Counted { counts, ..Counted::default() }
}

fn total(periods: &[PlanPeriod]) -> Option<String> {
    let book = PriceBook::built_in();
    let version = book.at(november());
    let invoice = payer(periods).invoice(november(), version, &counted(2_000_000), Vec::new()).unwrap();
    invoice.map(|invoice| invoice.total.to_string())
}

#[test]
fn trial_and_free_get_no_invoice_and_enterprise_is_billed_by_contract() {
    let october = "2026-10-20T00:00:00Z";
    assert_eq!(total(&[on(Plan::Free, false, october, None)]), None);
    assert_eq!(total(&[on(Plan::Enterprise, false, october, None)]), None);
    assert_eq!(total(&[on(Plan::Plus, true, october, Some("2026-12-19T00:00:00Z"))]), None);
    assert_eq!(total(&[on(Plan::Plus, false, october, None)]).as_deref(), Some("68.50"));
    assert_eq!(total(&[on(Plan::Plus, false, "2026-12-01T00:00:00Z", None)]), None, "not that month");
}

#[test]
fn a_plan_that_charges_has_an_invoice_also_when_nothing_was_used() {
    let half = [
        on(Plan::Plus, false, "2026-10-20T00:00:00Z", Some("2026-11-02T00:00:00Z")),
        on(Plan::Free, false, "2026-11-02T00:00:00Z", None),
    ];
    assert_eq!(total(&half).as_deref(), Some("0.00"));
}

#[test]
fn whole_months_need_no_hours() {
    let book = PriceBook::built_in();
    let grain = |periods: &[PlanPeriod]| {
        let payer = payer(periods);
        payer.wanted(november(), book.at(november())).unwrap().map(|wanted| wanted.grain)
    };
    assert_eq!(grain(&[on(Plan::Plus, false, "2026-10-20T00:00:00Z", None)]), Some(Grain::Whole));
    assert_eq!(grain(&[on(Plan::Plus, false, "2026-11-01T00:00:01Z", None)]), Some(Grain::Hour));
    assert_eq!(grain(&[on(Plan::Free, false, "2026-10-20T00:00:00Z", None)]), None);
}

#[test]
fn an_adjustment_alone_makes_an_invoice_where_it_amounts_to_something() {
    let book = PriceBook::built_in();
    let free = payer(&[on(Plan::Free, false, "2026-10-20T00:00:00Z", None)]);
    let adjusted = |amount: &str| {
        let line = InvoiceLine {
            kind: InvoiceLineKind::Adjustment,
            meter: Some("api_calls".to_owned()),
            quantity: -1,
            unit: 1_000_000,
            unit_price: "34.25".parse().unwrap(),
            amount: amount.parse().unwrap(),
            description: String::new(),
            corrects: Some("2026-000001".to_owned()),
            taxes_correction_of: None,
        };
        let invoice = free.invoice(november(), book.at(november()), &counted(5), vec![line]).unwrap();
        invoice.map(|invoice| (invoice.total.to_string(), invoice.amount_due.to_string()))
    };
    assert_eq!(adjusted("0.00"), None);
    assert_eq!(adjusted("-3.42"), Some(("-3.42".to_owned(), "0.00".to_owned())));
}

/// A history without gaps: a plan from each cut to the next, the last without an end.
fn history(mut cuts: Vec<i64>, plans: &[u8]) -> Vec<PlanPeriod> {
    cuts.sort_unstable();
    cuts.dedup();
    let start = november().start_ms();
    let starts: Vec<i64> = std::iter::once(start - 1).chain(cuts.iter().map(|cut| start + cut)).collect();
    let period = |(index, from_ms): (usize, &i64)| PlanPeriod {
        plan: [Plan::Free, Plan::Plus, Plan::Enterprise][usize::from(plans[index % plans.len()] % 3)],
        trial: false,
        from_ms: *from_ms,
        to_ms: starts.get(index + 1).copied(),
    };
    starts.iter().enumerate().map(period).collect()
}

proptest! {
    /// Whatever the plan was when: the customer is told of what will be invoiced.
    #[test]
    fn the_estimate_of_a_month_that_is_over_is_its_invoice(
        cuts in vec(0_i64..86_400_000, 0..60),
        plans in vec(any::<u8>(), 1..60),
        trial in any::<bool>(),
    ) {
        let mut periods = history(cuts, &plans);
        periods[0].trial = trial && periods.len() > 1;
        let hour = |index: u32| CountRow {
            hour: november().hours().start + index, ..counted(1_000_000 + u128::from(index)).counts.remove(0)
        };
        let counted = Counted { counts: (0..30).map(hour).collect(), ..Counted::default() };
        let book = PriceBook::built_in();
        let version = book.at(november());
        let invoice = payer(&periods).invoice(november(), version, &counted, Vec::new()).unwrap();
        let told = estimate(version, november(), &periods, november().end_ms(), &counted).unwrap();
        let nothing = Decimal::new(0, 2);
        prop_assert_eq!(invoice.map_or(nothing, |invoice| invoice.total), told.amount);
    }
}
