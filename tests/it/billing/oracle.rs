//! What invoices must say, worked out in whole cents by code that shares nothing with the product.

use std::collections::BTreeMap;
use std::ops::Range;

pub const HOUR_MS: i64 = 3_600_000;

/// 105.00 USD per service and month, 34.25 USD per million calls.
const SERVICE_CENTS: i128 = 10_500;
const MILLION_CALLS_CENTS: i128 = 3_425;

/// What happened, and in which of the closings it was known first.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    pub time_ms: i64,
    pub quantity: u64,
    pub known: usize,
}

/// A service that exists within [from, to); when its end was known.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub from_ms: i64,
    pub to_ms: i64,
    pub end_known: usize,
}

/// An organization, as the script makes it.
#[derive(Clone, Debug, Default)]
pub struct Organization {
    pub name: String,
    /// When it paid for Plus: [from, to), disjoint, rising.
    pub plus: Vec<Range<i64>>,
    pub calls: Vec<Calls>,
    pub services: Vec<Service>,
}

impl Organization {
    /// The parts of the month that are on Plus.
    fn spans(&self, month: &Range<i64>) -> Vec<Range<i64>> {
        let clip = |span: &Range<i64>| span.start.max(month.start)..span.end.min(month.end);
        self.plus.iter().map(clip).filter(|span| span.start < span.end).collect()
    }

    pub fn is_on_plus(&self, month: &Range<i64>) -> bool {
        !self.spans(month).is_empty()
    }

    /// What the month costs by what was known at a closing, in cents.
    pub fn price(&self, month: &Range<i64>, closing: usize) -> i128 {
        let spans = self.spans(month);
        let calls: u64 = self
            .calls
            .iter()
            .filter(|calls| calls.known <= closing && is_billed(calls.time_ms, &spans))
            .map(|calls| calls.quantity)
            .sum();
        let seconds: i64 = spans.iter().map(|span| (span.end - span.start) / 1000).sum();
        let month_seconds = (month.end - month.start) / 1000;
        let peak = spans.iter().map(|span| self.peak(span, closing)).max().unwrap_or(0);
        half_up(i128::from(peak) * SERVICE_CENTS * i128::from(seconds), month_seconds.into())
            + half_up(i128::from(calls) * MILLION_CALLS_CENTS, 1_000_000)
    }

    fn peak(&self, span: &Range<i64>, closing: usize) -> i64 {
        let starts = self.services.iter().map(|service| service.from_ms);
        let instants = starts.chain([span.start]).filter(|at| span.contains(at));
        let alive = |at: i64| {
            let lives = |service: &&Service| {
                let is_over = service.end_known <= closing && service.to_ms <= at;
                service.from_ms <= at && !is_over
            };
            i64::try_from(self.services.iter().filter(lives).count()).unwrap()
        };
        instants.map(alive).max().unwrap_or(0)
    }

    /// The totals of the invoices, by month: the month's own price and what earlier months cost more
    /// or less since the closing before. Months without an invoice are missing.
    pub fn totals(&self, months: &[Range<i64>]) -> BTreeMap<usize, i128> {
        let mut totals = BTreeMap::new();
        for (closing, month) in months.iter().enumerate() {
            let late: i128 = months[..closing]
                .iter()
                .map(|earlier| self.price(earlier, closing) - self.price(earlier, closing - 1))
                .sum();
            if self.is_on_plus(month) || late != 0 {
                totals.insert(closing, self.price(month, closing) + late);
            }
        }
        totals
    }

    /// What is to be paid of these invoices: credits lower the ones that follow.
    pub fn dues(&self, months: &[Range<i64>]) -> BTreeMap<usize, i128> {
        let mut credit = 0;
        let due = |(closing, total): (usize, i128)| {
            let due = (total - credit).max(0);
            credit -= total - due;
            (closing, due)
        };
        self.totals(months).into_iter().map(due).collect()
    }
}

/// Only hours that lie wholly on the plan are billed.
fn is_billed(time_ms: i64, spans: &[Range<i64>]) -> bool {
    let hour = time_ms.div_euclid(HOUR_MS) * HOUR_MS;
    spans.iter().any(|span| span.start <= hour && hour + HOUR_MS <= span.end)
}

fn half_up(numerator: i128, denominator: i128) -> i128 {
    (numerator * 2 + denominator).div_euclid(denominator * 2)
}

/// `-1234` → `-12.34`.
pub fn dollars(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}
