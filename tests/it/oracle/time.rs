//! Times and months, by the calendar's own rules.

/// RFC 3339 to epoch milliseconds, rounded down; `None` where it is none.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let number = |from: usize, length: usize| -> Option<i64> {
        let part = text.get(from..from + length)?;
        part.chars().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let mark = |at: usize, mark: u8| (text.as_bytes().get(at) == Some(&mark)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    mark(4, b'-').and(mark(7, b'-')).and(mark(10, b'T')).and(mark(13, b':')).and(mark(16, b':'))?;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = &text[19..];
    let fraction: String = match rest.strip_prefix('.') {
        Some(rest) => rest.chars().take_while(char::is_ascii_digit).collect(),
        None => String::new(),
    };
    if rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let zone = &rest[rest.len().min(if fraction.is_empty() { 0 } else { fraction.len() + 1 })..];
    let offset_minutes = match zone.as_bytes() {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |d: &u8| d.is_ascii_digit().then(|| i64::from(d - b'0'));
            let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let milliseconds: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let seconds = day_number(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
    Some((seconds - offset_minutes * 60) * 1_000 + milliseconds)
}

/// An instant as RFC 3339 has it, in UTC, with milliseconds.
pub fn rfc3339(epoch_ms: i64) -> String {
    let month = month(epoch_ms);
    let of_month = epoch_ms - bounds(&month).0;
    let (day, of_day) = (of_month / 86_400_000 + 1, of_month % 86_400_000);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{month}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1_000)
}

/// The month that an instant belongs to, as in `2026-11`.
pub fn month(epoch_ms: i64) -> String {
    let day = epoch_ms.div_euclid(86_400_000);
    let mut year = 1970 + day / 366;
    while day_number(year + 1, 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|&month| day_number(year, month, 1) <= day).expect("a day has a month");
    format!("{year:04}-{month:02}")
}

/// Epoch milliseconds of the first instant of a month, as in `2026-11`, and of the next.
pub fn bounds(month: &str) -> (i64, i64) {
    let (year, month) = month.split_once('-').expect("a month");
    let (year, month): (i64, i64) = (year.parse().expect("a year"), month.parse().expect("a month"));
    let start = day_number(year, month, 1);
    (start * 86_400_000, (start + days_of(year, month)) * 86_400_000)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let of_year: i64 = (1..month).map(|month| days_of(year, month)).sum();
    (year - 1970) * 365 + leap_days + of_year + day - 1
}
