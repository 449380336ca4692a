//! Collecting: begin an attempt, ask the provider, write down what came of it.

use futures::{StreamExt, stream};
use serde_json::json;

use crate::accounts::outbox::{Channel, Notice};
use crate::accounts::{AccountError, AccountResult, Caller, Change};
use crate::billing::InvoiceState;
use crate::clock::Time;

use super::Payments;
use super::attempt::{Decided, Undecided, Verdict, decline_of, withdraw};
use super::due::is_due;
use super::dunning::{self, Dunning};
use super::invoice::{Payable, note_collected, settle};
use super::provider::{Answer, ProviderError};

/// Invoices that are collected together: written down in one change, charged side by side.
const BATCH: usize = 64;
/// Charges that the provider is asked for at once.
const PARALLEL: usize = 16;

/// Why an invoice is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// By itself: at its issue, and by the schedule of what failed.
    Scheduled,
    /// Somebody wants to pay now.
    Asked,
}

/// What came of collecting an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    Paid,
    Declined {
        code: String,
        message: String,
    },
    /// The organization has no payment method.
    NoPaymentMethod,
    /// Whether it was charged is not known yet: the provider is asked again.
    Unknown,
    /// Somebody else has the provider asked just now, or did since it was found due; what they hear
    /// decides.
    UnderWay,
    /// The provider does not take what it is asked: the operator's to mend.
    Refused {
        cause: String,
    },
    /// It is not open: a draft, paid before, or void.
    NotOpen(InvoiceState),
    /// What is stored of it can't be read: the operator's to mend.
    Damaged,
    NotFound,
}

/// How many invoices were collected, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collection {
    pub paid: u64,
    pub declined: u64,
    pub without_payment_method: u64,
    /// The provider is asked again later.
    pub unknown: u64,
    /// The provider does not take what it is asked; the log says why.
    pub refused: u64,
    /// Nothing was done: what is stored of them can't be read; the log says what.
    pub damaged: u64,
}

impl Collection {
    pub fn total(&self) -> u64 {
        self.paid + self.declined + self.without_payment_method + self.unknown + self.refused + self.damaged
    }

    fn count(&mut self, collected: &Collected) {
        let counter = match collected {
            Collected::Paid => &mut self.paid,
            Collected::Declined { .. } => &mut self.declined,
            Collected::NoPaymentMethod => &mut self.without_payment_method,
            Collected::Unknown => &mut self.unknown,
            Collected::Refused { .. } => &mut self.refused,
            Collected::Damaged => &mut self.damaged,
            // Somebody else was quicker.
            Collected::UnderWay | Collected::NotOpen(_) | Collected::NotFound => return,
        };
        *counter += 1;
    }
}

/// An attempt, and whether it was begun just now.
struct Begun {
    attempt: Undecided,
    is_new: bool,
}

enum Beginning {
    Begun(Begun),
    Ended(Collected),
}

/// What is to be written down of an invoice.
#[derive(Clone)]
enum Outcome {
    Heard(Undecided, Heard),
    Ended(Collected),
}

impl Outcome {
    fn of((beginning, heard): (Beginning, Option<Heard>)) -> Self {
        match (beginning, heard) {
            (Beginning::Begun(begun), Some(heard)) => Self::Heard(begun.attempt, heard),
            (Beginning::Ended(collected), _) => Self::Ended(collected),
            (Beginning::Begun(_), None) => Self::Ended(Collected::Unknown),
        }
    }
}

/// What the provider said, in words of the attempt.
#[derive(Clone)]
enum Heard {
    Verdict(Verdict),
    Nothing { reference: Option<String>, cause: String },
}

impl Payments {
    /// Has one invoice paid by the organization's default payment method.
    pub async fn collect(
        &self,
        caller: &Caller,
        invoice: &str,
        occasion: Occasion,
    ) -> AccountResult<Collected> {
        let collected = self.collect_all(caller, &[invoice.to_owned()], occasion).await?;
        Ok(collected.into_iter().next().unwrap_or(Collected::NotFound))
    }

    /// Has invoices paid; answers for each, in their order. May be cut off at any moment and called
    /// again, also by several processes at once.
    pub async fn collect_all(
        &self,
        caller: &Caller,
        invoices: &[String],
        occasion: Occasion,
    ) -> AccountResult<Vec<Collected>> {
        // The answer to a request is stored by whoever gives it: what is written here is more than one
        // change.
        let caller = Caller { idempotency: None, ..caller.clone() };
        let mut collected = Vec::with_capacity(invoices.len());
        for batch in invoices.chunks(BATCH) {
            collected.extend(self.collect_batch(&caller, batch, occasion).await?);
        }
        Ok(collected)
    }

    /// Collects what is due now: invoices that nobody tried to collect yet, payments that failed, by
    /// the schedule, and those whose outcome is not known. `only`: of one organization.
    pub async fn collect_due(&self, only: Option<&str>) -> AccountResult<Collection> {
        let mut collection = Collection::default();
        let mut after = String::new();
        // Each once: one that can't be read stays due.
        loop {
            let due = self.due(only.unwrap_or_default(), &after).await?;
            let Some(last) = due.last() else { break };
            after.clone_from(last);
            for collected in self.collect_all(&Caller::schedule(), &due, Occasion::Scheduled).await? {
                collection.count(&collected);
            }
        }
        metrics::gauge!("odometer_payments_damaged")
            .set(u32::try_from(collection.damaged).unwrap_or(u32::MAX));
        Ok(collection)
    }

    async fn collect_batch(
        &self,
        caller: &Caller,
        invoices: &[String],
        occasion: Occasion,
    ) -> AccountResult<Vec<Collected>> {
        let beginnings = self.begin_batch(caller, invoices, occasion).await?;
        let asking: Vec<_> = beginnings.iter().map(|beginning| self.ask(beginning)).collect();
        let heard: Vec<Option<Heard>> = stream::iter(asking).buffered(PARALLEL).collect().await;
        let outcomes: Vec<Outcome> = beginnings.into_iter().zip(heard).map(Outcome::of).collect();
        self.write_batch(caller, outcomes, occasion).await
    }

    /// In one change. Where what is stored of one can't be read each has a change of its own, so that
    /// the others are begun, and nothing is left half done of that one.
    async fn begin_batch(
        &self,
        caller: &Caller,
        invoices: &[String],
        occasion: Occasion,
    ) -> AccountResult<Vec<Beginning>> {
        match self.begin_together(caller, invoices, occasion).await {
            Err(AccountError::Database(error)) if error.is_unreadable() => {}
            begun => return begun,
        }
        let mut beginnings = Vec::with_capacity(invoices.len());
        for invoice in invoices {
            match self.begin_together(caller, std::slice::from_ref(invoice), occasion).await {
                Ok(begun) => beginnings.extend(begun),
                Err(AccountError::Database(error)) if error.is_unreadable() => {
                    self.damaged.tell(invoice, &error);
                    beginnings.push(Beginning::Ended(Collected::Damaged));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(beginnings)
    }

    async fn begin_together(
        &self,
        caller: &Caller,
        invoices: &[String],
        occasion: Occasion,
    ) -> AccountResult<Vec<Beginning>> {
        let mut change = self.accounts.begin(caller).await?;
        let mut beginnings = Vec::with_capacity(invoices.len());
        for invoice in invoices {
            beginnings.push(self.begin(&mut change, invoice, occasion).await?);
        }
        change.commit(200, &()).await?;
        Ok(beginnings)
    }

    /// Like [`Self::begin_batch`]. An outcome that can't be written down is asked for again later.
    async fn write_batch(
        &self,
        caller: &Caller,
        outcomes: Vec<Outcome>,
        occasion: Occasion,
    ) -> AccountResult<Vec<Collected>> {
        match self.write_together(caller, &outcomes, occasion).await {
            Err(AccountError::Database(error)) if error.is_unreadable() => {}
            written => return written,
        }
        let mut collected = Vec::with_capacity(outcomes.len());
        for outcome in &outcomes {
            match self.write_together(caller, std::slice::from_ref(outcome), occasion).await {
                Ok(written) => collected.extend(written),
                Err(AccountError::Database(error)) if error.is_unreadable() => {
                    if let Outcome::Heard(attempt, _) = outcome {
                        self.damaged.tell(&attempt.charge.invoice, &error);
                        let mut change = self.accounts.begin(caller).await?;
                        attempt.doubt(&mut change, None, "its outcome could not be written down").await?;
                        change.commit(200, &()).await?;
                    }
                    collected.push(Collected::Damaged);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(collected)
    }

    async fn write_together(
        &self,
        caller: &Caller,
        outcomes: &[Outcome],
        occasion: Occasion,
    ) -> AccountResult<Vec<Collected>> {
        let mut change = self.accounts.begin(caller).await?;
        let mut collected = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            collected.push(match outcome.clone() {
                Outcome::Heard(attempt, heard) => write_down(&mut change, attempt, heard, occasion).await?,
                Outcome::Ended(collected) => collected,
            });
        }
        change.commit(200, &()).await?;
        Ok(collected)
    }

    async fn begin(
        &self,
        change: &mut Change<'_>,
        number: &str,
        occasion: Occasion,
    ) -> AccountResult<Beginning> {
        let Some(invoice) = Payable::read(change, number).await? else {
            return Ok(Beginning::Ended(Collected::NotFound));
        };
        if invoice.state != InvoiceState::Open {
            return Ok(Beginning::Ended(Collected::NotOpen(invoice.state)));
        }
        if let Some(attempt) = Undecided::of_invoice(change, number).await? {
            return Ok(match attempt.is_claimed() {
                true => Beginning::Ended(Collected::UnderWay),
                false => Beginning::Begun(Begun { attempt, is_new: false }),
            });
        }
        // Of two processes that found it due one tries: the other would try again before its time.
        if occasion == Occasion::Scheduled && !is_due(change, number).await? {
            return Ok(Beginning::Ended(Collected::UnderWay));
        }
        let method = change.chargeable_payment_method(&invoice.organization).await?;
        // Whoever asks to pay without a method has changed nothing: it is still due by itself.
        if invoice.amount.is_some() && method.is_none() && occasion == Occasion::Asked {
            return Ok(Beginning::Ended(Collected::NoPaymentMethod));
        }
        withdraw(change, number).await?;
        note_collected(change, number).await?;
        let Some(amount) = invoice.amount else {
            settle(change, number, None).await?;
            return Ok(Beginning::Ended(Collected::Paid));
        };
        let Some(method) = method else {
            count("no_payment_method");
            let reason = Reason { code: "no_payment_method", message: "No payment method is set up." };
            fail(change, &invoice.organization, number, &amount.to_string(), reason, occasion).await?;
            return Ok(Beginning::Ended(Collected::NoPaymentMethod));
        };
        let attempt = Undecided::begin(change, &invoice, amount, &method).await?;
        Ok(Beginning::Begun(Begun { attempt, is_new: true }))
    }

    /// An attempt that was begun before is asked about first: its answer may have been lost.
    async fn ask(&self, beginning: &Beginning) -> Option<Heard> {
        let Beginning::Begun(begun) = beginning else { return None };
        let charge = &begun.attempt.charge;
        let known = match begun.is_new {
            true => Ok(None),
            false => self.provider.look_up(charge).await,
        };
        let answer = match known {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => self.provider.charge(charge).await,
            Err(error) => Err(error),
        };
        Some(match answer {
            Ok(Answer::Succeeded { reference }) => Heard::Verdict(Verdict::Succeeded { reference }),
            Ok(Answer::Declined { reference, code, message }) => {
                Heard::Verdict(Verdict::Declined { reference, code, message })
            }
            Ok(Answer::Processing { reference }) => Heard::Nothing {
                reference: Some(reference),
                cause: "the payment provider has not decided yet".to_owned(),
            },
            // Refusing to tell is no word about the charge itself.
            Err(ProviderError::Refused { cause }) if begun.is_new => {
                Heard::Verdict(Verdict::Refused { cause })
            }
            Err(ProviderError::Refused { cause } | ProviderError::Unknown { cause }) => {
                Heard::Nothing { reference: None, cause }
            }
        })
    }
}

async fn write_down(
    change: &mut Change<'_>,
    attempt: Undecided,
    heard: Heard,
    occasion: Occasion,
) -> AccountResult<Collected> {
    let (invoice, key) = (attempt.charge.invoice.clone(), attempt.charge.idempotency_key.clone());
    match heard {
        Heard::Nothing { reference, cause } => {
            tracing::warn!(
                invoice,
                payment = attempt.charge.idempotency_key,
                cause,
                "a payment's outcome is unknown"
            );
            count("unknown");
            attempt.doubt(change, reference.as_deref(), &cause).await?;
            Ok(Collected::Unknown)
        }
        // Money that was taken is taken, whatever was written down of the attempt meanwhile.
        Heard::Verdict(Verdict::Succeeded { reference }) => {
            match Decided::by_provider(change, attempt.charge, &reference).await? {
                Some(decided) => conclude(change, decided, occasion).await,
                None => as_decided(change, &key, &invoice).await,
            }
        }
        Heard::Verdict(verdict) => match attempt.decide(change, verdict).await? {
            Some(decided) => conclude(change, decided, occasion).await,
            None => as_decided(change, &key, &invoice).await,
        },
    }
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
pub(super) async fn conclude(
    change: &mut Change<'_>,
    decided: Decided,
    occasion: Occasion,
) -> AccountResult<Collected> {
    count(decided.verdict.state());
    let Decided { charge, verdict } = decided;
    let (organization, invoice, amount) = (&charge.organization, &charge.invoice, charge.amount.to_string());
    let record = json!({ "invoice": invoice, "payment": charge.idempotency_key, "amount": amount });
    Ok(match verdict {
        Verdict::Succeeded { reference } => {
            change.record("payment.succeeded", Some(organization), None, Some(record)).await?;
            let was_open = settle(change, invoice, Some(&reference)).await?;
            if dunning::end(change, invoice, organization).await? {
                change.set_past_due(organization, false).await?;
            }
            let event = if was_open { "invoice.paid" } else { "payment.unexpected" };
            let data = json!({ "invoice": invoice, "amount": amount, "payment": reference });
            notify(change, organization, event, data).await?;
            Collected::Paid
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

struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

async fn fail(
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

fn count(outcome: &'static str) {
    metrics::counter!("odometer_payments_total", "outcome" => outcome).increment(1);
}
