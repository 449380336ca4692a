//! What came of attempts, written down for many at a time: what succeeded together, what did not one
//! by one, since a failure has more to it.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use crate::accounts::outbox::{Channel, Notice};
use crate::accounts::{AccountResult, Change};
use crate::billing::InvoiceState;
use crate::clock::Time;

use super::attempt::{Decided, Undecided, Verdict, decline_of};
use super::begin::Beginning;
use super::collect::{Collected, Occasion};
use super::dunning::{self, Dunning};
use super::invoice::{Payable, settle};
use super::provider::{Answer, ProviderError};

/// What is to be written down of an invoice.
#[derive(Clone)]
pub enum Outcome {
    Heard(Undecided, Heard),
    Ended(Collected),
}

impl Outcome {
    pub fn of((beginning, heard): (Beginning, Option<Heard>)) -> Self {
        match (beginning, heard) {
            (Beginning::Begun(begun), Some(heard)) => Self::Heard(begun.attempt, heard),
            (Beginning::Ended(collected), _) => Self::Ended(collected),
            (Beginning::Begun(_), None) => Self::Ended(Collected::Unknown),
        }
    }
}

/// What the provider said, in words of the attempt.
#[derive(Clone)]
pub enum Heard {
    Verdict(Verdict),
    Nothing { reference: Option<String>, cause: String },
}

impl Heard {
    /// Of what was asked for before: refusing to tell is no word about the charge itself.
    pub fn of(answer: Result<Answer, ProviderError>) -> Self {
        match answer {
            Ok(Answer::Succeeded { reference }) => Self::Verdict(Verdict::Succeeded { reference }),
            Ok(Answer::Declined { reference, code, message }) => {
                Self::Verdict(Verdict::Declined { reference, code, message })
            }
            Ok(Answer::Processing { reference }) => Self::Nothing {
                reference: Some(reference),
                cause: "the payment provider has not decided yet".to_owned(),
            },
            Err(ProviderError::Refused { cause } | ProviderError::Unknown { cause }) => {
                Self::Nothing { reference: None, cause }
            }
        }
    }

    /// Of what was asked for just now: what is refused was not charged.
    pub fn at_first(answer: Result<Answer, ProviderError>) -> Self {
        match answer {
            Err(ProviderError::Refused { cause }) => Self::Verdict(Verdict::Refused { cause }),
            answer => Self::of(answer),
        }
    }
}

/// For each of the outcomes, in their order.
pub async fn write_down(
    change: &mut Change<'_>,
    outcomes: &[Outcome],
    occasion: Occasion,
) -> AccountResult<Vec<Collected>> {
    // Money that was taken is taken, whatever was written down of the attempt meanwhile.
    let succeeded = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Heard(attempt, Heard::Verdict(Verdict::Succeeded { reference })) => {
            Some((attempt.charge.clone(), reference.clone()))
        }
        _ => None,
    });
    let succeeded = Decided::by_provider(change, succeeded.collect()).await?;
    let settled = Settled::by(change, &succeeded).await?;
    let mut succeeded: HashMap<String, Decided> =
        succeeded.into_iter().map(|decided| (decided.charge.idempotency_key.clone(), decided)).collect();
    let mut collected = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let (attempt, heard) = match outcome {
            Outcome::Heard(attempt, heard) => (attempt, heard),
            Outcome::Ended(ended) => {
                collected.push(ended.clone());
                continue;
            }
        };
        let (key, invoice) = (&attempt.charge.idempotency_key, &attempt.charge.invoice);
        let decided = match heard {
            Heard::Nothing { reference, cause } => {
                tracing::warn!(invoice, payment = key, cause, "a payment's outcome is unknown");
                count("unknown");
                attempt.doubt(change, reference.as_deref(), cause).await?;
                collected.push(Collected::Unknown);
                continue;
            }
            Heard::Verdict(Verdict::Succeeded { .. }) => succeeded.remove(key),
            Heard::Verdict(verdict) => attempt.clone().decide(change, verdict.clone()).await?,
        };
        collected.push(match decided {
            Some(decided) => follow(change, decided, &settled, occasion).await?,
            None => as_decided(change, key, invoice).await?,
        });
    }
    Ok(collected)
}

/// Somebody else, such as the provider's own event, wrote the outcome down meanwhile: that is it.
async fn as_decided(change: &mut Change<'_>, attempt: &str, invoice: &str) -> AccountResult<Collected> {
    let paid =
        Payable::read(change, invoice).await?.is_some_and(|invoice| invoice.state == InvoiceState::Paid);
    if paid {
        return Ok(Collected::Paid);
    }
    Ok(match decline_of(change, attempt).await? {
        Some((code, message)) => Collected::Declined { code, message },
        None => Collected::Unknown,
    })
}

/// What follows from an attempt's outcome, in the change that writes it down.
pub async fn conclude(
    change: &mut Change<'_>,
    decided: Decided,
    occasion: Occasion,
) -> AccountResult<Collected> {
    let settled = Settled::by(change, std::slice::from_ref(&decided)).await?;
    follow(change, decided, &settled, occasion).await
}

/// Invoices that were just marked as paid.
struct Settled {
    /// Those that were open.
    were_open: HashSet<String>,
    /// Organizations that had a failed payment before, of these invoices or of others.
    past_due: HashSet<String>,
}

impl Settled {
    async fn by(change: &mut Change<'_>, decided: &[Decided]) -> AccountResult<Self> {
        let paid: Vec<_> = decided
            .iter()
            .filter_map(|Decided { charge, verdict }| match verdict {
                Verdict::Succeeded { reference } => Some((charge, reference.as_str())),
                Verdict::Declined { .. } | Verdict::Refused { .. } => None,
            })
            .collect();
        let invoices: Vec<&str> = paid.iter().map(|(charge, _)| charge.invoice.as_str()).collect();
        let mut organizations: Vec<&str> =
            paid.iter().map(|(charge, _)| charge.organization.as_str()).collect();
        organizations.sort_unstable();
        organizations.dedup();
        let settlements: Vec<_> =
            paid.iter().map(|(charge, reference)| (charge.invoice.as_str(), Some(*reference))).collect();
        let were_open = settle(change, &settlements).await?;
        dunning::end(change, &invoices).await?;
        let past_due = change.past_due_among(&organizations).await?;
        Ok(Self { were_open, past_due })
    }
}

async fn follow(
    change: &mut Change<'_>,
    decided: Decided,
    settled: &Settled,
    occasion: Occasion,
) -> AccountResult<Collected> {
    count(decided.verdict.state());
    let Decided { charge, verdict } = decided;
    let (organization, invoice, amount) = (&charge.organization, &charge.invoice, charge.amount.to_string());
    let record = json!({ "invoice": invoice, "payment": charge.idempotency_key, "amount": amount });
    Ok(match verdict {
        Verdict::Succeeded { reference } => {
            change.record("payment.succeeded", Some(organization), None, Some(record)).await?;
            if settled.past_due.contains(organization) && !dunning::is_left(change, organization).await? {
                change.set_past_due(organization, false).await?;
            }
            let was_open = settled.were_open.contains(invoice);
            let event = if was_open { "invoice.paid" } else { "payment.unexpected" };
            let data = json!({ "invoice": invoice, "amount": amount, "payment": reference });
            notify(change, organization, event, data).await?;
            Collected::Paid
        }
        // Another attempt may have paid it meanwhile.
        Verdict::Declined { code, message, .. } if !is_open(change, invoice).await? => {
            change.record("payment.failed", Some(organization), None, Some(record)).await?;
            Collected::Declined { code, message }
        }
        Verdict::Declined { code, message, .. } => {
            let reason = Reason { code: &code, message: &message };
            fail(change, organization, invoice, &amount, reason, occasion).await?;
            Collected::Declined { code, message }
        }
        Verdict::Refused { cause } => {
            tracing::error!(invoice, cause, "charge an invoice: the payment provider refuses the request");
            change.record("payment.refused", Some(organization), None, Some(record)).await?;
            Collected::Refused { cause }
        }
    })
}

async fn is_open(change: &mut Change<'_>, invoice: &str) -> AccountResult<bool> {
    let invoice = Payable::read(change, invoice).await?;
    Ok(invoice.is_some_and(|invoice| invoice.state == InvoiceState::Open))
}

pub struct Reason<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

pub async fn fail(
    change: &mut Change<'_>,
    organization: &str,
    invoice: &str,
    amount: &str,
    reason: Reason<'_>,
    occasion: Occasion,
) -> AccountResult<()> {
    let Dunning { failures, next_ms, has_just_ended } =
        dunning::fail(change, invoice, organization, occasion).await?;
    change.set_past_due(organization, true).await?;
    let next_attempt_at = next_ms.map(Time);
    let data = json!({
        "invoice": invoice, "amount": amount, "code": reason.code, "message": reason.message,
        "failures": failures, "next_attempt_at": next_attempt_at,
    });
    change.record("payment.failed", Some(organization), None, Some(data.clone())).await?;
    notify(change, organization, "payment.failed", data).await?;
    if has_just_ended {
        let data = json!({ "invoice": invoice, "amount": amount, "failures": failures });
        notify(change, organization, "payment.given-up", data).await?;
    }
    Ok(())
}

async fn notify(
    change: &mut Change<'_>,
    organization: &str,
    event_type: &'static str,
    data: serde_json::Value,
) -> AccountResult<()> {
    let at_ms = change.now_ms();
    change.notify(Notice { channel: Channel::Notices, event_type, organization, at_ms, data }).await?;
    Ok(())
}

pub fn count(outcome: &'static str) {
    metrics::counter!("odometer_payments_total", "outcome" => outcome).increment(1);
}
