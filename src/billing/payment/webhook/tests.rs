use super::*;

const SECRET: &str = "whsec_test_secret";
const NOW_S: i64 = 1_796_083_200;
const BODY: &[u8] = br#"{"id":"evt_1"}"#;

fn check(header: &str, body: &[u8]) -> Result<(), WebhookError> {
    verify(&Secret::new(SECRET), header, body, &[NOW_S * 1000])
}

/// Made with `printf '%s' '1796083200.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test_secret`.
#[test]
fn a_signature_is_the_known_one() {
    assert_eq!(
        sign(SECRET, NOW_S, BODY),
        "t=1796083200,v1=9b35872bf4952d36f6621b9c2ed0b71c24d7690f4daeffb7803aed2db801cf7b"
    );
}

#[test]
fn signatures_are_taken_for_five_minutes() {
    for (seconds, is_taken) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
        let result = check(&sign(SECRET, NOW_S - seconds, BODY), BODY);
        assert_eq!(result.is_ok(), is_taken, "{seconds} s");
        assert!(is_taken || matches!(result, Err(WebhookError::Old)));
    }
}

#[test]
fn any_change_is_noticed() {
    let good = sign(SECRET, NOW_S, BODY);
    let other = sign("whsec_other", NOW_S, BODY);
    let (_, v1) = good.split_once(',').unwrap();
    let (_, other_v1) = other.split_once(',').unwrap();
    // While a secret is replaced, both sign.
    check(&format!("t={NOW_S},{other_v1},{v1}"), BODY).unwrap();
    check(&format!("t={NOW_S}, {v1}, v0=abc"), BODY).unwrap();
    let wrong = [
        other.clone(),
        format!("t={},{v1}", NOW_S + 1),
        format!("t={NOW_S},v1={}", &v1[3..v1.len() - 1]),
        format!("t={NOW_S},v1="),
        format!("t={NOW_S},v1=zz"),
        format!("t={NOW_S},v1=ü1"),
    ];
    for header in wrong {
        let result = check(&header, BODY);
        assert!(matches!(result, Err(WebhookError::WrongSignature)), "{header}: {result:?}");
    }
    assert!(matches!(check(&good, b"{\"id\":\"evt_2\"}"), Err(WebhookError::WrongSignature)));
    let unreadable = [
        String::new(),
        v1.to_owned(),
        format!("t={NOW_S}"),
        format!("t=x,{v1}"),
        format!("t={NOW_S},{}", v1.replace("v1", "v0")),
    ];
    for header in unreadable {
        let result = check(&header, BODY);
        assert!(matches!(result, Err(WebhookError::NoSignature)), "{header}: {result:?}");
    }
    assert!(matches!(check(&sign(SECRET, i64::MAX / 10, BODY), BODY), Err(WebhookError::Old)));
}
