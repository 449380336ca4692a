//! UTC calendar months, half-open: `2026-11` is [2026-11-01T00:00:00Z, 2026-12-01T00:00:00Z).

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::event::HOUR_MS;

#[cfg(test)]
mod tests;

/// A UTC calendar month of the years 1970 to 9998.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month {
    first: Date,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("month {text:?} is not of the form YYYY-MM, e.g. 2026-11")]
pub struct InvalidMonth {
    text: String,
}

impl Month {
    /// The month that the instant belongs to. Panics outside the years 1970 to 9998; event times
    /// are checked before they come here.
    pub fn containing(epoch_ms: i64) -> Self {
        let date = Timestamp::from_millisecond(epoch_ms)
            .expect("an instant of the years 1970 to 9998")
            .to_zoned_datetime(TimeZone::UTC)
            .date();
        Self { first: date.first_of_month() }
    }

    /// `month` is 1 to 12.
    pub fn new(year: i16, month: i8) -> Option<Self> {
        if !(1970..=9998).contains(&year) {
            return None;
        }
        Date::new(year, month, 1).ok().map(|first| Self { first })
    }

    pub fn year(self) -> i16 {
        self.first.year()
    }

    /// 1 to 12.
    pub fn month(self) -> i8 {
        self.first.month()
    }

    /// Epoch milliseconds of the first instant.
    pub fn start_ms(self) -> i64 {
        self.first
            .to_zoned_datetime(TimeZone::UTC)
            .expect("UTC has every midnight")
            .timestamp()
            .as_millisecond()
    }

    /// Epoch milliseconds of the first instant that belongs to the next month.
    pub fn end_ms(self) -> i64 {
        self.next().start_ms()
    }

    /// The hours of the month, counted from the epoch: [start, end).
    pub fn hours(self) -> std::ops::Range<u32> {
        let hour = |ms: i64| u32::try_from(ms / HOUR_MS).expect("not before 1970");
        hour(self.start_ms())..hour(self.end_ms())
    }

    pub fn next(self) -> Self {
        Self { first: self.first + 1.month() }
    }

    pub fn previous(self) -> Self {
        Self { first: self.first - 1.month() }
    }

    pub fn first_day(self) -> Date {
        self.first
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let invalid = || InvalidMonth { text: text.to_owned() };
        let digits = |range: std::ops::Range<usize>| {
            let part = text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
            part.parse::<i16>().ok()
        };
        if text.len() != 7 || text.as_bytes()[4] != b'-' {
            return Err(invalid());
        }
        let year = digits(0..4).ok_or_else(invalid)?;
        let month = digits(5..7).ok_or_else(invalid)?;
        Self::new(year, i8::try_from(month).map_err(|_| invalid())?).ok_or_else(invalid)
    }
}

impl serde::Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Month {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
