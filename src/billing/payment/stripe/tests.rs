use serde_json::{Value, json};

use super::*;

fn charge() -> Charge {
    Charge {
        idempotency_key: "pay_1".to_owned(),
        amount: Amount::of_minor_units(35_611, "USD".parse().unwrap()).unwrap(),
        token: "pm_1".to_owned(),
        organization: "acme".to_owned(),
        invoice: "2026-000042".to_owned(),
        description: String::new(),
        asked_ms: 0,
        reference: None,
    }
}

fn answer(status: u16, json: Value) -> Result<Answer, ProviderError> {
    intent::answer(&Reply { status, json })
}

fn declined(reference: Option<&str>, code: &str, message: &str) -> Result<Answer, ProviderError> {
    let reference = reference.map(str::to_owned);
    Ok(Answer::Declined { reference, code: code.to_owned(), message: message.to_owned() })
}

#[test]
fn an_intent_s_status_says_what_became_of_the_payment() {
    let of = |status: &str| answer(200, json!({ "id": "pi_1", "status": status, "metadata": {} }));
    let reference = "pi_1".to_owned();
    assert_eq!(of("succeeded"), Ok(Answer::Succeeded { reference: reference.clone() }));
    assert_eq!(of("processing"), Ok(Answer::Processing { reference }));
    for status in ["requires_payment_method", "requires_action", "requires_confirmation", "canceled"] {
        assert_eq!(of(status), declined(Some("pi_1"), status, "The payment was declined."));
    }
    assert!(matches!(of("something_new"), Err(ProviderError::Unknown { .. })));
    assert!(matches!(answer(200, json!({ "id": "pi_1" })), Err(ProviderError::Unknown { .. })));
}

#[test]
fn only_a_clear_answer_is_a_decline_or_a_refusal() {
    let error = |fields: Value| json!({ "error": fields });
    let card = error(json!({
        "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
        "payment_intent": { "id": "pi_1", "status": "requires_payment_method" },
    }));
    let words = "Your card has insufficient funds.";
    assert_eq!(answer(402, card), declined(Some("pi_1"), "insufficient_funds", words));
    let gone = json!({ "type": "invalid_request_error", "code": "resource_missing",
        "param": "payment_method", "message": "No such PaymentMethod" });
    assert_eq!(answer(404, error(gone)), declined(None, "resource_missing", "No such PaymentMethod"));
    let invalid =
        |code: &str| error(json!({ "type": "invalid_request_error", "code": code, "message": "no" }));
    for (status, json, is_refused) in [
        (400, invalid("amount_too_small"), true),
        (401, invalid("api_key_expired"), true),
        (404, invalid("resource_missing"), true),
        (400, error(json!({ "type": "idempotency_error", "message": "Keys differ" })), false),
        (409, invalid("idempotency_key_in_use"), false),
        (429, invalid("rate_limit"), false),
        (500, error(json!({ "type": "api_error" })), false),
        (502, Value::Null, false),
    ] {
        let result = answer(status, json.clone());
        match result {
            Err(ProviderError::Refused { .. }) => assert!(is_refused, "{status} {json}"),
            Err(ProviderError::Unknown { .. }) => assert!(!is_refused, "{status} {json}"),
            Ok(answer) => panic!("{status} {json}: {answer:?}"),
        }
    }
}

#[test]
fn an_intent_is_known_by_its_metadata_and_held_against_the_amount() {
    let read = |amount: i64, currency: &str, attempt: &str| -> Intent {
        let json = json!({ "id": "pi_1", "status": "succeeded", "amount": amount, "currency": currency,
            "metadata": { ATTEMPT: attempt } });
        serde_json::from_value(json).unwrap()
    };
    assert!(read(35_611, "usd", "pay_1").is_attempt(&charge()));
    assert!(!read(35_611, "usd", "pay_2").is_attempt(&charge()));
    assert!(read(35_611, "usd", "pay_1").is_of(&charge()));
    assert!(!read(35_610, "usd", "pay_1").is_of(&charge()));
    assert!(!read(35_611, "eur", "pay_1").is_of(&charge()));
}

#[test]
fn amounts_are_written_as_stripe_counts_them() {
    for (minor_units, currency, stripe) in [
        (35_611, "USD", Some(35_611)),
        (356, "JPY", Some(356)),
        (356, "ISK", Some(35_600)),
        (356, "UGX", Some(35_600)),
        (1_230, "KWD", Some(1_230)),
        (1_234, "KWD", None),
        (500, "MGA", Some(5)),
        (550, "MGA", None),
    ] {
        let amount = Amount::of_minor_units(minor_units, currency.parse().unwrap()).unwrap();
        assert_eq!(stripe_amount(amount).ok(), stripe, "{amount}");
    }
}

#[test]
fn the_key_is_shown_nowhere() {
    let stripe = Stripe::new("sk_live_secret", "https://api.stripe.com").unwrap();
    assert!(!format!("{stripe:?}").contains("secret"));
}
