use proptest::prelude::*;

use super::*;

#[test]
fn durations() {
    for (text, ms) in [
        ("500ms", 500),
        ("1s", 1_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("35d", 35 * 86_400_000),
        ("2w", 14 * 86_400_000),
        ("1h30m", 5_400_000),
        ("0s", 0),
        (" 5 s ", 5_000),
        ("1_000ms", 1_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text:?}");
    }
    for text in ["", "5", "s", "1.5s", "-1s", "5 parsecs", "99999999999999999999s", "101w99999d", "_s", "1S"]
    {
        assert!(duration(text).is_err(), "{text:?}");
    }
    assert!(positive_duration("0s").is_err());
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("1048576", 1 << 20),
        ("1MiB", 1 << 20),
        ("1mib", 1 << 20),
        ("20GiB", 20 << 30),
        ("1GB", 1_000_000_000),
        ("1 TiB", 1 << 40),
        ("10B", 10),
        ("1_024", 1_024),
    ] {
        assert_eq!(size(0)(text), Ok(bytes), "{text:?}");
    }
    for text in ["", "MiB", "1.5GiB", "-1", "1 XB", "99999999TiB", "9223372036854775808"] {
        assert!(size(0)(text).is_err(), "{text:?}");
    }
    assert!(size(1)("0").is_err());
}

#[test]
fn integers() {
    assert_eq!(integer(1)("4194304"), Ok(4_194_304));
    assert_eq!(integer(1)("4_194_304"), Ok(4_194_304));
    for text in ["0", "-1", "1.0", "1e3", "", "_", "0x10", "99999999999999999999"] {
        assert!(integer(1)(text).is_err(), "{text:?}");
    }
}

#[test]
fn topics() {
    let longest = "t".repeat(249);
    for name in ["gateway.events", "A_b-1", longest.as_str()] {
        assert!(topic(name).is_ok(), "{name:?}");
    }
    let too_long = "t".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "ä", too_long.as_str()] {
        assert!(topic(name).is_err(), "{name:?}");
    }
}

#[test]
fn broker_lists() {
    for list in ["127.0.0.1:9092", "a:1,b:2", "a, b:9092", "[::1]:9092", "SASL_SSL://a:9093"] {
        assert!(brokers(list).is_ok(), "{list:?}");
    }
    for list in ["", "a,", ":9092", "a:0", "a:99999", "a:b", "a b:1"] {
        assert!(brokers(list).is_err(), "{list:?}");
    }
}

#[test]
fn urls_and_addresses() {
    assert_eq!(http_url("http://127.0.0.1:8123/").as_deref(), Ok("http://127.0.0.1:8123"));
    for url in ["127.0.0.1:8123", "ftp://a", "http://", "", "tcp://a:9000"] {
        assert!(http_url(url).is_err(), "{url:?}");
    }
    for url in ["sqlite://odometer.db", "sqlite::memory:", "postgres://u:p@h/d", "postgresql://h/d"] {
        assert!(accounts_url(url).is_ok(), "{url:?}");
    }
    for url in ["odometer.db", "mysql://h/d", "postgres://", ""] {
        assert!(accounts_url(url).is_err(), "{url:?}");
    }
    for address in ["127.0.0.1:8080", "localhost:0", "[::1]:80", "0.0.0.0:65535"] {
        assert!(listen_address(address).is_ok(), "{address:?}");
    }
    for address in ["8080", ":8080", "a:", "a:65536", "::1:80", "a b:1"] {
        assert!(listen_address(address).is_err(), "{address:?}");
    }
}

#[test]
fn names() {
    assert!(database_name("odometer_2").is_ok());
    for name in ["", "1a", "a-b", "a`b", "a b"] {
        assert!(database_name(name).is_err(), "{name:?}");
    }
}

proptest! {
    #[test]
    fn readers_never_panic(text in any::<String>()) {
        let _ = (duration(&text), size(1)(&text), integer(1)(&text), topic(&text), brokers(&text));
        let _ = (http_url(&text), accounts_url(&text), listen_address(&text));
        let _ = (database_name(&text), region(&text), boolean(&text));
    }

    #[test]
    fn written_durations_are_read_again(ms in 0_u64..1_000_000_000) {
        prop_assert_eq!(duration(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
    }
}
