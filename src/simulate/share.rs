use std::fmt;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// A part of all events, in millionths: 0 to 1,000,000.
///
/// Written as a fraction below 1 (`0.03`) or in percent (`3%`, or plainly `3`): a number from 1 on is
/// percent, so that `1` beside `3` means what it seems to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    millionths: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("share {text:?} is neither a fraction nor a percentage of at most 100, e.g. 0.03 or 3%")]
pub struct InvalidShare {
    text: String,
}

const WHOLE: u64 = 1_000_000;

impl Share {
    pub const NONE: Self = Self { millionths: 0 };

    pub fn millionths(self) -> u64 {
        self.millionths
    }

    /// This part of `count`, rounded down.
    pub fn of(self, count: u64) -> u64 {
        let part = u128::from(count) * u128::from(self.millionths) / u128::from(WHOLE);
        u64::try_from(part).expect("a part is at most the whole")
    }

    /// Whether two parts overlap because together they are more than the whole.
    pub fn exceeds_with(self, other: Self) -> bool {
        self.millionths + other.millionths > WHOLE
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let invalid = || InvalidShare { text: text.to_owned() };
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), true),
            None => (text, false),
        };
        let number = millionths(number).ok_or_else(invalid)?;
        let millionths = if percent || number >= WHOLE { number / 100 } else { number };
        if millionths > WHOLE {
            return Err(invalid());
        }
        Ok(Self { millionths })
    }
}

/// A plain decimal number with at most 6 decimals, times a million.
fn millionths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || decimals.len() > 6 || !digits(whole) || !digits(decimals)
    {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let decimals = format!("{decimals:0<6}").parse::<u64>().ok()?;
    whole.checked_mul(WHOLE)?.checked_add(decimals)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 10_000, self.millionths % 10_000);
        if rest == 0 {
            write!(f, "{whole}%")
        } else {
            write!(f, "{whole}.{}%", format!("{rest:04}").trim_end_matches('0'))
        }
    }
}
