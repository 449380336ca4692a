use super::Time;

#[test]
fn writes_milliseconds_only_when_not_zero() {
    let cases = [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_456_801_000, "2026-11-23T18:00:01Z"),
        (1_795_456_801_250, "2026-11-23T18:00:01.250Z"),
        (1_795_456_801_001, "2026-11-23T18:00:01.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ];
    for (epoch_ms, text) in cases {
        assert_eq!(Time(epoch_ms).to_string(), text);
        assert_eq!(text.parse(), Ok(Time(epoch_ms)));
    }
}

#[test]
fn reads_offsets_and_fine_fractions() {
    assert_eq!("2026-11-23T19:00:01+01:00".parse(), Ok(Time(1_795_456_801_000)));
    assert_eq!("2026-11-23T18:00:01.2509Z".parse(), Ok(Time(1_795_456_801_250)));
}

#[test]
fn refuses_what_names_no_instant() {
    for text in ["", "2026-11-23", "2026-11-23T18:00:01", "2026-13-01T00:00:00Z", "1795456801000"] {
        assert!(text.parse::<Time>().is_err(), "{text}");
    }
}
