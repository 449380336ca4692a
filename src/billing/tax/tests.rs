use proptest::prelude::*;

use super::*;
use crate::billing::invoice::tests::example;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn rate(name: &str, percent: &str) -> TaxRate {
    TaxRate { name: name.to_owned(), percent: decimal(percent) }
}

fn corrected() -> Corrected<'static> {
    Corrected { number: "2026-000007", month: "2026-11".parse().unwrap(), is_void: false }
}

fn usd() -> Currency {
    "USD".parse().unwrap()
}

#[test]
fn each_tax_is_rounded_once_on_the_rounded_subtotal() {
    for (percent, currency, subtotal, tax) in [
        ("19", "USD", "284.94", "54.14"),
        ("8.875", "USD", "68.50", "6.08"),
        ("50", "USD", "0.01", "0.01"),
        ("50", "USD", "-0.01", "-0.01"),
        ("10", "JPY", "1005", "101"),
        ("10", "KWD", "0.005", "0.001"),
        ("7", "USD", "0.00", "0.00"),
    ] {
        let lines = own(currency.parse().unwrap(), &[rate("VAT", percent)], decimal(subtotal)).unwrap();
        assert_eq!(lines[0].amount.to_string(), tax, "{percent} % on {subtotal} {currency}");
        assert_eq!(lines[0].description, format!("VAT {percent} %: on {subtotal} {currency}"));
        assert_eq!((lines[0].kind, lines[0].meter.as_ref()), (InvoiceLineKind::Tax, None));
    }
    let both = own(usd(), &[rate("GST", "5"), rate("QST", "9.975")], decimal("100.00")).unwrap();
    let amounts: Vec<String> = both.iter().map(|line| line.amount.to_string()).collect();
    assert_eq!(amounts, ["5.00", "9.98"], "neither is on the other");
}

#[test]
fn a_correction_is_taxed_by_the_rates_of_what_it_corrects() {
    let rates = vec![rate("GST", "5"), rate("QST", "9.975")];
    let first = own(usd(), &rates, decimal("100.00")).unwrap();
    let invoice = Invoice { taxes: rates, ..example() };
    let taxed: Vec<&InvoiceLine> = first.iter().collect();
    let lines = corrections(&invoice, corrected(), &taxed, decimal("100.00"), decimal("90.00")).unwrap();
    let told: Vec<_> =
        lines.iter().map(|line| (line.description.as_str(), line.amount.to_string())).collect();
    assert_eq!(
        told,
        [
            ("GST 5 %: on 10.00 USD less in 2026-11, correcting invoice 2026-000007", "-0.50".to_owned()),
            ("QST 9.975 %: on 10.00 USD less in 2026-11, correcting invoice 2026-000007", "-1.00".to_owned()),
        ]
    );
    assert!(lines.iter().all(|line| line.corrects.as_deref() == Some("2026-000007")));
    let same = corrections(&invoice, corrected(), &taxed, decimal("100.00"), decimal("100.00")).unwrap();
    assert!(same.is_empty(), "{same:?}");
}

#[test]
fn what_has_no_tax_has_the_digest_and_the_bytes_of_before() {
    let plain = example();
    let json = serde_json::to_string(&plain).unwrap();
    assert!(!json.contains("tax"), "{json}");
    let taxed = Invoice { taxes: vec![rate("VAT", "19")], ..plain.clone() };
    assert_ne!(taxed.compute_digest(), plain.compute_digest());
    let elsewhere = Invoice { tax_region: Some("eu".to_owned()), ..plain.clone() };
    assert_ne!(elsewhere.compute_digest(), plain.compute_digest());
    assert_eq!(serde_json::from_str::<Invoice>(&json).unwrap(), plain);
}

proptest! {
    /// However often a month is corrected, its taxes sum up to those of the final subtotal.
    #[test]
    fn taxes_sum_up_to_those_of_the_final_subtotal(
        cents in prop::collection::vec(0i64..10_000_000, 1..8), percent in 1i64..100_000_000,
    ) {
        let rates = vec![TaxRate { name: "VAT".to_owned(), percent: Decimal::new(percent, 6).normalize() }];
        let invoice = Invoice { taxes: rates.clone(), ..example() };
        let mut subtotal = Decimal::new(cents[0], 2);
        let mut lines = own(usd(), &rates, subtotal).unwrap();
        for cents in &cents[1..] {
            let now = Decimal::new(*cents, 2);
            let taxed: Vec<&InvoiceLine> = lines.iter().collect();
            let corrected = corrections(&invoice, corrected(), &taxed, subtotal, now).unwrap();
            lines.extend(corrected);
            subtotal = now;
        }
        prop_assert_eq!(sum(usd(), lines.iter()), rates[0].on(subtotal, usd()));
    }
}
