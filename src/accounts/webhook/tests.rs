//! What needs no accounts; `accounts::tests::webhooks` has the rest.

use std::net::IpAddr;

use super::*;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

#[test]
fn the_signature_is_that_of_the_specifications_example() {
    let settings =
        Settings { secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()), ..Settings::default() };
    let signature = Webhooks::new(&settings).unwrap().sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let settings = |url: &str, secret: Option<&str>| Settings {
        sales: Some(url.to_owned()),
        secret: secret.map(str::to_owned),
        ..Settings::default()
    };
    let good = format!("whsec_{}", base64(KEY));
    let new = |settings: &Settings| Webhooks::new(settings).err();
    assert_eq!(new(&settings("https://example.com/hook", Some(&good))), None);
    assert_eq!(new(&Settings::default()), None);
    assert_eq!(new(&settings("example.com", Some(&good))), Some(SettingsError::Url { name: "sales" }));
    assert_eq!(new(&settings("ftp://example.com", Some(&good))), Some(SettingsError::Url { name: "sales" }));
    assert_eq!(new(&settings("https://example.com", None)), Some(SettingsError::NoSecret));
    assert_eq!(new(&settings("https://example.com", Some("whsec_***"))), Some(SettingsError::Secret));
    assert_eq!(new(&settings("https://example.com", Some("whsec_"))), Some(SettingsError::Secret));
    assert_eq!(new(&settings("https://example.com", Some("any words"))), None);
    for url in ["http://127.0.0.1/", "http://[::1]:8080/", "http://10.1.2.3/", "http://2130706433/"] {
        assert_eq!(new(&settings(url, Some(&good))), Some(SettingsError::Private { name: "sales" }), "{url}");
    }
}

#[test]
fn only_public_addresses_are_public() {
    for (address, public) in [
        ("8.8.8.8", true),
        ("172.15.255.255", true),
        ("172.16.0.1", false),
        ("192.168.0.1", false),
        ("169.254.169.254", false),
        ("100.64.0.1", false),
        ("100.128.0.1", true),
        ("0.0.0.0", false),
        ("224.0.0.1", false),
        ("255.255.255.255", false),
        ("198.18.0.1", false),
        ("2606:4700::1111", true),
        ("::1", false),
        ("::", false),
        ("fe80::1", false),
        ("fd00::1", false),
        ("2001:db8::1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::10.0.0.1", false),
        ("2002:7f00:1::", false),
    ] {
        assert_eq!(address::is_public(address.parse::<IpAddr>().unwrap()), public, "{address}");
    }
}

#[test]
fn pauses_grow_and_reach_over_three_days() {
    let pauses: Vec<i64> = (0..20).map(pause_ms).collect();
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(pauses[0], 5_000);
    assert!(pauses.iter().sum::<i64>() > GIVEN_UP_AFTER_MS);
}
