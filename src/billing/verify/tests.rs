use super::*;
use crate::billing::invoice::tests::example;

fn issued() -> Invoice {
    let number = "2026-000042".to_owned();
    let issue = Issue { number, issued_ms: 1_796_083_200_000, ledger: &[], credit: Decimal::ZERO };
    Draft::of(example()).open(issue).into_invoice()
}

#[test]
fn the_same_is_verified() {
    let verification = compare(&issued(), Some(&issued()), Vec::new());
    assert!(verification.verified, "{verification:?}");
    assert_eq!(verification.digest, verification.computed_digest);
}

#[test]
fn what_was_changed_by_hand_is_named() {
    let mut changed = issued();
    changed.lines[0].amount = "0.41".parse().unwrap();
    changed.total = "0.41".parse().unwrap();
    let verification = compare(&changed, Some(&issued()), Vec::new());
    assert!(!verification.verified);
    let named = verification.differences.join("\n");
    assert!(named.contains("not the one that stands on it"), "{named}");
    assert!(
        named.contains("line 1: stored api_calls 1200345 at 34.25 = 0.41, computed api_calls 1200345"),
        "{named}"
    );
    assert!(named.contains("total: stored 0.41, computed 41.11"), "{named}");
}

#[test]
fn an_invoice_that_the_ledger_does_not_know_is_not_verified() {
    assert_eq!(
        compare(&issued(), None, Vec::new()).differences,
        ["by the ledger there is nothing to invoice"]
    );
}
