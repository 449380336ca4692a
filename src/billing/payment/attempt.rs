//! Attempts to have an invoice paid, as they stand in the database.
//!
//! begun → succeeded | declined | refused, or first unknown: the answer was lost or is still to come.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::accounts::database::{DatabaseError, DatabaseResult, Many, Row, Value, rows_of, values};
use crate::accounts::payment_method::ChargeablePaymentMethod;
use crate::accounts::{Change, identifier};
use crate::clock::Clock;

use super::Amount;
use super::invoice::Payable;
use super::provider::Charge;

/// How long an attempt belongs to whoever began it, in milliseconds: longer than a provider is
/// asked for at most.
const CLAIMED_MS: i64 = 120_000;
/// The pauses before the provider is asked again, after the first, second, … time, in milliseconds;
/// the last one repeats.
const LOOK_PAUSES_MS: [i64; 5] = [30_000, 60_000, 300_000, 900_000, 3_600_000];
/// What the provider refused is asked for again after so long, in milliseconds: somebody must change
/// something first.
const REFUSED_PAUSE_MS: i64 = 3_600_000;

static INSERT: LazyLock<Many<12>> = LazyLock::new(|| {
    Many::new(
        "INSERT INTO payment_attempts (id, invoice, organization, method, token, amount, currency,
             description, state, begun_ms, looks, look_again_ms)
         VALUES {rows}",
    )
});
static UNDER_WAY: LazyLock<Many<1>> = LazyLock::new(|| {
    Many::new(
        "SELECT id, amount, currency, token, organization, invoice, description, begun_ms, reference,
             looks, CASE WHEN state = 'begun' THEN look_again_ms ELSE 0 END
         FROM payment_attempts WHERE invoice IN ({rows}) AND state IN ('begun', 'unknown')",
    )
});
static SUCCEED: LazyLock<Many<3>> = LazyLock::new(|| {
    Many::new(
        "WITH succeeded (id, decided_ms, reference) AS (VALUES {rows})
         UPDATE payment_attempts SET state = 'succeeded', decided_ms = succeeded.decided_ms,
             reference = succeeded.reference, code = NULL, detail = NULL, look_again_ms = NULL
         FROM succeeded
         WHERE payment_attempts.id = succeeded.id AND payment_attempts.state <> 'succeeded'
         RETURNING payment_attempts.id",
    )
});

/// An attempt that was begun and that nobody knows the outcome of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    pub charge: Charge,
    looks: i64,
    /// Epoch milliseconds until when somebody else is asking for it; what they hear decides.
    claimed_until_ms: i64,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded { reference: String },
    Declined { reference: Option<String>, code: String, message: String },
    Refused { cause: String },
}

/// An attempt whose outcome is known, and was written down by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub charge: Charge,
    pub verdict: Verdict,
}

impl Undecided {
    /// A new attempt, which [`write_new`] writes down; the invoice must have none under way.
    pub fn new(invoice: &Payable, amount: Amount, method: &ChargeablePaymentMethod) -> Self {
        let asked_ms = Clock::System.now_ms();
        let charge = Charge {
            idempotency_key: identifier("pay"),
            amount,
            token: method.token.clone(),
            organization: invoice.organization.clone(),
            invoice: invoice.number.clone(),
            description: format!("Invoice {} of {}", invoice.number, invoice.organization),
            asked_ms,
            reference: None,
        };
        Self { charge, looks: 0, claimed_until_ms: asked_ms + CLAIMED_MS }
    }

    fn new_row(&self, method: &str) -> [Value; 12] {
        let charge = &self.charge;
        let row: &[Value; 12] = values![
            charge.idempotency_key.as_str(),
            charge.invoice.as_str(),
            charge.organization.as_str(),
            method,
            charge.token.as_str(),
            charge.amount.minor_units(),
            charge.amount.currency().as_str(),
            charge.description.as_str(),
            "begun",
            charge.asked_ms,
            self.looks,
            self.claimed_until_ms
        ];
        row.clone()
    }

    /// The attempt of this id, where it is under way.
    pub async fn of_id(change: &mut Change<'_>, id: &str) -> DatabaseResult<Option<Self>> {
        let sql =
            "SELECT id, amount, currency, token, organization, invoice, description, begun_ms, reference,
                       looks, CASE WHEN state = 'begun' THEN look_again_ms ELSE 0 END
                   FROM payment_attempts WHERE id = $1 AND state IN ('begun', 'unknown')";
        change.fetch_optional(sql, values![id]).await?.map(|row| Self::read(&row)).transpose()
    }

    /// The attempts that are under way for the invoices, by the invoice's number.
    pub async fn of_invoices(
        change: &mut Change<'_>,
        invoices: &[&str],
    ) -> DatabaseResult<HashMap<String, Self>> {
        let rows = change.fetch_many(&UNDER_WAY, rows_of(invoices)).await?;
        let read = |row| Self::read(row).map(|attempt| (attempt.charge.invoice.clone(), attempt));
        rows.iter().map(read).collect()
    }

    fn read(row: &Row) -> DatabaseResult<Self> {
        let claimed_until_ms = row.optional_integer(10)?.unwrap_or(0);
        Ok(Self { charge: read_charge(row)?, looks: row.integer(9)?, claimed_until_ms })
    }

    /// Whether its charge may be on its way just now: to ask about it could find it half done.
    pub fn is_claimed(&self) -> bool {
        Clock::System.now_ms() < self.claimed_until_ms
    }

    /// Writes the outcome down; `None` where somebody else did meanwhile.
    pub async fn decide(self, change: &mut Change<'_>, verdict: Verdict) -> DatabaseResult<Option<Decided>> {
        let sql =
            "UPDATE payment_attempts SET state = $2, decided_ms = $3, reference = COALESCE($4, reference),
                       code = $5, detail = $6, look_again_ms = $7
                   WHERE id = $1 AND state IN ('begun', 'unknown')";
        let now_ms = Clock::System.now_ms();
        let look_again_ms = match &verdict {
            Verdict::Refused { .. } => Some(now_ms + REFUSED_PAUSE_MS),
            Verdict::Succeeded { .. } | Verdict::Declined { .. } => None,
        };
        let values = values![
            self.charge.idempotency_key.as_str(),
            verdict.state(),
            now_ms,
            verdict.reference().map(str::to_owned),
            verdict.code().map(str::to_owned),
            verdict.detail().map(str::to_owned),
            look_again_ms
        ];
        let is_first = change.execute(sql, values).await? == 1;
        Ok(is_first.then_some(Decided { charge: self.charge, verdict }))
    }

    /// The outcome stays unknown: it is asked for again later.
    pub async fn doubt(
        &self,
        change: &mut Change<'_>,
        reference: Option<&str>,
        cause: &str,
    ) -> DatabaseResult<()> {
        let pauses = LOOK_PAUSES_MS.len() - 1;
        let pause_ms = LOOK_PAUSES_MS[usize::try_from(self.looks).unwrap_or(pauses).min(pauses)];
        let sql = "UPDATE payment_attempts SET state = 'unknown', looks = looks + 1, look_again_ms = $2,
                       reference = COALESCE($3, reference), detail = $4
                   WHERE id = $1 AND state IN ('begun', 'unknown')";
        let look_again_ms = Clock::System.now_ms() + pause_ms;
        let reference = reference.map(str::to_owned);
        let key = self.charge.idempotency_key.as_str();
        change.execute(sql, values![key, look_again_ms, reference, cause]).await?;
        Ok(())
    }
}

impl Decided {
    /// What the provider says by itself of attempts, by its names for the payments and whatever was
    /// thought of them; those that are not known yet to have succeeded.
    pub async fn by_provider(
        change: &mut Change<'_>,
        succeeded: Vec<(Charge, String)>,
    ) -> DatabaseResult<Vec<Self>> {
        let now_ms = Clock::System.now_ms();
        let rows = succeeded.iter().map(|(charge, reference)| {
            values![charge.idempotency_key.as_str(), now_ms, reference.as_str()].clone()
        });
        let news = change.fetch_many(&SUCCEED, rows.collect()).await?;
        let news: HashSet<&str> = news.iter().map(|row| row.text(0)).collect::<DatabaseResult<_>>()?;
        let decided = succeeded
            .into_iter()
            .filter(|(charge, _)| news.contains(charge.idempotency_key.as_str()))
            .map(|(charge, reference)| Self { charge, verdict: Verdict::Succeeded { reference } });
        Ok(decided.collect())
    }
}

/// Writes new attempts down, each with the payment method that it charges.
pub async fn write_new(change: &mut Change<'_>, attempts: &[(Undecided, String)]) -> DatabaseResult<()> {
    let rows = attempts.iter().map(|(attempt, method)| attempt.new_row(method)).collect();
    change.execute_many(&INSERT, rows).await
}

impl Verdict {
    pub fn state(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Declined { .. } => "declined",
            Self::Refused { .. } => "refused",
        }
    }

    fn reference(&self) -> Option<&str> {
        match self {
            Self::Succeeded { reference } => Some(reference),
            Self::Declined { reference, .. } => reference.as_deref(),
            Self::Refused { .. } => None,
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Declined { code, .. } => Some(code),
            Self::Succeeded { .. } | Self::Refused { .. } => None,
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Self::Succeeded { .. } => None,
            Self::Declined { message, .. } => Some(message),
            Self::Refused { cause } => Some(cause),
        }
    }
}

/// What was asked for by the attempt of this id, whatever came of it.
pub async fn charge_of(change: &mut Change<'_>, id: &str) -> DatabaseResult<Option<Charge>> {
    let sql = "SELECT id, amount, currency, token, organization, invoice, description, begun_ms, reference
               FROM payment_attempts WHERE id = $1";
    change.fetch_optional(sql, values![id]).await?.map(|row| read_charge(&row)).transpose()
}

/// What was refused before is not asked for again.
pub async fn withdraw(change: &mut Change<'_>, invoice: &str) -> DatabaseResult<()> {
    let sql = "UPDATE payment_attempts SET look_again_ms = NULL WHERE invoice = $1 AND state = 'refused'";
    change.execute(sql, values![invoice]).await?;
    Ok(())
}

/// The code and the message with which an attempt was declined; `None`: it was not.
pub async fn decline_of(change: &mut Change<'_>, id: &str) -> DatabaseResult<Option<(String, String)>> {
    let sql = "SELECT code, detail FROM payment_attempts WHERE id = $1 AND state = 'declined'";
    let Some(row) = change.fetch_optional(sql, values![id]).await? else { return Ok(None) };
    let text = |column| row.optional_text(column).map(|text| text.unwrap_or_default().to_owned());
    Ok(Some((text(0)?, text(1)?)))
}

/// Whether a payment of the invoice was begun and is not decided.
pub async fn is_under_way(change: &mut Change<'_>, invoice: &str) -> DatabaseResult<bool> {
    let sql = "SELECT 1 FROM payment_attempts WHERE invoice = $1 AND state IN ('begun', 'unknown')";
    Ok(change.fetch_optional(sql, values![invoice]).await?.is_some())
}

fn read_charge(row: &Row) -> DatabaseResult<Charge> {
    let id = row.text(0)?.to_owned();
    let damaged = || DatabaseError::Content { what: format!("amount of payment {id}") };
    let currency = row.text(2)?.parse().map_err(|_| damaged())?;
    let amount = Amount::of_minor_units(row.integer(1)?, currency).ok_or_else(damaged)?;
    Ok(Charge {
        amount,
        token: row.text(3)?.to_owned(),
        organization: row.text(4)?.to_owned(),
        invoice: row.text(5)?.to_owned(),
        description: row.text(6)?.to_owned(),
        asked_ms: row.integer(7)?,
        reference: row.optional_text(8)?.map(str::to_owned),
        idempotency_key: id,
    })
}
