use super::sheet::Style;
use super::*;
use crate::billing::Invoice;

fn sample(lines: usize) -> Invoice {
    let line = |number: usize| {
        serde_json::json!({
            "kind": "recurring", "meter": "services", "quantity": number, "unit": 1, "unit_price": "105.00",
            "amount": "105.00", "description": "services: 1 at 105.00 USD, for 1,296,000 of 2,592,000 seconds of the month",
            "corrects": null,
        })
    };
    let invoice = serde_json::json!({
        "number": "2026-000042", "organization": "acme", "month": "2026-11", "state": "open",
        "currency": "USD", "lines": (0..lines).map(line).collect::<Vec<_>>(), "subtotal": "356.11",
        "total": "356.11", "amount_due": "350.11", "price_book": "2023-09", "price_book_digest": "00",
        "periods": [], "regions": 1, "ledger": [], "digest": "ab".repeat(32),
        "issued_at": "2026-12-01T00:10:00Z", "due_at": "2026-12-15T00:10:00Z", "paid_at": null,
    });
    serde_json::from_value(invoice).expect("an invoice")
}

fn write(lines: usize) -> Vec<u8> {
    let recipient = Recipient { name: "Łódź Überwerk Αθήνα ЯК", email: "billing@acme.example" };
    invoice(&sample(lines), recipient).expect("a document")
}

fn pages(pdf: &[u8]) -> usize {
    pdf.windows(12).filter(|bytes| *bytes == b"/Type /Page\n" || *bytes == b"/Type/Page\n\n").count()
}

#[test]
fn the_same_invoice_has_the_same_bytes() {
    let pdf = write(3);
    assert!(pdf.starts_with(b"%PDF-"));
    assert!(pdf == write(3));
    // The fonts are cut down to what is written.
    assert!(pdf.len() < 60_000, "{} bytes", pdf.len());
    assert!(write(80).len() > pdf.len() && pages(&pdf) <= 1);
}

#[test]
fn text_is_broken_where_it_does_not_fit() {
    let style = Style::plain(10.0);
    let lines = style.wrap("services: 3 at 105.00 USD, for 1,296,000 of 2,592,000 seconds", 120.0);
    assert!(lines.len() > 2 && lines.iter().all(|line| style.width(line) <= 120.0), "{lines:?}");
    let long = style.wrap(&"x".repeat(100), 50.0);
    assert!(long.iter().all(|line| style.width(line) <= 50.0));
    assert_eq!(long.concat().len(), 100);
    assert!(style.wrap("", 50.0).is_empty());
    // Figures line up.
    assert_eq!(style.width("1111.11"), style.width("8888.88"));
}
