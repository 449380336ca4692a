use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::accounts::tests::{Fixture, admin, slug};

#[test]
fn card_numbers_are_refused_wherever_they_stand_and_never_quoted() {
    let good = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2028" });
    assert!(NewPaymentMethod::read(&good).is_ok());
    for (field, value) in [
        ("token", json!("4242424242424242")),
        ("token", json!("4242 4242 4242 4242")),
        ("token", json!("4242-4242-4242-4242")),
        ("token", json!("4242424242424241")), // mistyped
        ("token", json!("tok_378282246310005")),
        ("brand", json!("visa 5555555555554444")),
        ("last4", json!("6011111111111117")),
        ("number", json!("4111111111111111")),
        ("number", json!(4_111_111_111_111_111_u64)),
        ("4111111111111111", json!(1)),
        ("card", json!({ "number": ["30569309025904"] })),
    ] {
        let mut request = good.clone();
        request[field] = value;
        let error = NewPaymentMethod::read(&request).expect_err("a card number");
        assert_eq!((error.status(), error.slug()), (422, "card-number-refused"), "{request}");
        assert!(!error.to_string().chars().any(|c| c.is_ascii_digit()), "{error}");
    }
}

#[test]
fn a_request_is_read_strictly_and_its_values_are_not_quoted() {
    for (request, pointer) in [
        (json!({ "token": "tok_ok", "brand": "visa", "last4": "4242" }), "/exp"),
        (json!({ "token": 5, "brand": "visa", "last4": "4242", "exp": "11/2028" }), "/token"),
        (json!({ "token": "t", "brand": "b", "last4": "4242", "exp": "11/2028", "cvc": "123" }), "/cvc"),
        (json!([]), ""),
    ] {
        let error = NewPaymentMethod::read(&request).unwrap_err();
        let AccountError::Invalid { errors } = error else { panic!("{request}") };
        assert_eq!(errors[0].pointer, pointer, "{request}");
        assert!(errors.iter().all(|error| !error.detail.contains("123")));
    }
}

#[tokio::test]
async fn a_card_must_be_whole_and_in_date() {
    let fixture = Fixture::new().await;
    fixture.sign_up("acme").await;
    let good = crate::accounts::tests::card();
    let with = |adjust: fn(&mut NewPaymentMethod)| {
        let mut method = good.clone();
        adjust(&mut method);
        method
    };
    for method in [
        with(|method| method.exp = "10/2026".to_owned()),
        with(|method| method.exp = "13/2028".to_owned()),
        with(|method| method.exp = "1/2028".to_owned()),
        with(|method| method.exp = "11/28".to_owned()),
        with(|method| method.last4 = "42".to_owned()),
        with(|method| method.token = String::new()),
        with(|method| method.token = "tok ok".to_owned()),
        with(|method| method.brand = String::new()),
    ] {
        let result = fixture.accounts.add_payment_method(&admin("acme"), "acme", &method).await;
        assert_eq!(slug(result), (422, "invalid-request"), "{method:?}");
    }
    let this_month = with(|method| method.exp = "11/2026".to_owned());
    fixture.accounts.add_payment_method(&admin("acme"), "acme", &this_month).await.unwrap();
}

proptest! {
    /// A number made valid by its check digit is found in any surroundings.
    #[test]
    fn every_card_number_is_found(
        digits in proptest::collection::vec(0_u8..10, 11..18),
        before in "[a-zA-Z_ ]{0,8}", after in "[a-zA-Z_ ]{0,8}", separator in "[ .-]?", group in 2_usize..6,
    ) {
        prop_assume!(digits.iter().any(|&digit| digit != 0));
        let mut digits = digits;
        let check = (0..10).find(|&check| {
            let mut whole = digits.clone();
            whole.push(check);
            has_check_digit(&whole)
        });
        digits.push(check.expect("one of ten fits"));
        let groups: Vec<String> = digits.chunks(group).map(|part| part.iter().map(u8::to_string).collect()).collect();
        let text = format!("{before}{}{after}", groups.join(&separator));
        prop_assert!(contains_card_number(&json!({ "a": [text.clone()] })), "{}", text);
    }

    #[test]
    fn words_and_short_numbers_are_no_card_numbers(text in "([a-z]{1,5}[0-9]{0,5}[a-z_]){0,6}") {
        prop_assert!(!contains_card_number(&json!(text)));
    }
}
