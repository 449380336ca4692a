//! The built-in provider: no money moves. What it was asked is kept in the accounts database, so
//! that a repeated key gives the same outcome and a lost answer can be looked up.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::provider::{Answer, Charge, Kept, Method, Provider, ProviderError};
use crate::accounts::Accounts;
use crate::accounts::database::{DatabaseError, DatabaseResult, Many, Row, Value, values};

const GOOD_TOKEN: &str = "tok_ok";
const DECLINED_TOKEN: &str = "tok_declined";

static CHARGE: LazyLock<Many<5>> = LazyLock::new(|| {
    Many::new(
        "INSERT INTO sandbox_charges (idempotency_key, request, reference, decline_code, created_ms)
         VALUES {rows} ON CONFLICT (idempotency_key) DO NOTHING",
    )
});
static STORED: LazyLock<Many<1>> = LazyLock::new(|| {
    Many::new(
        "SELECT idempotency_key, request, reference, decline_code FROM sandbox_charges
         WHERE idempotency_key IN ({rows})",
    )
});

#[derive(Clone, Debug)]
pub struct Sandbox {
    accounts: Arc<Accounts>,
}

impl Sandbox {
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self { accounts }
    }

    /// All of them in one transaction, which is what a provider's own books are here.
    async fn charge_together(
        &self,
        charges: &[&Charge],
    ) -> DatabaseResult<Vec<Result<Answer, ProviderError>>> {
        let now_ms = self.accounts.clock().now_ms();
        let rows = charges.iter().map(|charge| {
            let code = match charge.token.as_str() {
                GOOD_TOKEN => None,
                DECLINED_TOKEN => Some("card_declined".to_owned()),
                _ => Some("unknown_token".to_owned()),
            };
            let key = charge.idempotency_key.as_str();
            values![key, request(charge), format!("sandbox_{key}"), code, now_ms].clone()
        });
        let mut open = self.accounts.database().begin().await?;
        CHARGE.execute(&mut open, rows.collect()).await?;
        let stored = STORED.fetch(&mut open, charges.iter().map(|charge| key_of(charge)).collect()).await?;
        open.commit().await?;
        let mut answers = HashMap::new();
        for row in &stored {
            answers.insert(row.text(0)?, read(row));
        }
        let answer_to = |charge: &&Charge| {
            let key = charge.idempotency_key.as_str();
            let missing = || ProviderError::Unknown { cause: format!("charge {key} is not in the sandbox") };
            let (requested, answer) = answers.get(key).ok_or_else(missing)?.as_ref().map_err(unknown)?;
            if *requested != request(charge) {
                let cause = format!("key {key} was used for another charge");
                return Err(ProviderError::Refused { cause });
            }
            Ok(answer.clone())
        };
        Ok(charges.iter().map(answer_to).collect())
    }

    async fn stored(&self, charge: &Charge) -> DatabaseResult<Option<Answer>> {
        let sql = "SELECT idempotency_key, request, reference, decline_code FROM sandbox_charges
                   WHERE idempotency_key = $1";
        let stored = self.accounts.database().fetch_optional(sql, &key_of(charge)).await?;
        Ok(stored.as_ref().map(read).transpose()?.map(|(_, answer)| answer))
    }
}

fn key_of(charge: &Charge) -> [Value; 1] {
    [charge.idempotency_key.as_str().into()]
}

/// What was asked, and what came of it.
fn read(row: &Row) -> DatabaseResult<(String, Answer)> {
    let reference = row.text(2)?.to_owned();
    let answer = match row.optional_text(3)? {
        None => Answer::Succeeded { reference },
        Some(code) => Answer::Declined {
            reference: Some(reference),
            code: code.to_owned(),
            message: "The sandbox declines every payment method but tok_ok.".to_owned(),
        },
    };
    Ok((row.text(1)?.to_owned(), answer))
}

impl Provider for Sandbox {
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>> {
        futures::future::ready(Ok(Kept::As { token: method.token.clone() })).boxed()
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        async move {
            let answers = self.charge_together(&[charge]).await.map_err(|error| unknown(&error))?;
            let missing = || ProviderError::Unknown { cause: "the sandbox is silent".to_owned() };
            answers.into_iter().next().ok_or_else(missing)?
        }
        .boxed()
    }

    /// It answers at once; a group's change keeps others from changing accounts meanwhile.
    fn together(&self) -> u32 {
        256
    }

    fn charge_all<'a>(
        &'a self,
        charges: &'a [&'a Charge],
    ) -> BoxFuture<'a, Vec<Result<Answer, ProviderError>>> {
        async move {
            let failed = |error| charges.iter().map(|_| Err(unknown(&error))).collect();
            self.charge_together(charges).await.unwrap_or_else(failed)
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>> {
        async move { self.stored(charge).await.map_err(|error| unknown(&error)) }.boxed()
    }
}

fn request(charge: &Charge) -> String {
    format!("{} for {} from {}", charge.amount, charge.invoice, charge.token)
}

fn unknown(error: &DatabaseError) -> ProviderError {
    ProviderError::Unknown { cause: error.to_string() }
}
