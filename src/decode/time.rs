//! RFC 3339 times, as CloudEvents uses them.

#[cfg(test)]
mod tests;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// `2026-11-23T18`.
const HOUR_LENGTH: usize = 13;

/// Reads times. It remembers the hour of the last one, which most events share.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// An hour's text and its start in epoch milliseconds.
    hour: Option<([u8; HOUR_LENGTH], i64)>,
}

impl Times {
    /// Epoch milliseconds of `2026-11-23T18:00:00.25+01:00`; parts of a millisecond are cut off, so
    /// that an instant never moves to a later month. Second 60 counts as 59: a leap second belongs to
    /// the minute that it ends. `None` where the text is no RFC 3339 time.
    pub fn parse(&mut self, text: &str) -> Option<i64> {
        let (hour, rest) = text.as_bytes().split_first_chunk::<HOUR_LENGTH>()?;
        let start = match &self.hour {
            Some((known, start)) if known == hour => *start,
            _ => {
                let start = Reader { rest: hour }.hour()?;
                self.hour = Some((*hour, start));
                start
            }
        };
        if let Some(time) = plain_time_of_hour(rest) {
            return Some(start + time);
        }
        let mut reader = Reader { rest };
        let time = reader.time_of_hour()?;
        let offset = reader.offset()?;
        reader.rest.is_empty().then_some(start + time - offset)
    }
}

/// `:00:00.25Z` as most are written, in milliseconds: three digits or none, no leap second, UTC.
#[inline]
fn plain_time_of_hour(rest: &[u8]) -> Option<i64> {
    let (clock, rest) = rest.split_first_chunk::<6>()?;
    let [b':', minute_tens, minutes, b':', second_tens, seconds] = clock else { return None };
    let digit = |byte: &u8| byte.wrapping_sub(b'0');
    let [minute_tens, minutes, second_tens, seconds] =
        [minute_tens, minutes, second_tens, seconds].map(digit);
    if minute_tens.max(second_tens) > 5 || minutes.max(seconds) > 9 {
        return None;
    }
    let two = |tens: u8, ones: u8| i64::from(tens * 10 + ones);
    let fraction = match rest {
        b"Z" => 0,
        [b'.', tenths, hundredths, thousandths, b'Z'] => {
            let digits = [tenths, hundredths, thousandths].map(digit);
            if digits.iter().any(|digit| *digit > 9) {
                return None;
            }
            digits.iter().fold(0, |fraction, digit| fraction * 10 + i64::from(*digit))
        }
        _ => return None,
    };
    Some(two(minute_tens, minutes) * MINUTE_MS + two(second_tens, seconds) * 1000 + fraction)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// `2026-11-23`, in days since the epoch.
    fn day(&mut self) -> Option<i64> {
        let year = self.number(4, 0..=9999)?;
        self.one_of(b"-")?;
        let month = self.number(2, 1..=12)?;
        self.one_of(b"-")?;
        let day = self.number(2, 1..=days_in(year, month))?;
        Some(days_before(year, month) + day - 1)
    }

    /// `2026-11-23T18`, in milliseconds since the epoch.
    fn hour(&mut self) -> Option<i64> {
        let day = self.day()?;
        self.one_of(b"Tt")?;
        let hour = self.number(2, 0..=23)?;
        Some(day * DAY_MS + hour * 60 * MINUTE_MS)
    }

    /// `:00:00.25`, in milliseconds.
    fn time_of_hour(&mut self) -> Option<i64> {
        self.one_of(b":")?;
        let minute = self.number(2, 0..=59)?;
        self.one_of(b":")?;
        let second = self.number(2, 0..=60)?.min(59);
        let fraction = if self.one_of(b".").is_some() { self.fraction()? } else { 0 };
        Some(minute * MINUTE_MS + second * 1000 + fraction)
    }

    /// One or more digits, in milliseconds.
    fn fraction(&mut self) -> Option<i64> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
        (length > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// `Z` or `+01:00`, in milliseconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hour = self.number(2, 0..=23)?;
        self.one_of(b":")?;
        let minute = self.number(2, 0..=59)?;
        Some(sign * (hour * 60 + minute) * MINUTE_MS)
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !bytes.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self, length: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(length)?;
        let mut value = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        self.rest = rest;
        range.contains(&value).then_some(value)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of the month, in the Gregorian calendar. Years run from March
/// here, so that the leap day is the last (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_before(year: i64, month: i64) -> i64 {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    const EPOCH: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_IN_400_YEARS + day_of_era - EPOCH
}
