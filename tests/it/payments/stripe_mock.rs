//! What is asked of Stripe, held against Stripe's own description of its API by stripe-mock. It keeps
//! nothing, and answers every charge with the same example.

use odometer::accounts::Caller;
use odometer::billing::payment::{
    Amount, Answer, Charge, Collected, Kept, Method, Occasion, Provider, ProviderError, Stripe,
};

use super::books::Books;
use crate::servers;

fn stripe() -> Stripe {
    Stripe::new("sk_test_123", &servers::stripe_mock_url()).expect("a client")
}

fn charge(token: &str) -> Charge {
    Charge {
        idempotency_key: "pay_mock".to_owned(),
        amount: Amount::of_minor_units(35_611, "USD".parse().unwrap()).unwrap(),
        token: token.to_owned(),
        organization: "acme".to_owned(),
        invoice: "2026-000042".to_owned(),
        description: "Invoice 2026-000042 of acme".to_owned(),
        asked_ms: 1_796_083_200_000,
        reference: None,
    }
}

/// A field that Stripe does not know, or of another type, would be refused with status 400.
#[tokio::test]
async fn every_request_is_as_stripe_describes_it() {
    let stripe = stripe();
    let answer = stripe.charge(&charge("pm_card_visa")).await.expect("an answer");
    let (Answer::Succeeded { reference } | Answer::Declined { reference: Some(reference), .. }) = answer
    else {
        panic!("{answer:?}");
    };
    assert!(reference.starts_with("pi_"), "{reference}");
    assert_eq!(stripe.look_up(&charge("pm_card_visa")).await, Ok(None), "it keeps no metadata");
    let known = Charge { reference: Some(reference), ..charge("pm_card_visa") };
    assert!(matches!(stripe.look_up(&known).await, Ok(Some(_))));
    for token in ["tok_visa", "pm_card_visa"] {
        let method = Method {
            token: token.to_owned(),
            organization: "acme".to_owned(),
            name: "Acme Ltd".to_owned(),
            email: "billing@acme.example".to_owned(),
        };
        let Ok(Kept::As { token }) = stripe.keep(&method).await else { panic!("{token} is not kept") };
        assert!(token.starts_with("pm_"), "{token}");
    }
}

/// The mock's example intent is one that was not confirmed: to us that is a decline.
#[tokio::test]
async fn an_invoice_goes_to_stripe_and_back() {
    let stripe = stripe();
    let books = Books::on_sqlite().await;
    books.sign_up("acme").await;
    books.set_up("acme", "pm_card_visa").await;
    books.issue("acme", "2026-000001", "356.11").await;
    let payments = books.through(stripe);
    let collected = payments.collect(&Caller::operator(), "2026-000001", Occasion::Asked).await.unwrap();
    assert!(matches!(collected, Collected::Declined { .. } | Collected::Paid), "{collected:?}");
}

#[tokio::test]
async fn a_key_that_stripe_does_not_know_is_the_operator_s_to_mend() {
    let stripe = Stripe::new("not-a-key", &servers::stripe_mock_url()).unwrap();
    let refused = stripe.charge(&charge("pm_card_visa")).await.unwrap_err();
    assert!(matches!(refused, ProviderError::Refused { .. }), "{refused}");
    assert!(!refused.to_string().contains("not-a-key"));
}
