use super::*;

fn line(meter: &str, quantity: i128, unit_price: &str, amount: &str) -> InvoiceLine {
    InvoiceLine {
        kind: InvoiceLineKind::Usage,
        meter: Some(meter.to_owned()),
        quantity,
        unit: 1_000_000,
        unit_price: unit_price.parse().unwrap(),
        amount: amount.parse().unwrap(),
        description: "API calls: so many at so much".to_owned(),
        corrects: None,
        taxes_correction_of: None,
    }
}

fn corrected(is_void: bool) -> Corrected<'static> {
    Corrected { number: "2026-000001", month: "2026-11".parse().unwrap(), is_void }
}

fn adjusted(invoiced: &[InvoiceLine], now: &[InvoiceLine]) -> Vec<(i128, String)> {
    let invoiced: Vec<&InvoiceLine> = invoiced.iter().collect();
    let lines = adjustments(corrected(false), &invoiced, now);
    lines.iter().for_each(|line| assert_eq!(line.corrects.as_deref(), Some("2026-000001")));
    lines.iter().map(|line| (line.quantity, line.amount.to_string())).collect()
}

#[test]
fn the_difference_is_a_debit_or_a_credit() {
    let before = [line("api_calls", 1_000_000, "34.25", "34.25")];
    let more = [line("api_calls", 1_500_000, "34.25", "51.38")];
    assert_eq!(adjusted(&before, &more), [(500_000, "17.13".to_owned())]);
    assert_eq!(adjusted(&more, &before), [(-500_000, "-17.13".to_owned())]);
    assert_eq!(adjusted(&before, &before), []);
}

#[test]
fn what_was_adjusted_before_is_invoiced_already() {
    let now = [line("api_calls", 1_500_000, "34.25", "51.38")];
    let invoice = line("api_calls", 1_000_000, "34.25", "34.25");
    let adjustment =
        InvoiceLine { kind: InvoiceLineKind::Adjustment, ..line("api_calls", 500_000, "34.25", "17.13") };
    assert_eq!(adjusted(&[invoice, adjustment], &now), []);
}

#[test]
fn tiers_are_told_apart_and_sum_up() {
    let before = [line("api_calls", 1_000_000, "34.25", "34.25")];
    let now = [line("api_calls", 1_000_000, "34.25", "34.25"), line("api_calls", 500_000, "20.00", "10.00")];
    assert_eq!(adjusted(&before, &now), [(500_000, "10.00".to_owned())]);
}

#[test]
fn an_adjustment_says_what_differs_where() {
    let before = line("api_calls", 1_000_000, "34.25", "34.25");
    let now = [line("api_calls", 999_000, "34.25", "34.22")];
    let lines = adjustments(corrected(false), &[&before], &now);
    assert_eq!(lines[0].description, "API calls: 1,000 fewer in 2026-11, correcting invoice 2026-000001");
    let again = adjustments(corrected(false), &[&lines[0], &before], &now);
    assert!(again.is_empty());
}

#[test]
fn what_was_voided_is_billed_anew() {
    let now = [line("api_calls", 1_500_000, "34.25", "51.38")];
    let lines = adjustments(corrected(true), &[], &now);
    assert_eq!(lines[0].description, "API calls: 1,500,000 in 2026-11, in place of void invoice 2026-000001");
    assert_eq!(lines[0].amount.to_string(), "51.38");
    let more = [line("api_calls", 1_500_001, "34.25", "51.38")];
    let late = adjustments(corrected(true), &[&lines[0]], &more);
    assert_eq!(late[0].description, "API calls: 1 more in 2026-11, in place of void invoice 2026-000001");
}
