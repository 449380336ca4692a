//! Exact integers from JSON numbers, however they are written: 1000, 1000.0, 1e3 and 100000e-2 are
//! the same one. No float is involved, so nothing is rounded.

/// A number's integral part, towards the past (the floor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Whole {
    /// Saturates.
    pub floor: i128,
    /// Whether the number is integral, so that `floor` is all of it.
    pub exact: bool,
}

/// Beyond any number that means something here, and far from overflow.
const LIMIT: u128 = 1 << 120;

/// `text` has the grammar of a JSON number.
pub(in crate::decode) fn whole(text: &[u8]) -> Whole {
    if let Some(floor) = digits_alone(text) {
        return Whole { floor: floor.into(), exact: true };
    }
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mantissa_end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(mantissa_end);
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let digits = mantissa.iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0');
    let integral = i64::try_from(point).unwrap_or(i64::MAX).saturating_add(power(exponent));
    let (magnitude, exact) = cut(digits, integral);
    let magnitude = i128::try_from(magnitude).unwrap_or(i128::MAX);
    match (negative, exact) {
        (false, _) => Whole { floor: magnitude, exact },
        (true, true) => Whole { floor: -magnitude, exact },
        (true, false) => Whole { floor: -magnitude - 1, exact },
    }
}

/// The number, if it is written as most are: digits alone, and too few to overflow.
#[inline]
pub(in crate::decode) fn digits_alone(text: &[u8]) -> Option<u64> {
    const MOST: usize = 19;
    if text.len() > MOST {
        return None;
    }
    let mut value = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    Some(value)
}

/// The exponent's value, saturated; 0 where there is none.
fn power(exponent: &[u8]) -> i64 {
    let (negative, digits) = match exponent {
        [] => return 0,
        [_, b'-', digits @ ..] => (true, digits),
        [_, b'+', digits @ ..] | [_, digits @ ..] => (false, digits),
    };
    let value = digits
        .iter()
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -value } else { value }
}

/// The number that the first `integral` digits make (zeros follow where there are fewer), and
/// whether all digits after them are zero.
fn cut(digits: impl Iterator<Item = u8>, integral: i64) -> (u128, bool) {
    let (mut magnitude, mut taken, mut exact) = (0_u128, 0_i64, true);
    for digit in digits {
        if taken < integral {
            magnitude = append(magnitude, digit);
            taken += 1;
        } else {
            exact &= digit == 0;
        }
    }
    while taken < integral && magnitude != 0 && magnitude < LIMIT {
        magnitude = append(magnitude, 0);
        taken += 1;
    }
    (magnitude, exact)
}

fn append(magnitude: u128, digit: u8) -> u128 {
    (magnitude * 10 + u128::from(digit)).min(LIMIT)
}
