use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};

use crate::event::{Plan, PlanPeriod};
use crate::month::Month;

use super::book::PriceBookVersion;
use super::money::{Currency, Fraction};
use super::period::{Span, billed_spans};
use super::price::{Part, Piece, Price};

/// What rating asks of a month's usage.
pub trait MonthUsage {
    /// What the meter billed over the spans (of one month, disjoint, rising): the sum over
    /// [`Span::hours`] for counts and sums, the greatest there for `max` meters, and the greatest at
    /// any instant of the spans for what lasts (`services`, `published_services`, `regions`).
    fn quantity(&self, meter: &str, spans: &[Span]) -> u64;

    /// Whether the meter's quantity adds up over the month, so that a forecast extends it.
    fn adds_up(&self, meter: &str) -> bool;
}

/// What a month costs so far, as the usage answer shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Estimate {
    #[schema(value_type = String, example = "USD")]
    pub currency: Currency,
    #[schema(value_type = String, example = "356.11")]
    pub amount: Decimal,
    /// At the month's end, if its remaining hours are like those so far.
    #[schema(value_type = String, example = "420.33")]
    pub forecast: Decimal,
    pub lines: Vec<Line>,
}

/// What a month costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rated {
    pub currency: Currency,
    /// The sum of the lines.
    pub amount: Decimal,
    pub lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineKind {
    Usage,
    Recurring,
}

/// A priced line of an estimate or an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Line {
    pub kind: LineKind,
    /// `None`: a fee of the plan itself.
    pub meter: Option<String>,
    pub quantity: u64,
    /// The number of units that `unit_price` is for.
    pub unit: u64,
    #[schema(value_type = String, example = "34.25")]
    pub unit_price: Decimal,
    /// Rounded to the currency's minor unit.
    #[schema(value_type = String, example = "41.11")]
    pub amount: Decimal,
    pub description: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RatingError {
    #[error("rate {month}: plan periods overlap: {first:?} and {second:?}")]
    PeriodsOverlap { month: Month, first: PlanPeriod, second: PlanPeriod },
    #[error("rate {month}: the amount of {name} is beyond what can be stated")]
    AmountTooGreat { month: Month, name: String },
}

/// Prices what the month's usage says, over the plan periods that touch the month.
pub fn rate(
    version: &PriceBookVersion,
    month: Month,
    periods: &[PlanPeriod],
    usage: &dyn MonthUsage,
) -> Result<Rated, RatingError> {
    let rater = Rater { version, month };
    rater.sum(&version.charged_spans(month, periods)?, |price, spans| rater.used(price, spans, usage))
}

/// [`rate`] for the month so far, with a forecast for its end. `now_ms` may lie beyond the month.
pub fn estimate(
    version: &PriceBookVersion,
    month: Month,
    periods: &[PlanPeriod],
    now_ms: i64,
    usage: &dyn MonthUsage,
) -> Result<Estimate, RatingError> {
    let rater = Rater { version, month };
    let plans = version.charged_spans(month, periods)?;
    let so_far = rater.sum(&plans, |price, spans| rater.used(price, spans, usage))?;
    let at_end = rater.sum(&plans, |price, spans| {
        let used = rater.used(price, spans, usage);
        match price.meter.as_deref() {
            Some(meter) if !price.recurring && usage.adds_up(meter) => extend(used, spans, now_ms),
            _ => used,
        }
    })?;
    let Rated { currency, amount, lines } = so_far;
    Ok(Estimate { currency, amount, forecast: at_end.amount, lines })
}

type PlanSpans = Vec<(Plan, Vec<Span>)>;

impl PriceBookVersion {
    /// The spans of each plan that charges something: what invoices and estimates bill.
    pub fn charged_spans(&self, month: Month, periods: &[PlanPeriod]) -> Result<PlanSpans, RatingError> {
        let plans = billed_spans(month, periods, self.shared_hours)?;
        Ok(plans.into_iter().filter(|(plan, _)| !self.terms(*plan).prices.is_empty()).collect())
    }
}

/// The quantity at the end of the spans, if their time after `now_ms` is like that before.
/// Half a unit counts as one.
fn extend(used: u64, spans: &[Span], now_ms: i64) -> u64 {
    let length = |span: &Span| u128::try_from(span.to_ms - span.from_ms).unwrap_or(0);
    let total: u128 = spans.iter().map(length).sum();
    let elapsed: u128 = spans
        .iter()
        .map(|span| length(&Span::of(span.from_ms, span.to_ms.min(now_ms).max(span.from_ms))))
        .sum();
    if elapsed == 0 {
        return used;
    }
    // At most 2^64 × 2.7e9 ms: far below 2^128.
    let extended = (u128::from(used) * total + elapsed / 2) / elapsed;
    u64::try_from(extended).unwrap_or(u64::MAX)
}

struct Rater<'a> {
    version: &'a PriceBookVersion,
    month: Month,
}

impl Rater<'_> {
    fn used(&self, price: &Price, spans: &[Span], usage: &dyn MonthUsage) -> u64 {
        price.meter.as_deref().map_or(1, |meter| usage.quantity(meter, spans))
    }

    fn sum(
        &self,
        plans: &PlanSpans,
        quantity: impl Fn(&Price, &[Span]) -> u64,
    ) -> Result<Rated, RatingError> {
        let mut lines = Vec::new();
        for (plan, spans) in plans {
            for price in &self.version.terms(*plan).prices {
                self.push_lines(&mut lines, price, spans, quantity(price, spans))?;
            }
        }
        let currency = self.version.currency;
        let amount = self.total(&lines, "all lines")?;
        Ok(Rated { currency, amount, lines })
    }

    fn push_lines(
        &self,
        lines: &mut Vec<Line>,
        price: &Price,
        spans: &[Span],
        quantity: u64,
    ) -> Result<(), RatingError> {
        let share = Share { covered: spans.iter().map(Span::seconds).sum(), month: seconds(self.month) };
        let first = lines.len();
        for piece in price.pieces(quantity.into()) {
            lines.push(self.line(price, &piece, share)?);
        }
        let total = self.total(&lines[first..], &price.name)?;
        for (bound, is_minimum) in [(price.minimum, true), (price.cap, false)] {
            let Some(bound) = bound else { continue };
            let bound = self.round(&share.of(&bound.into()), &price.name)?;
            if (is_minimum && total < bound) || (!is_minimum && total > bound) {
                lines.push(self.correction(price, bound, total, is_minimum));
            }
        }
        Ok(())
    }

    fn line(&self, price: &Price, piece: &Piece, share: Share) -> Result<Line, RatingError> {
        let prorated = price.recurring && !share.is_whole();
        let exact = if price.recurring { share.of(&piece.amount) } else { piece.amount.clone() };
        let amount = self.round(&exact, &price.name)?;
        let mut description = self.describe(price, piece);
        if prorated {
            description += &format!(
                ", for {} of {} seconds of the month",
                grouped(share.covered.into()),
                grouped(share.month.into())
            );
        }
        Ok(Line {
            kind: kind(price),
            meter: price.meter.clone(),
            quantity: piece.quantity.trunc().to_u64().unwrap_or(u64::MAX),
            unit: piece.unit,
            unit_price: self.version.currency.show_price(piece.unit_price),
            amount,
            description,
        })
    }

    /// The line that brings a price up to its minimum or down to its cap.
    fn correction(&self, price: &Price, bound: Decimal, total: Decimal, is_minimum: bool) -> Line {
        let amount = bound - total;
        let word = if is_minimum { "minimum" } else { "cap" };
        let description = format!("{}: {word} of {bound} {}", price.name, self.version.currency);
        let meter = price.meter.clone();
        Line { kind: kind(price), meter, quantity: 1, unit: 1, unit_price: amount, amount, description }
    }

    fn describe(&self, price: &Price, piece: &Piece) -> String {
        let currency = self.version.currency;
        let unit_price = currency.show_price(piece.unit_price);
        let quantity = grouped(piece.quantity.trunc().to_u128().unwrap_or(u128::MAX));
        let name = &price.name;
        let unit = grouped(piece.unit.into());
        let at = match piece.unit {
            1 => format!("{quantity} at {unit_price} {currency}"),
            _ => format!("{quantity} at {unit_price} {currency} per {unit}"),
        };
        match piece.part {
            Part::Whole => format!("{name}: {at}"),
            Part::Included => format!("{name}: {quantity} included"),
            Part::Tier(number) => format!("{name}, tier {number}: {at}"),
            Part::TierFlat(number) => format!("{name}, tier {number}: {unit_price} {currency} flat"),
            Part::Packages => format!("{name}: {quantity} at {unit_price} {currency} per started {unit}"),
            Part::Flat => format!("{name}: {unit_price} {currency}"),
        }
    }

    fn round(&self, amount: &Fraction, name: &str) -> Result<Decimal, RatingError> {
        self.version.currency.round(amount).ok_or_else(|| self.too_great(name))
    }

    fn total(&self, lines: &[Line], name: &str) -> Result<Decimal, RatingError> {
        let nothing = Decimal::new(0, self.version.currency.minor_digits());
        lines
            .iter()
            .try_fold(nothing, |sum, line| sum.checked_add(line.amount))
            .ok_or_else(|| self.too_great(name))
    }

    fn too_great(&self, name: &str) -> RatingError {
        RatingError::AmountTooGreat { month: self.month, name: name.to_owned() }
    }
}

fn kind(price: &Price) -> LineKind {
    if price.recurring { LineKind::Recurring } else { LineKind::Usage }
}

/// How much of the month a plan covers, in seconds.
#[derive(Clone, Copy)]
struct Share {
    covered: u64,
    month: u64,
}

impl Share {
    fn is_whole(self) -> bool {
        self.covered == self.month
    }

    fn of(self, amount: &Fraction) -> Fraction {
        amount.times(&Fraction::ratio(self.covered, self.month))
    }
}

fn seconds(month: Month) -> u64 {
    Span::whole(month).seconds()
}

/// 1200345 → `1,200,345`.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
