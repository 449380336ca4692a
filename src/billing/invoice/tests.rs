use serde_json::json;

use super::*;
use crate::billing::{Draft, Issue, Settlement};

pub(crate) fn example() -> Invoice {
    let line = InvoiceLine {
        kind: InvoiceLineKind::Usage,
        meter: Some("api_calls".to_owned()),
        quantity: 1_200_345,
        unit: 1_000_000,
        unit_price: "34.25".parse().unwrap(),
        amount: "41.11".parse().unwrap(),
        description: "API calls: 1,200,345 at 34.25 USD per 1,000,000".to_owned(),
        corrects: None,
        taxes_correction_of: None,
    };
    Invoice {
        number: None,
        organization: "acme".to_owned(),
        month: "2026-11".parse().unwrap(),
        state: InvoiceState::Draft,
        currency: "USD".parse().unwrap(),
        lines: vec![line],
        subtotal: "41.11".parse().unwrap(),
        total: "41.11".parse().unwrap(),
        amount_due: "41.11".parse().unwrap(),
        price_book: "2023-09".to_owned(),
        price_book_digest: "00".repeat(32),
        taxes: vec![],
        tax_region: None,
        periods: vec![],
        regions: 1,
        ledger: vec![],
        digest: None,
        issued_at: None,
        due_at: None,
        paid_at: None,
        voided_at: None,
        void_reason: None,
    }
}

fn issue(credit: &str) -> Issue<'static> {
    let number = "2026-000042".to_owned();
    Issue { number, issued_ms: 1_796_083_200_000, ledger: &[], credit: credit.parse().unwrap() }
}

#[test]
fn an_invoice_is_written_as_the_contract_says() {
    let open = Draft::of(example()).open(issue("0.00"));
    let json = serde_json::to_value(open.invoice()).unwrap();
    assert_eq!(json["number"], "2026-000042");
    assert_eq!(json["state"], "open");
    assert_eq!(json["total"], "41.11");
    assert_eq!(json["amount_due"], "41.11");
    assert_eq!(json["issued_at"], "2026-12-01T00:00:00Z");
    assert_eq!(json["due_at"], "2026-12-15T00:00:00Z");
    assert_eq!(
        json["lines"],
        json!([{
            "kind": "usage", "meter": "api_calls", "quantity": 1_200_345, "unit": 1_000_000,
            "unit_price": "34.25", "amount": "41.11",
            "description": "API calls: 1,200,345 at 34.25 USD per 1,000,000", "corrects": null,
        }])
    );
    assert_eq!(serde_json::from_value::<Invoice>(json).unwrap(), *open.invoice());
    let draft = serde_json::to_value(Draft::of(example()).invoice()).unwrap();
    for field in ["number", "digest", "issued_at", "due_at", "paid_at"] {
        assert!(draft.as_object().unwrap()[field].is_null(), "{field}");
    }
}

#[test]
fn paying_changes_nothing_that_the_digest_covers() {
    let open = Draft::of(example()).open(issue("0.00"));
    let digest = open.invoice().digest.clone();
    let paid = open.pay(&Settlement { reference: None, at_ms: 1_796_083_201_000 });
    assert_eq!(paid.invoice().state, InvoiceState::Paid);
    assert_eq!(paid.invoice().amount_due.to_string(), "0.00");
    assert_eq!(Some(paid.invoice().compute_digest()), digest);
}

#[test]
fn credit_lowers_what_is_due_but_never_below_nothing() {
    for (credit, due) in [("0.00", "41.11"), ("1.11", "40.00"), ("41.11", "0.00"), ("100.00", "0.00")] {
        let open = Draft::of(example()).open(issue(credit));
        assert_eq!(open.invoice().amount_due.to_string(), due, "{credit}");
        assert_eq!(open.invoice().total.to_string(), "41.11");
        assert_eq!(open.is_settled(), due == "0.00");
    }
}

#[test]
fn any_change_of_what_was_billed_changes_the_digest() {
    let open = Draft::of(example()).open(issue("0.00")).into_invoice();
    let mut other = open.clone();
    other.lines[0].quantity += 1;
    assert_ne!(other.compute_digest(), open.compute_digest());
    let mut other = open.clone();
    other.total += open.total;
    assert_ne!(other.compute_digest(), open.compute_digest());
}
