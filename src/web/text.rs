//! Numbers, amounts and instants as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use rust_decimal::Decimal;

use crate::clock::Time;
use crate::month::Month;
use crate::rating::Currency;

#[cfg(test)]
mod tests;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAY_MS: i64 = 86_400_000;

/// `1,200,345`
pub fn number(value: impl Into<i128>) -> String {
    let value = value.into();
    let sign = if value < 0 { "\u{2212}" } else { "" };
    format!("{sign}{}", group(&value.unsigned_abs().to_string()))
}

/// `$1,356.11`, `€12.00`, `CHF 12.00`, `−$3.00`: every digit of the amount as it is.
pub fn money(amount: Decimal, currency: Currency) -> String {
    let text = amount.abs().to_string();
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if amount.is_sign_negative() && !amount.is_zero() { "\u{2212}" } else { "" };
    let symbol = match currency.as_str() {
        "USD" => "$".to_owned(),
        "EUR" => "\u{20ac}".to_owned(),
        "GBP" => "\u{a3}".to_owned(),
        code => format!("{code}\u{a0}"),
    };
    format!("{sign}{symbol}{}{rest}", group(whole))
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that programs can read too.
pub fn data(value: u128) -> Markup {
    let shown = i128::try_from(value).map_or_else(|_| value.to_string(), number);
    html! { data value=(value) { (shown) } }
}

pub fn month(month: Month) -> String {
    format!("{} {}", month_name(month.month()), month.year())
}

fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or_default()
}

/// `1 December 2026`
pub fn date(time: Time) -> String {
    let Some(at) = civil(time) else { return time.to_string() };
    format!("{} {} {}", at.day(), month_name(at.month()), at.year())
}

/// `3 Nov`
pub fn day(time: Time) -> String {
    let Some(at) = civil(time) else { return time.to_string() };
    format!("{} {}", at.day(), &month_name(at.month())[..3])
}

/// `18:00:01`
pub fn clock(time: Time) -> String {
    let Some(at) = civil(time) else { return time.to_string() };
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// `1 December 2026, 09:00 UTC`, with what programs read.
pub fn instant(time: Time) -> Markup {
    html! { time datetime=(time) { (date(time)) ", " (&clock(time)[..5]) " UTC" } }
}

/// `18:00:01 UTC`, with what programs read; the date too, where it is another one than `now`'s.
pub fn near(time: Time, now: Time) -> Markup {
    html! {
        time datetime=(time) {
            @if date(time) != date(now) { (date(time)) ", " }
            (clock(time)) " UTC"
        }
    }
}

fn civil(time: Time) -> Option<jiff::civil::DateTime> {
    let at = Timestamp::from_millisecond(time.0).ok()?;
    Some(at.to_zoned_datetime(TimeZone::UTC).datetime())
}

/// Started days count whole: on the last day 1 is left.
pub fn days_left(now_ms: i64, end_ms: i64) -> i64 {
    (end_ms - now_ms + DAY_MS - 1).div_euclid(DAY_MS).max(0)
}

/// `1 day`, `2 days`
pub fn counted(count: i64, one: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{} {one}{end}", number(count))
}
