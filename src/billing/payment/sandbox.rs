//! The built-in provider: no money moves. What it was asked is kept in the accounts database, so
//! that a repeated key gives the same outcome and a lost answer can be looked up.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::provider::{Answer, Charge, Kept, Method, Provider, ProviderError};
use crate::accounts::Accounts;
use crate::accounts::database::{DatabaseError, DatabaseResult, values};

const GOOD_TOKEN: &str = "tok_ok";
const DECLINED_TOKEN: &str = "tok_declined";

#[derive(Clone, Debug)]
pub struct Sandbox {
    accounts: Arc<Accounts>,
}

impl Sandbox {
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self { accounts }
    }

    async fn charge_once(&self, charge: &Charge) -> Result<Answer, ProviderError> {
        let code = match charge.token.as_str() {
            GOOD_TOKEN => None,
            DECLINED_TOKEN => Some("card_declined".to_owned()),
            _ => Some("unknown_token".to_owned()),
        };
        let sql =
            "INSERT INTO sandbox_charges (idempotency_key, request, reference, decline_code, created_ms)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (idempotency_key) DO NOTHING";
        let key = charge.idempotency_key.as_str();
        let reference = format!("sandbox_{key}");
        let now_ms = self.accounts.clock().now_ms();
        let values = values![key, request(charge), reference, code, now_ms];
        self.accounts.database().execute(sql, values).await.map_err(unknown)?;
        let (requested, answer) =
            self.stored(key).await.map_err(unknown)?.ok_or_else(|| ProviderError::Unknown {
                cause: format!("charge {key} is not in the sandbox"),
            })?;
        if requested != request(charge) {
            let cause = format!("key {key} was used for another charge");
            return Err(ProviderError::Refused { cause });
        }
        Ok(answer)
    }

    /// What was asked under the key, and what came of it.
    async fn stored(&self, key: &str) -> DatabaseResult<Option<(String, Answer)>> {
        let sql = "SELECT request, reference, decline_code FROM sandbox_charges WHERE idempotency_key = $1";
        let Some(row) = self.accounts.database().fetch_optional(sql, values![key]).await? else {
            return Ok(None);
        };
        let reference = row.text(1)?.to_owned();
        let answer = match row.optional_text(2)? {
            None => Answer::Succeeded { reference },
            Some(code) => Answer::Declined {
                reference: Some(reference),
                code: code.to_owned(),
                message: "The sandbox declines every payment method but tok_ok.".to_owned(),
            },
        };
        Ok(Some((row.text(0)?.to_owned(), answer)))
    }
}

impl Provider for Sandbox {
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>> {
        futures::future::ready(Ok(Kept::As { token: method.token.clone() })).boxed()
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        self.charge_once(charge).boxed()
    }

    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>> {
        async move {
            let stored = self.stored(&charge.idempotency_key).await.map_err(unknown)?;
            Ok(stored.map(|(_, answer)| answer))
        }
        .boxed()
    }
}

fn request(charge: &Charge) -> String {
    format!("{} for {} from {}", charge.amount, charge.invoice, charge.token)
}

fn unknown(error: DatabaseError) -> ProviderError {
    ProviderError::Unknown { cause: error.to_string() }
}
