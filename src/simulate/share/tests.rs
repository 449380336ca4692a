use super::*;

#[test]
fn fractions_and_percentages_are_read() {
    for (text, millionths, printed) in [
        ("0", 0, "0%"),
        ("0.03", 30_000, "3%"),
        (".5", 500_000, "50%"),
        ("3%", 30_000, "3%"),
        ("3 %", 30_000, "3%"),
        ("0.5%", 5_000, "0.5%"),
        ("1%", 10_000, "1%"),
        ("3", 30_000, "3%"),
        ("2.25", 22_500, "2.25%"),
        ("1", 10_000, "1%"),
        ("1.0", 10_000, "1%"),
        ("100", 1_000_000, "100%"),
        ("100%", 1_000_000, "100%"),
        ("0.000001", 1, "0.0001%"),
    ] {
        let share: Share = text.parse().unwrap();
        assert_eq!(share.millionths(), millionths, "{text}");
        assert_eq!(share.to_string(), printed, "{text}");
    }
}

#[test]
fn what_is_no_share_is_refused() {
    for text in [
        "",
        "%",
        ".",
        "-1",
        "+1",
        "101",
        "100.1%",
        "1e-2",
        "0.0000001",
        "three",
        "3%%",
        "1/3",
        "18446744073709551615",
    ] {
        assert!(text.parse::<Share>().is_err(), "{text:?}");
    }
}

#[test]
fn a_part_is_rounded_down() {
    let share: Share = "3%".parse().unwrap();
    assert_eq!(share.of(1_000), 30);
    assert_eq!(share.of(33), 0);
    assert_eq!(share.of(1_000_000_000_000_000_000), 30_000_000_000_000_000);
}
