//! Stripe, by its HTTP API: a payment intent for each attempt, confirmed at once, without the
//! customer being there.

mod api;
mod intent;

use futures::FutureExt;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

use self::api::{Api, Reply};
use super::provider::{Answer, Charge, Kept, Method, Provider, ProviderError};
use super::{Amount, SettingsError};

pub use intent::{ATTEMPT, Intent};

#[cfg(test)]
mod tests;

/// How long before an attempt by our clock its intent may have been made by Stripe's, in
/// milliseconds.
const CLOCKS_APART_MS: i64 = 600_000;
/// Intents in a page of a list, as many as Stripe gives.
const PAGE: &str = "100";
/// Pages that are looked through for one attempt; a customer has few intents.
const MOST_PAGES: usize = 50;
/// Currencies that Stripe wants with two digits, though they have none.
const WITH_TWO_DIGITS: [&str; 2] = ["ISK", "UGX"];
/// Currencies whose last of three digits Stripe wants to be 0.
const IN_TENS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

type Fields = Vec<(&'static str, String)>;

#[derive(Clone, Debug)]
pub struct Stripe {
    api: Api,
}

impl Stripe {
    pub fn new(secret_key: &str, base_url: &str) -> Result<Self, SettingsError> {
        Ok(Self { api: Api::new(secret_key, base_url)? })
    }

    async fn charge_once(&self, charge: &Charge) -> Result<Answer, ProviderError> {
        if charge.token.starts_with("tok_") {
            return Ok(Answer::Declined {
                reference: None,
                code: "payment_method_unusable".to_owned(),
                message: "This payment method can be charged no more: set it up again.".to_owned(),
            });
        }
        let amount = stripe_amount(charge.amount)?;
        let mut fields: Fields = vec![
            ("amount", amount.to_string()),
            ("currency", charge.amount.currency().as_str().to_ascii_lowercase()),
            ("payment_method", charge.token.clone()),
            ("confirm", "true".to_owned()),
            ("off_session", "true".to_owned()),
            ("automatic_payment_methods[enabled]", "true".to_owned()),
            ("automatic_payment_methods[allow_redirects]", "never".to_owned()),
            ("description", charge.description.clone()),
            (intent::ATTEMPT_FIELD, charge.idempotency_key.clone()),
            ("metadata[odometer_invoice]", charge.invoice.clone()),
            ("metadata[odometer_organization]", charge.organization.clone()),
        ];
        if let Some(customer) = self.customer_of(&charge.token).await? {
            fields.push(("customer", customer));
        }
        let key = &charge.idempotency_key;
        let answer = intent::answer(&self.api.post("/v1/payment_intents", &fields, key).await?)?;
        if let Answer::Declined { reference: Some(reference), .. } = &answer {
            self.cancel(reference, key).await;
        }
        Ok(answer)
    }

    /// A declined intent could still be confirmed by hand, beside the attempt that follows it.
    async fn cancel(&self, reference: &str, key: &str) {
        let path = format!("/v1/payment_intents/{reference}/cancel");
        if let Err(error) = self.api.post(&path, &Fields::new(), &format!("{key}-cancel")).await {
            tracing::debug!(reference, "cancel a declined payment intent: {error}");
        }
    }

    /// `None`: it belongs to nobody, or is not there any more; charging it tells.
    async fn customer_of(&self, payment_method: &str) -> Result<Option<String>, ProviderError> {
        let reply = self.api.get(&format!("/v1/payment_methods/{payment_method}"), &[]).await?;
        match reply.status {
            200..300 => Ok(reply.text("customer").map(str::to_owned)),
            404 => Ok(None),
            _ => Err(reply.error()),
        }
    }

    /// Lists, unlike searches, have what was made a moment ago.
    async fn find(&self, charge: &Charge) -> Result<Option<Answer>, ProviderError> {
        if let Some(reference) = &charge.reference {
            let reply = self.api.get(&format!("/v1/payment_intents/{reference}"), &[]).await?;
            return intent::answer(&reply).map(Some);
        }
        let customer = self.customer_of(&charge.token).await?;
        // Around the time when it was first asked for, where few payments are in between; only then
        // since: it may have been asked for again.
        let first = (charge.asked_ms - CLOCKS_APART_MS).div_euclid(1000);
        let end = (charge.asked_ms + CLOCKS_APART_MS).div_euclid(1000);
        match self.find_within(charge, customer.as_deref(), first, Some(end)).await? {
            Some(found) => Ok(Some(found)),
            None => self.find_within(charge, customer.as_deref(), end + 1, None).await,
        }
    }

    /// Among the customer's payments that were made from one second to another, both included.
    async fn find_within(
        &self,
        charge: &Charge,
        customer: Option<&str>,
        from_s: i64,
        to_s: Option<i64>,
    ) -> Result<Option<Answer>, ProviderError> {
        let mut fields: Fields = vec![("limit", PAGE.to_owned()), ("created[gte]", from_s.to_string())];
        fields.extend(to_s.map(|to_s| ("created[lte]", to_s.to_string())));
        fields.extend(customer.map(|customer| ("customer", customer.to_owned())));
        for _ in 0..MOST_PAGES {
            let page = intent::page(&self.api.get("/v1/payment_intents", &fields).await?)?;
            if let Some(found) = page.data.iter().find(|intent| intent.is_attempt(charge)) {
                return found.answer().map(Some);
            }
            let (true, Some(last)) = (page.has_more, page.data.last()) else { return Ok(None) };
            fields.retain(|(name, _)| *name != "starting_after");
            fields.push(("starting_after", last.id.clone()));
        }
        let key = &charge.idempotency_key;
        Err(ProviderError::Unknown {
            cause: format!("payment {key} is not among the latest of its customer"),
        })
    }

    /// Whether we made the customer for this organization: whoever knows a method's id could have
    /// somebody else's card charged.
    async fn is_customer_of(&self, customer: &str, organization: &str) -> Result<bool, ProviderError> {
        let reply = self.api.get(&format!("/v1/customers/{customer}"), &[]).await?;
        match reply.status {
            200..300 => Ok(reply.json["metadata"]["odometer_organization"] == *organization),
            404 => Ok(false),
            _ => Err(reply.error()),
        }
    }

    /// Attaches a method to a customer of its own: only then may it be charged more than once.
    async fn attach(&self, method: &Method) -> Result<Kept, ProviderError> {
        let key = keep_key(method);
        let payment_method = match method.token.strip_prefix("tok_") {
            None => method.token.clone(),
            Some(_) => {
                let fields = vec![("type", "card".to_owned()), ("card[token]", method.token.clone())];
                let reply = self.api.post("/v1/payment_methods", &fields, &format!("{key}-method")).await?;
                match made(&reply)? {
                    Ok(id) => id,
                    Err(message) => return Ok(Kept::Declined { message }),
                }
            }
        };
        let reply = self.api.get(&format!("/v1/payment_methods/{payment_method}"), &[]).await?;
        if let Err(message) = made(&reply)? {
            return Ok(Kept::Declined { message });
        }
        if let Some(customer) = reply.text("customer") {
            if !self.is_customer_of(customer, &method.organization).await? {
                let message = "The payment method belongs to somebody else.".to_owned();
                return Ok(Kept::Declined { message });
            }
        } else {
            let fields = vec![
                ("payment_method", payment_method.clone()),
                ("name", method.name.clone()),
                ("email", method.email.clone()),
                ("metadata[odometer_organization]", method.organization.clone()),
            ];
            let reply = self.api.post("/v1/customers", &fields, &format!("{key}-customer")).await?;
            if let Err(message) = made(&reply)? {
                return Ok(Kept::Declined { message });
            }
        }
        Ok(Kept::As { token: payment_method })
    }
}

impl Provider for Stripe {
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>> {
        self.attach(method).boxed()
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        self.charge_once(charge).boxed()
    }

    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>> {
        self.find(charge).boxed()
    }
}

/// The same organization and token: the same key.
fn keep_key(method: &Method) -> String {
    let digest = Sha256::new()
        .chain_update(method.organization.as_bytes())
        .chain_update(b"\n")
        .chain_update(method.token.as_bytes())
        .finalize();
    format!("keep_{}", digest[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The id of what was made or read; the inner error is why the customer's method is not taken.
fn made(reply: &Reply) -> Result<Result<String, String>, ProviderError> {
    if let Some(id) = reply.text("id").filter(|_| reply.is_success()) {
        return Ok(Ok(id.to_owned()));
    }
    match reply.status {
        400 | 402 | 404 => Ok(Err(reply.message())),
        _ => Err(reply.error()),
    }
}

/// <https://docs.stripe.com/currencies>, "special cases".
pub(super) fn stripe_amount(amount: Amount) -> Result<i64, ProviderError> {
    let (currency, minor_units) = (amount.currency(), amount.minor_units());
    let refused = || ProviderError::Refused { cause: format!("Stripe can't charge exactly {amount}") };
    match currency.as_str() {
        code if WITH_TWO_DIGITS.contains(&code) => minor_units.checked_mul(100).ok_or_else(refused),
        code if IN_TENS.contains(&code) && minor_units % 10 != 0 => Err(refused()),
        // Of the ariary Stripe knows no parts.
        "MGA" if minor_units % 100 == 0 => Ok(minor_units / 100),
        "MGA" => Err(refused()),
        _ => Ok(minor_units),
    }
}
