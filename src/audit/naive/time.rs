use jiff::civil::{Date, DateTime, Time};

/// Epoch milliseconds of an RFC 3339 time, cut to the millisecond before it. Second 60 counts as 59.
pub fn parse(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    // 2026-11-23T18:00:00, then a fraction, then Z or +01:00.
    let (moment, rest) = text.split_at_checked(19)?;
    let shape_is_right = moment.bytes().zip(*b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte == b'T' || byte == b't',
        other => byte == other,
    });
    if !shape_is_right {
        return None;
    }
    let part = |range: std::ops::Range<usize>| moment[range].parse::<i16>().ok();
    let small = |range| part(range).and_then(|value| i8::try_from(value).ok());
    let date = Date::new(part(0..4)?, small(5..7)?, small(8..10)?).ok()?;
    let second = small(17..19)?;
    let time = Time::new(small(11..13)?, small(14..16)?, if second == 60 { 59 } else { second }, 0).ok()?;
    let (milliseconds, rest) = fraction(rest)?;
    let since_epoch =
        DateTime::from_parts(date, time).duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(since_epoch.as_secs() * 1000 + milliseconds - offset(rest)? * 60_000)
}

fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    Some((format!("{digits}000")[..3].parse().ok()?, rest))
}

/// Minutes east of UTC.
fn offset(text: &str) -> Option<i64> {
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let bytes = text.as_bytes();
    let is_offset = bytes.len() == 6
        && matches!(bytes[0], b'+' | b'-')
        && bytes[3] == b':'
        && [1, 2, 4, 5].into_iter().all(|at| bytes[at].is_ascii_digit());
    if !is_offset {
        return None;
    }
    let (hours, minutes) = (text[1..3].parse::<i64>().ok()?, text[4..6].parse::<i64>().ok()?);
    let magnitude = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
    Some(if bytes[0] == b'-' { -magnitude } else { magnitude })
}
