//! Payment methods: names that the payment provider gave, never a card's number.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::clock::Time;
use crate::event::Plan;

use super::account::Account;
use super::caller::Caller;
use super::change::Change;
use super::database::{DatabaseResult, Many, Row, rows_of, values};
use super::error::{AccountError, AccountResult};
use super::validate::Checks;
use super::{Accounts, List, Page, identifier};

/// The digits of a card number: ISO/IEC 7812 has 8 to 19, the networks in use 12 to 19.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 12..=19;

static CHARGEABLE: LazyLock<Many<1>> = LazyLock::new(|| {
    Many::new(
        "SELECT organization, id, token FROM payment_methods
         WHERE organization IN ({rows}) AND is_default = 1",
    )
});

#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPaymentMethod {
    pub token: String,
    pub brand: String,
    pub last4: String,
    /// `11/2028`
    pub exp: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentMethod {
    pub id: String,
    pub brand: String,
    pub last4: String,
    pub exp: String,
    pub default: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// What billing charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeablePaymentMethod {
    pub id: String,
    pub token: String,
}

impl NewPaymentMethod {
    /// Reads a request. It is searched for card numbers before anything else looks at it, and no
    /// error quotes it.
    pub fn read(request: &Json) -> AccountResult<Self> {
        let token = request.get("token").and_then(Json::as_str);
        if contains_card_number(request) || token.is_some_and(is_all_digits) {
            return Err(AccountError::CardNumber);
        }
        let mut checks = Checks::default();
        let fields = request.as_object();
        checks.require(fields.is_some(), "", "send an object with token, brand, last4 and exp");
        let mut text = |name: &str| {
            let value = fields.and_then(|fields| fields.get(name)).and_then(Json::as_str);
            checks.require(value.is_some(), &format!("/{name}"), "a text is needed");
            value.unwrap_or_default().to_owned()
        };
        let method =
            Self { token: text("token"), brand: text("brand"), last4: text("last4"), exp: text("exp") };
        for name in fields.iter().flat_map(|fields| fields.keys()) {
            let known = ["token", "brand", "last4", "exp"].contains(&name.as_str());
            checks.require(known, &format!("/{name}"), "this field is unknown");
        }
        checks.finish()?;
        Ok(method)
    }

    /// Whether it can be taken at the instant.
    pub fn validate(&self, now_ms: i64) -> AccountResult<()> {
        let mut checks = Checks::default();
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let token = (1..=255).contains(&self.token.len()) && plain(&self.token);
        checks.require(token, "/token", "a token is what the payment provider gave, e.g. tok_ok");
        let brand = (1..=32).contains(&self.brand.len()) && plain(&self.brand.replace(' ', "_"));
        checks.require(brand, "/brand", "a brand has 1 to 32 letters, e.g. visa");
        let last4 = self.last4.len() == 4 && self.last4.bytes().all(|b| b.is_ascii_digit());
        checks.require(last4, "/last4", "these are the card number's last 4 digits");
        let expiry = expiry_ms(&self.exp);
        checks.require(expiry.is_some(), "/exp", "write month and year as 11/2028");
        checks.require(expiry.is_none_or(|end| now_ms < end), "/exp", "this card has expired");
        checks.finish()
    }
}

impl Accounts {
    /// The first method becomes the default. Answers 201.
    pub async fn add_payment_method(
        &self,
        caller: &Caller,
        organization: &str,
        method: &NewPaymentMethod,
    ) -> AccountResult<PaymentMethod> {
        caller.require_admin(organization)?;
        let mut change = self.begin(caller).await?;
        let account = change.account(organization).await?;
        let now_ms = change.now_ms();
        method.validate(now_ms)?;
        let answer = PaymentMethod {
            id: identifier("pm"),
            brand: method.brand.clone(),
            last4: method.last4.clone(),
            exp: method.exp.clone(),
            default: !account.has_payment_method,
            created_at: Time(now_ms),
        };
        let sql = "INSERT INTO payment_methods
                (id, organization, token, brand, last4, exp, is_default, created_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = values![
            answer.id.as_str(),
            organization,
            method.token.as_str(),
            answer.brand.as_str(),
            answer.last4.as_str(),
            answer.exp.as_str(),
            answer.default,
            now_ms
        ];
        change.execute(sql, values).await?;
        change.touch(organization).await?;
        change.record("payment-method.added", Some(organization), None, Some(json!(answer))).await?;
        change.commit(201, &answer).await?;
        Ok(answer)
    }

    pub async fn payment_methods(
        &self,
        organization: &str,
        page: &Page,
    ) -> AccountResult<List<PaymentMethod>> {
        self.account(organization).await?;
        let sql = "SELECT id, brand, last4, exp, is_default, created_ms FROM payment_methods
                   WHERE organization = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows = self.database.fetch_all(sql, values![organization, page.after(), page.fetch()]).await?;
        let methods = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
        Ok(page.list(methods, |method| method.id.clone()))
    }

    /// Answers 200.
    pub async fn set_default_payment_method(
        &self,
        caller: &Caller,
        organization: &str,
        id: &str,
    ) -> AccountResult<PaymentMethod> {
        caller.require_admin(organization)?;
        let mut change = self.begin(caller).await?;
        change.account(organization).await?;
        let method = change.payment_method(organization, id).await?;
        if method.default {
            change.commit(200, &method).await?;
            return Ok(method);
        }
        change.make_default(organization, id).await?;
        let answer = PaymentMethod { default: true, ..method };
        change.touch(organization).await?;
        change.record("payment-method.default", Some(organization), None, Some(json!(answer))).await?;
        change.commit(200, &answer).await?;
        Ok(answer)
    }

    /// The default goes only where the plan is Free; then the oldest of the others takes its place.
    /// Answers 204.
    pub async fn delete_payment_method(
        &self,
        caller: &Caller,
        organization: &str,
        id: &str,
    ) -> AccountResult<()> {
        caller.require_admin(organization)?;
        let mut change = self.begin(caller).await?;
        let account = change.account(organization).await?;
        let method = change.payment_method(organization, id).await?;
        if method.default && !may_go(&account, change.now_ms()) {
            return Err(AccountError::DefaultPaymentMethod { id: id.to_owned() });
        }
        change.execute("DELETE FROM payment_methods WHERE id = $1", values![id]).await?;
        if method.default {
            let oldest = "SELECT id FROM payment_methods WHERE organization = $1 ORDER BY id LIMIT 1";
            if let Some(row) = change.fetch_optional(oldest, values![organization]).await? {
                change.make_default(organization, row.text(0)?).await?;
            }
        }
        change.touch(organization).await?;
        change.record("payment-method.deleted", Some(organization), Some(json!(method)), None).await?;
        change.commit(204, &()).await
    }
}

impl Change<'_> {
    /// What to charge, by organization; who has set none up is missing. One that can't be read is of its
    /// organization alone.
    pub async fn chargeable_payment_methods(
        &mut self,
        organizations: &[&str],
    ) -> DatabaseResult<HashMap<String, DatabaseResult<ChargeablePaymentMethod>>> {
        let rows = self.fetch_many(&CHARGEABLE, rows_of(organizations)).await?;
        let method = |row: &Row| {
            Ok(ChargeablePaymentMethod { id: row.text(1)?.to_owned(), token: row.text(2)?.to_owned() })
        };
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), method(row)))).collect()
    }

    async fn payment_method(&mut self, organization: &str, id: &str) -> AccountResult<PaymentMethod> {
        let sql = "SELECT id, brand, last4, exp, is_default, created_ms FROM payment_methods
                   WHERE organization = $1 AND id = $2";
        match self.fetch_optional(sql, values![organization, id]).await? {
            Some(row) => Ok(read(&row)?),
            None => Err(AccountError::NotFound { what: "payment method", id: id.to_owned() }),
        }
    }

    async fn make_default(&mut self, organization: &str, id: &str) -> DatabaseResult<()> {
        let sql = "UPDATE payment_methods SET is_default = CASE WHEN id = $2 THEN 1 ELSE 0 END
                   WHERE organization = $1";
        self.execute(sql, values![organization, id]).await?;
        Ok(())
    }
}

/// Free for good: nothing is charged and nothing is chosen to be.
fn may_go(account: &Account, now_ms: i64) -> bool {
    account.plan(now_ms) == Plan::Free
}

fn read(row: &Row) -> DatabaseResult<PaymentMethod> {
    Ok(PaymentMethod {
        id: row.text(0)?.to_owned(),
        brand: row.text(1)?.to_owned(),
        last4: row.text(2)?.to_owned(),
        exp: row.text(3)?.to_owned(),
        default: row.flag(4)?,
        created_at: Time(row.integer(5)?),
    })
}

/// Epoch milliseconds of the first instant after the card's last month.
fn expiry_ms(exp: &str) -> Option<i64> {
    let (month, year) = exp.split_once('/')?;
    let digits = |text: &str, length: usize| {
        let plain = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<i16>().ok()).flatten()
    };
    let (month, year) = (digits(month, 2)?, digits(year, 4)?);
    let first = Date::new(year, i8::try_from(month).ok()?, 1).ok()?;
    Some(crate::month::Month::new(first.year(), first.month())?.end_ms())
}

/// Whether any text, number or key of the JSON holds a card number, however it is grouped.
pub fn contains_card_number(json: &Json) -> bool {
    match json {
        Json::String(text) => text_contains_card_number(text),
        Json::Number(number) => text_contains_card_number(&number.to_string()),
        Json::Array(items) => items.iter().any(contains_card_number),
        Json::Object(fields) => {
            fields.iter().any(|(name, value)| text_contains_card_number(name) || contains_card_number(value))
        }
        Json::Null | Json::Bool(_) => false,
    }
}

/// No provider's token is a number; a mistyped card number has no check digit to be known by.
fn is_all_digits(token: &str) -> bool {
    token.chars().filter(char::is_ascii_digit).count() >= 8
        && token.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.'))
}

/// Runs of digits, with single spaces, dots or dashes between them, of a card number's length and
/// with its check digit; anywhere in a longer run too.
fn text_contains_card_number(text: &str) -> bool {
    let mut run: Vec<u8> = Vec::new();
    let mut separated = false;
    for byte in text.bytes().chain([b'\n']) {
        match byte {
            b'0'..=b'9' => {
                run.push(byte - b'0');
                separated = false;
            }
            b' ' | b'-' | b'.' if !run.is_empty() && !separated => separated = true,
            _ => {
                if run_contains_card_number(&run) {
                    return true;
                }
                run.clear();
                separated = false;
            }
        }
    }
    false
}

fn run_contains_card_number(run: &[u8]) -> bool {
    CARD_DIGITS.into_iter().any(|length| run.windows(length).any(has_check_digit))
}

/// The Luhn sum, and not all zeros.
fn has_check_digit(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| u32::from(if place % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|&digit| digit != 0)
}
