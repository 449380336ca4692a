use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

#[cfg(test)]
mod tests;

/// An instant in epoch milliseconds, written in RFC 3339 in UTC; milliseconds only when not zero:
/// `2026-11-23T18:00:01Z`, `2026-11-23T18:00:01.250Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub i64);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("time {text:?} is not an RFC 3339 time such as 2026-11-01T00:00:00Z")]
pub struct InvalidTime {
    text: String,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every i64 that a clock or an event can give lies in jiff's years -9999 to 9999.
        let timestamp = Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        let decimals = if self.0.rem_euclid(1000) == 0 { 0 } else { 3 };
        write!(f, "{timestamp:.decimals$}")
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    /// Takes any offset; what is finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let timestamp: Timestamp = text.parse().map_err(|_| InvalidTime { text: text.to_owned() })?;
        Ok(Self(timestamp.as_millisecond()))
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
