use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

/// What a time is doesn't depend on the times before it.
fn parse(text: &str) -> Option<i64> {
    let parsed = Times::default().parse(text);
    let mut times = Times::default();
    for before in ["", text, "2026-11-23T18:00:00Z", text, text] {
        let again = times.parse(before);
        assert!(before != text || again == parsed, "{text:?}");
    }
    parsed
}

#[test]
fn times_by_cases() {
    let cases = [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-23T18:00:00Z", 1_795_456_800_000),
        ("2026-11-23t18:00:00z", 1_795_456_800_000),
        ("2026-11-23T19:30:00+01:30", 1_795_456_800_000),
        ("2026-11-23T12:30:00.000-05:30", 1_795_456_800_000),
        ("2026-11-23T18:00:00-00:00", 1_795_456_800_000),
        ("2026-11-24T17:59:00+23:59", 1_795_456_800_000),
        ("2026-11-23T18:00:00.1Z", 1_795_456_800_100),
        ("2026-11-23T18:00:00.12Z", 1_795_456_800_120),
        ("2026-11-23T18:00:00.1239999999999999999999Z", 1_795_456_800_123),
        ("2026-11-30T23:59:59.9999Z", 1_796_083_199_999),
        ("2026-11-30T23:59:60Z", 1_796_083_199_000),
        ("2026-11-30T23:59:60.75Z", 1_796_083_199_750),
        ("2026-12-01T00:59:60+01:00", 1_796_083_199_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ("0000-01-01T00:00:00+23:59", -62_167_305_540_000),
        ("9999-12-31T23:59:59.999-23:59", 253_402_387_139_999),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Some(expected), "{text}");
    }
}

#[test]
fn what_is_no_time() {
    let cases = [
        "",
        " ",
        "now",
        "1795456800000",
        "2026-11-23",
        "2026-11-23T18:00Z",
        "2026-11-23T18:00:00",
        "2026-11-23 18:00:00Z",
        "2026-11-23T18:00:00.Z",
        "2026-11-23T18:00:00,5Z",
        "2026-11-23T18:00:00.5",
        "2026-11-23T24:00:00Z",
        "2026-11-23T18:60:00Z",
        "2026-11-23T18:00:61Z",
        "2026-11-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-13-10T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-11-23T18:00:00+24:00",
        "2026-11-23T18:00:00+01:60",
        "2026-11-23T18:00:00+0100",
        "2026-11-23T18:00:00+01",
        "2026-11-23T18:00:00 Z",
        "2026-11-23T18:00:00ZZ",
        " 2026-11-23T18:00:00Z",
        "2026-11-23T18:00:00Z ",
        "26-11-23T18:00:00Z",
        "+2026-11-23T18:00:00Z",
        "-026-11-23T18:00:00Z",
        "2026-1-23T18:00:00Z",
        "2026-11-23T8:00:00Z",
        "20261123T180000Z",
        "2026-11-23T18:00:00\u{2212}01:00",
        "2026-11-2३T18:00:00Z",
        "2026-11-23T18:00:00Z[UTC]",
        "2026/11/23T18:00:00Z",
        "2026-11-23T+8:00:00Z",
        "12026-11-23T18:00:00Z",
    ];
    for text in cases {
        assert_eq!(parse(text), None, "{text:?}");
    }
}

/// 0000-01-01T00:00:00Z; jiff writes years before that with a sign, which RFC 3339 has not.
const YEAR_0_MS: i64 = -62_167_219_200_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_time_is_what_jiff_says(
        ms in YEAR_0_MS + 100_000_000..Timestamp::MAX.as_millisecond() - 100_000_000,
        offset_minutes in -1439_i64..=1439,
        digits in "[0-9]{0,5}",
        zulu in any::<bool>(),
        lower in any::<bool>(),
    ) {
        let offset_ms = if zulu { 0 } else { offset_minutes * 60_000 };
        let local = Timestamp::from_millisecond(ms + offset_ms).expect("in range").to_string();
        let (seconds, fraction) = local.trim_end_matches('Z').split_once('.').unwrap_or((local.trim_end_matches('Z'), ""));
        let fraction = if fraction.is_empty() && digits.is_empty() { String::new() } else { format!(".{fraction:0<3}{digits}") };
        let offset = if zulu {
            "Z".to_owned()
        } else {
            let sign = if offset_minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset_minutes.abs() / 60, offset_minutes.abs() % 60)
        };
        let mut text = format!("{seconds}{fraction}{offset}");
        if lower {
            text = text.to_lowercase();
        }
        prop_assert_eq!(parse(&text), Some(ms), "{}", text);
    }

    #[test]
    fn what_is_accepted_jiff_accepts_too(text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])") {
        let parsed = text.parse::<Timestamp>().ok().map(|time| {
            // jiff rounds towards zero.
            time.as_nanosecond().div_euclid(1_000_000)
        });
        if let Some(ours) = parse(&text) && let Some(theirs) = parsed {
            prop_assert_eq!(i128::from(ours), theirs);
        }
        if parsed.is_some() {
            prop_assert!(parse(&text).is_some(), "{}", text);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), digits in "[0-9TZtz:.+-]{0,40}") {
        parse(&text);
        parse(&digits);
    }
}
