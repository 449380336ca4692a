//! The worked quarter of docs/billing.md, computed; and that sums of invoices are the price of what
//! was counted in the end.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::adjustment::{Corrected, adjustments};
use super::counted::Counted;
use super::price::Payer;
use super::{Draft, Invoice, InvoiceLine, InvoiceLineKind, Issue};
use crate::aggregate::{CountRow, Fold, ServiceRow};
use crate::clock::Time;
use crate::event::{HOUR_MS, Plan, PlanPeriod};
use crate::month::Month;
use crate::rating::PriceBook;
use crate::snapshot::register::peak;

const DOC: &str = include_str!("../../docs/billing.md");

fn at(text: &str) -> i64 {
    text.parse::<Time>().unwrap().0
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn calls(time: &str, value: u128) -> CountRow {
    CountRow {
        organization: "acme".to_owned(),
        meter: "api_calls".to_owned(),
        region: String::new(),
        hour: u32::try_from(at(time) / HOUR_MS).unwrap(),
        fold: Fold::Sum,
        value,
    }
}

fn created(service: &str, time: &str) -> ServiceRow {
    ServiceRow {
        organization: "acme".to_owned(),
        region: "us".to_owned(),
        service: service.to_owned(),
        version: at(time),
        time_ms: at(time),
        source: "catalog".to_owned(),
        id: service.to_owned(),
        exists: Some(true),
        published: Some(false),
        name: None,
    }
}

/// The organization of the document: a trial, Plus, and Free from 20 December on.
fn acme() -> Payer {
    let on = |plan, trial, from: &str, to: Option<&str>| PlanPeriod {
        plan,
        trial,
        from_ms: at(from),
        to_ms: to.map(at),
    };
    let (trial_end, cancelled) = ("2026-11-10T09:17:00Z", "2026-12-20T12:00:00Z");
    let periods = vec![
        on(Plan::Plus, true, "2026-10-11T09:17:00Z", Some(trial_end)),
        on(Plan::Plus, false, trial_end, Some(cancelled)),
        on(Plan::Free, false, cancelled, None),
    ];
    Payer { organization: "acme".to_owned(), periods, regions: 1, home: Some("us".to_owned()) }
}

/// What is counted of a month at its own closing, or `late` at the next one.
fn used(name: &str, late: bool) -> Counted {
    let mut services: Vec<ServiceRow> =
        ["billing", "search", "ship"].map(|name| created(name, "2026-10-12T08:00:00Z")).to_vec();
    let counts = match name {
        "2026-10" => vec![calls("2026-10-20T00:00:00Z", 650_000)],
        "2026-11" => {
            let mut counts = vec![
                calls("2026-11-05T00:00:00Z", 900_000),
                calls("2026-11-10T09:00:00Z", 12_000),
                calls("2026-11-20T00:00:00Z", 2_000_000),
            ];
            counts.extend(late.then(|| calls("2026-11-30T23:00:00Z", 500_000)));
            counts
        }
        "2026-12" => {
            services.push(created("pay", "2026-12-14T00:00:00Z"));
            let counted_again = if late { 1_000_345 } else { 1_200_345 };
            vec![calls("2026-12-10T00:00:00Z", counted_again), calls("2026-12-24T00:00:00Z", 70_000)]
        }
        _ => Vec::new(),
    };
    let book = PriceBook::built_in();
    let wanted = acme().wanted(month(name), book.at(month(name))).unwrap().map(|wanted| wanted.spans);
    let periods = wanted.unwrap_or_default().into_iter().map(|span| span.from_ms..span.to_ms);
    let peaks = periods.map(|period| (period.clone(), peak(&services, period))).collect();
    Counted { counts, peaks, regions: 1 }
}

struct Books {
    invoices: Vec<Invoice>,
    credit: Decimal,
}

impl Books {
    /// Closes a month: what came late for the month before is adjusted.
    fn close(&mut self, name: &str, before: Option<&str>, number: &str) {
        let book = PriceBook::built_in();
        let late = before.map_or_else(Vec::new, |before| self.late(before));
        let version = book.at(month(name));
        let content = acme().invoice(month(name), version, &used(name, false), late).unwrap();
        let Some(content) = content else { return };
        let issued_ms = month(name).end_ms();
        let issue = Issue { number: number.to_owned(), issued_ms, ledger: &[], credit: self.credit };
        let invoice = Draft::of(content).open(issue).into_invoice();
        self.credit = self.credit + invoice.amount_due - invoice.total;
        self.invoices.push(invoice);
    }

    fn late(&self, before: &str) -> Vec<InvoiceLine> {
        let Some(invoice) = self.invoices.iter().find(|invoice| invoice.month == month(before)) else {
            return Vec::new();
        };
        let invoiced: Vec<&InvoiceLine> =
            invoice.lines.iter().filter(|line| line.kind != InvoiceLineKind::Adjustment).collect();
        let book = PriceBook::built_in();
        let now = acme().rate(month(before), book.at(month(before)), &used(before, true)).unwrap();
        let number = invoice.number.as_ref().unwrap();
        adjustments(Corrected { number, month: month(before), is_void: false }, &invoiced, &now)
    }
}

fn quarter() -> Books {
    let mut books = Books { invoices: Vec::new(), credit: Decimal::ZERO };
    books.close("2026-10", None, "none");
    books.close("2026-11", Some("2026-10"), "2026-000001");
    books.close("2026-12", Some("2026-11"), "2027-000001");
    books.close("2027-01", Some("2026-12"), "2027-000002");
    books
}

#[test]
fn the_documents_quarter_holds() {
    let books = quarter();
    let mut rows = Vec::new();
    for invoice in &books.invoices {
        let number = invoice.number.as_deref().unwrap();
        for line in &invoice.lines {
            let kind = serde_json::to_value(line.kind).unwrap();
            let (kind, amount) = (kind.as_str().unwrap(), line.amount);
            rows.push(format!("| {number} | {kind} | {} | {amount} |", line.description));
        }
        let (total, due) = (invoice.total, invoice.amount_due);
        rows.push(format!("| {number} | **total** | due {due} | **{total}** |"));
    }
    let told: Vec<&str> = DOC
        .lines()
        .skip_while(|line| *line != "| invoice | line | description | USD |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(told, rows, "\n{}", rows.join("\n"));
    assert_eq!(books.credit.to_string(), "6.85", "what is left to acme's credit");
}

proptest! {
    /// However usage arrives, closing by closing, the invoices sum up to the price of all of it.
    #[test]
    fn invoices_sum_up_to_the_price_of_the_final_counts(
        arrivals in prop::collection::vec(prop::collection::vec((0u32..744, 0u64..3_000_000), 0..5), 1..6),
        from_hour in 0i64..700,
        minutes in 0i64..60,
    ) {
        let book = PriceBook::built_in();
        let (december, version) = (month("2026-12"), book.at(month("2026-12")));
        let from_ms = december.start_ms() + from_hour * HOUR_MS + minutes * 60_000;
        let periods = vec![PlanPeriod { plan: Plan::Plus, trial: false, from_ms, to_ms: None }];
        let payer = Payer { organization: "acme".to_owned(), periods, regions: 1, home: Some("us".to_owned()) };
        let mut counted = Counted { regions: 1, ..Counted::default() };
        let mut invoiced: Vec<InvoiceLine> = Vec::new();
        for arrival in arrivals {
            for (hour, quantity) in arrival {
                let hour = december.hours().start + hour;
                let row = CountRow { hour, value: quantity.into(), ..calls("2026-12-01T00:00:00Z", 0) };
                counted.counts.push(row);
            }
            let now = payer.rate(december, version, &counted).unwrap();
            match invoiced.is_empty() {
                true => invoiced = now,
                false => {
                    let lines: Vec<&InvoiceLine> = invoiced.iter().collect();
                    let late = adjustments(
                        Corrected { number: "2027-000001", month: december, is_void: false },
                        &lines,
                        &now,
                    );
                    invoiced.extend(late);
                }
            }
        }
        let sum: Decimal = invoiced.iter().map(|line| line.amount).sum();
        let price: Decimal = payer.rate(december, version, &counted).unwrap().iter().map(|line| line.amount).sum();
        prop_assert_eq!(sum, price);
        let quantity: i128 = invoiced.iter().filter(|line| line.meter.as_deref() == Some("api_calls")).map(|line| line.quantity).sum();
        let first = (from_ms + HOUR_MS - 1) / HOUR_MS;
        let billed: u128 = counted.counts.iter().filter(|row| i64::from(row.hour) >= first).map(|row| row.value).sum();
        prop_assert_eq!(u128::try_from(quantity).unwrap(), billed);
    }
}
