//! A payment intent, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::provider::{Answer, Charge, ProviderError};
use super::api::Reply;
use super::stripe_amount;

/// The metadata that names an attempt of ours.
pub const ATTEMPT: &str = "odometer_attempt";
pub const ATTEMPT_FIELD: &str = "metadata[odometer_attempt]";

#[derive(Clone, Debug, Deserialize)]
pub struct Intent {
    pub id: String,
    status: String,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    last_payment_error: Option<Failure>,
}

#[derive(Clone, Debug, Deserialize)]
struct Failure {
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Page {
    pub data: Vec<Intent>,
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: Error,
}

#[derive(Debug, Deserialize)]
struct Error {
    #[serde(flatten)]
    failure: Failure,
    param: Option<String>,
    payment_intent: Option<Intent>,
}

impl Intent {
    /// Whether it was made for the charge.
    pub fn is_attempt(&self, charge: &Charge) -> bool {
        self.metadata.get(ATTEMPT).is_some_and(|attempt| *attempt == charge.idempotency_key)
    }

    /// Whether it is about as much as the charge.
    pub fn is_of(&self, charge: &Charge) -> bool {
        let currency = charge.amount.currency();
        stripe_amount(charge.amount) == Ok(self.amount)
            && self.currency.eq_ignore_ascii_case(currency.as_str())
    }

    /// Code and message of what went wrong.
    pub fn failure(&self) -> (String, String) {
        let unknown = Failure { code: None, decline_code: None, message: None };
        self.last_payment_error.as_ref().unwrap_or(&unknown).told(&self.status)
    }

    pub fn answer(&self) -> Result<Answer, ProviderError> {
        let reference = self.id.clone();
        Ok(match self.status.as_str() {
            "succeeded" => Answer::Succeeded { reference },
            "processing" => Answer::Processing { reference },
            // It waits for somebody who is not there.
            "requires_payment_method" | "requires_action" | "requires_confirmation" | "canceled" => {
                let (code, message) = self.failure();
                Answer::Declined { reference: Some(reference), code, message }
            }
            status => {
                let cause = format!("payment intent {reference} is {status}, which is not expected");
                return Err(ProviderError::Unknown { cause });
            }
        })
    }
}

impl Failure {
    fn told(&self, status: &str) -> (String, String) {
        let code = self.decline_code.as_deref().or(self.code.as_deref()).unwrap_or(status);
        let message = self.message.as_deref().unwrap_or("The payment was declined.");
        (code.to_owned(), message.to_owned())
    }
}

/// What an answer about one intent says of it.
pub fn answer(reply: &Reply) -> Result<Answer, ProviderError> {
    if reply.is_success() {
        let intent = Intent::deserialize(&reply.json).map_err(|_| unreadable("payment intent"))?;
        return intent.answer();
    }
    let Ok(Refusal { error }) = Refusal::deserialize(&reply.json) else { return Err(reply.error()) };
    // The customer's method is gone: as good as declined.
    let is_gone = matches!(reply.status, 400 | 404)
        && error.param.as_deref().is_some_and(|param| matches!(param, "payment_method" | "customer"));
    if reply.status != 402 && !is_gone {
        return Err(reply.error());
    }
    let (code, message) = error.failure.told("card_declined");
    Ok(Answer::Declined { reference: error.payment_intent.map(|intent| intent.id), code, message })
}

pub fn page(reply: &Reply) -> Result<Page, ProviderError> {
    if !reply.is_success() {
        return Err(reply.error());
    }
    Page::deserialize(&reply.json).map_err(|_| unreadable("list of payment intents"))
}

fn unreadable(what: &str) -> ProviderError {
    ProviderError::Unknown { cause: format!("the {what} can't be read") }
}
