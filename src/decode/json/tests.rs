use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::text::{digits_end, plain_end};
use super::*;

fn is_json(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().is_ok() && scanner.end().is_ok()
}

#[test]
fn grammar_by_cases() {
    let good: &[&[u8]] = &[
        b"null",
        b" true ",
        b"\tfalse\r\n",
        b"0",
        b"-0",
        b"10",
        b"1.5",
        b"1e3",
        b"1E+3",
        b"-1.0e-30",
        br#""""#,
        br#""\"\\\/\b\f\n\r\t\u00e9""#,
        b"\"\xff\x80\"",
        b"[]",
        b"[ ]",
        b"{}",
        b"{ }",
        br#"{"a":[1,{"b":null}]}"#,
        br#"[[],{},"",0]"#,
        br#""\ud800""#,
        b"\"\x7f\"",
    ];
    let bad: &[&[u8]] = &[
        b"",
        b" ",
        b"nul",
        b"nulll",
        b"True",
        b"01",
        b"-",
        b"1.",
        b".5",
        b"1e",
        b"1e+",
        b"+1",
        b"0x1",
        b"NaN",
        b"\"",
        b"\"\\\"",
        br#""\x""#,
        br#""\u12g4""#,
        br#""\u123"#,
        b"\"\n\"",
        b"\"\x00\"",
        b"\"\x1f\"",
        b"[",
        b"]",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"{",
        b"{]",
        b"[}",
        br#"{"a"}"#,
        br#"{"a":}"#,
        br#"{"a":1,}"#,
        br#"{a:1}"#,
        br#"{"a":1 "b":2}"#,
        b"1 2",
        b"{}{}",
        b"[]x",
        b"\xef\xbb\xbf{}",
        b"/**/1",
        b"'a'",
        b"{1:2}",
        b"\xff",
    ];
    for text in good {
        assert!(is_json(text), "{}", String::from_utf8_lossy(text));
    }
    for text in bad {
        assert!(!is_json(text), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn nesting_is_bounded_by_the_text_alone() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 200_000] {
        let sound = [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(is_json(&sound), "{depth}");
        assert!(!is_json(&sound[1..]) && !is_json(&sound[..sound.len() - 1]), "{depth}");
        let mixed = [br#"{"a":["#.repeat(depth), b"]}".repeat(depth)].concat();
        assert!(is_json(&mixed), "{depth}");
        let crossed = [br#"{"a":["#.repeat(depth), b"}]".repeat(depth)].concat();
        assert!(!is_json(&crossed), "{depth}");
    }
}

#[test]
fn an_error_says_where() {
    let error = |text: &str| Scanner::new(text.as_bytes()).value().expect_err("broken").to_string();
    assert_eq!(error(r#"{"a":1,"b":x}"#), "expected a value at byte 11");
    assert_eq!(error(r#"["a" 1]"#), "expected ',' or ']' at byte 5");
    assert_eq!(error("\"a"), "expected the string's closing quote at byte 2");
}

#[test]
fn strings_end_at_the_first_special_byte_wherever_it_stands() {
    for special in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
        for at in 0..200 {
            for after in [b'a', b'"', 0x00, 0xff, 0x21, 0x23, 0x5b, 0x5d, 0x20] {
                for more in [0, 3, 17] {
                    let mut bytes = vec![0xfe; at];
                    bytes.push(special);
                    bytes.extend(vec![after; more]);
                    let from = at.min(more * 5);
                    assert_eq!(plain_end(&bytes, from), at, "{special:#x} then {after:#x}");
                }
            }
        }
    }
    for length in 0..200 {
        assert_eq!(plain_end(&vec![b' '; length], 0), length);
        assert_eq!(plain_end(&vec![b' '; length], length), length);
    }
}

#[test]
fn numbers_end_at_the_first_byte_that_is_no_digit() {
    for length in 0..60 {
        for after in ["", ".", "/", ":", "e", "\u{0}", ",123456789012345678"] {
            for before in 0..20 {
                let text =
                    format!("{}{}{after}", "x".repeat(before), "0918273645".repeat(6).split_at(length).0);
                assert_eq!(digits_end(text.as_bytes(), before), before + length, "{text}");
            }
        }
    }
}

#[test]
fn unescaping_by_cases() {
    let unescaped = |raw: &[u8]| {
        let mut text = String::new();
        unescape(raw, &mut text).map(|()| text)
    };
    assert_eq!(unescaped(br#"a\/b\\c\"d"#).as_deref(), Some(r#"a/b\c"d"#));
    assert_eq!(unescaped(br"\b\f\n\r\t").as_deref(), Some("\u{8}\u{c}\n\r\t"));
    assert_eq!(unescaped(br"caf\u00E9 \ud83d\uDE80\u0000").as_deref(), Some("café 🚀\0"));
    for broken in
        [&br"\ud800"[..], br"\ude80", br"\ud83d\n", br"\ud83dx", br"\ud83d\u0041", b"\\n\xff", br"\ud83d\"]
    {
        assert_eq!(unescaped(broken), None, "{}", String::from_utf8_lossy(broken));
    }
}

#[test]
fn numbers_by_cases() {
    let cases: &[(&str, i128, bool)] = &[
        ("0", 0, true),
        ("-0", 0, true),
        ("-0.000", 0, true),
        ("0e999999999999999999999", 0, true),
        ("1", 1, true),
        ("1.0", 1, true),
        ("1e3", 1000, true),
        ("1E+3", 1000, true),
        ("100000e-2", 1000, true),
        ("1.5", 1, false),
        ("-1.5", -2, false),
        ("-1.0", -1, true),
        ("0.999", 0, false),
        ("-0.001", -1, false),
        ("15e-1", 1, false),
        ("1e-400", 0, false),
        ("-1e-400", -1, false),
        ("9007199254740991", 9_007_199_254_740_991, true),
        ("9007199254740991.5", 9_007_199_254_740_991, false),
        ("9007199254740992.0", 9_007_199_254_740_992, true),
        ("0.000000000000000000000000000000000000000000123e45", 123, true),
        ("1.795456800123e+12", 1_795_456_800_123, true),
        ("18446744073709551616", 18_446_744_073_709_551_616, true),
    ];
    for (text, floor, exact) in cases {
        assert_eq!(whole(text.as_bytes()), Whole { floor: *floor, exact: *exact }, "{text}");
    }
    let long = "9".repeat(5000);
    for text in ["1e400", "1e999999999999999999999", &long] {
        assert!(whole(text.as_bytes()).floor > i128::from(u64::MAX) * 1000, "{text}");
        assert!(whole(format!("-{text}").as_bytes()).floor < i128::from(i64::MIN) * 1000, "{text}");
    }
}

/// JSON, most of it sound, some of it a little wrong.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-1.5e3",
            r#""""#,
            r#""a\n""#,
            r#""\u00e9""#,
            "{}",
            "[ ]",
            ""
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
        "[0-9.eE+-]{1,6}".prop_map(String::into_bytes),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| wrap(
                b"[",
                &items.join(&b", "[..]),
                b"]"
            )),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let members: Vec<Vec<u8>> = items.iter().map(|item| wrap(br#""k" :"#, item, b" ")).collect();
                wrap(b"{", &members.join(&b","[..]), b"}")
            }),
        ]
    })
}

fn wrap(before: &[u8], inner: &[u8], after: &[u8]) -> Vec<u8> {
    [before, inner, after].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_grammar_is_that_of_serde_json(
        mut text in json_like(),
        change in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[]\",:\\u0e.-+ tn\x00\xff".to_vec()),
        mutated in any::<bool>(),
    ) {
        if mutated && !text.is_empty() {
            let at = change.index(text.len());
            text[at] = byte;
        }
        prop_assert_eq!(is_json(&text), serde_json::from_slice::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn strings_mean_what_serde_json_says(raw in r#"([a-zé🚀 ]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude80){0,12}"#) {
        let expected = serde_json::from_str::<String>(&format!("\"{raw}\"")).ok();
        let mut text = String::new();
        prop_assert_eq!(unescape(raw.as_bytes(), &mut text).map(|()| text), expected);
    }

    #[test]
    fn an_integer_is_the_same_however_it_is_written(value in any::<i64>(), shift in 0_usize..30, zeros in 0_usize..5) {
        let (sign, digits) = if value < 0 { ("-", value.unsigned_abs().to_string()) } else { ("", value.to_string()) };
        let expected = Whole { floor: value.into(), exact: true };
        let written = [
            format!("{sign}{digits}.{}", "0".repeat(zeros + 1)),
            format!("{sign}{digits}{}e-{shift}", "0".repeat(shift)),
            format!("{sign}0.{}{digits}E+{}", "0".repeat(shift), shift + digits.len()),
        ];
        for text in written {
            prop_assert_eq!(whole(text.as_bytes()), expected, "{}", text);
        }
    }
}
