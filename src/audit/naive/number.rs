use num_bigint::BigInt;
use num_bigint::Sign;

/// An exponent beyond this makes any number either nothing or more than can be counted.
const GREATEST_EXPONENT: i64 = 10_000;

/// The greatest integer that is not greater than the JSON number, and whether it is the number.
pub fn floor(number: &[u8]) -> Option<(BigInt, bool)> {
    let text = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, clamped(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().ok()?;
    if digits.sign() == Sign::NoSign {
        return Some((digits, true));
    }
    let scale = exponent.saturating_sub(i64::try_from(fraction.len()).ok()?);
    if scale >= 0 {
        let power = u32::try_from(scale.min(GREATEST_EXPONENT)).ok()?;
        return Some((digits * BigInt::from(10).pow(power), true));
    }
    let negative = digits.sign() == Sign::Minus;
    // So small a fraction that only its sign matters.
    if scale < -GREATEST_EXPONENT - i64::try_from(text.len()).ok()? {
        return Some((BigInt::from(if negative { -1 } else { 0 }), false));
    }
    let divisor = BigInt::from(10).pow(u32::try_from(-scale).ok()?);
    let quotient = &digits / &divisor;
    let exact = &quotient * &divisor == digits;
    Some((if exact || !negative { quotient } else { quotient - 1 }, exact))
}

/// The number, where it is an integer.
pub fn integer(number: &[u8]) -> Option<BigInt> {
    floor(number).and_then(|(floor, exact)| exact.then_some(floor))
}

/// Digits that no integer type holds are as good as the greatest exponent.
fn clamped(exponent: &str) -> Option<i64> {
    let (negative, digits) = match exponent.as_bytes().first()? {
        b'-' => (true, &exponent[1..]),
        b'+' => (false, &exponent[1..]),
        _ => (false, exponent),
    };
    let magnitude = digits
        .trim_start_matches('0')
        .parse::<i64>()
        .unwrap_or(if digits.bytes().all(|b| b == b'0') { 0 } else { i64::MAX / 2 });
    Some(if negative { -magnitude } else { magnitude })
}
