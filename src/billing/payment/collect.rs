//! Collecting: begin an attempt, ask the provider, write down what came of it.

use futures::{StreamExt, stream};

use crate::accounts::database::DatabaseError;
use crate::accounts::{AccountError, AccountResult, Caller};
use crate::billing::InvoiceState;

use super::Payments;
use super::begin::{Beginning, Begun, begin};
use super::outcome::{Heard, Outcome, write_down};
use super::provider::{Charge, PARALLEL};

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
        let together = self.provider.together().min(self.most_together.get());
        for batch in invoices.chunks(together.max(1) as usize) {
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
        let heard = self.ask(&beginnings).await;
        let outcomes: Vec<Outcome> = beginnings.into_iter().zip(heard).map(Outcome::of).collect();
        self.write_batch(caller, outcomes, occasion).await
    }

    /// In one change. Where what is stored of one can't be read, or the database takes nothing about it,
    /// each half has a change of its own, down to that one: so the others are begun, and nothing is left
    /// half done of it.
    async fn begin_batch(
        &self,
        caller: &Caller,
        invoices: &[String],
        occasion: Occasion,
    ) -> AccountResult<Vec<Beginning>> {
        let mut beginnings = Vec::with_capacity(invoices.len());
        let mut left = vec![invoices];
        while let Some(some) = left.pop() {
            match self.begin_together(caller, some, occasion).await {
                Ok(begun) => beginnings.extend(begun),
                Err(AccountError::Database(error)) if error.is_of_content() => match some {
                    [one] => {
                        self.damaged.tell(one, &error);
                        beginnings.push(Beginning::Ended(Collected::Damaged));
                    }
                    _ => left.extend(halves(some)),
                },
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
        let beginnings = begin(&mut change, invoices, occasion).await?;
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
        let mut collected = Vec::with_capacity(outcomes.len());
        let mut left = vec![&*outcomes];
        while let Some(some) = left.pop() {
            match self.write_together(caller, some, occasion).await {
                Ok(written) => collected.extend(written),
                Err(AccountError::Database(error)) if error.is_of_content() => match some {
                    [one] => {
                        self.leave_unknown(caller, one, &error).await?;
                        collected.push(Collected::Damaged);
                    }
                    _ => left.extend(halves(some)),
                },
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
        let collected = write_down(&mut change, outcomes, occasion).await?;
        change.commit(200, &()).await?;
        Ok(collected)
    }

    async fn leave_unknown(
        &self,
        caller: &Caller,
        outcome: &Outcome,
        error: &DatabaseError,
    ) -> AccountResult<()> {
        let Outcome::Heard(attempt, _) = outcome else { return Ok(()) };
        self.damaged.tell(&attempt.charge.invoice, error);
        let mut change = self.accounts.begin(caller).await?;
        attempt.doubt(&mut change, None, "its outcome could not be written down").await?;
        change.commit(200, &()).await
    }

    /// What the provider says of each, in their order. New ones are charged first, so that they wait for
    /// no other; one that was begun before is asked about first: its answer may have been lost.
    async fn ask(&self, beginnings: &[Beginning]) -> Vec<Option<Heard>> {
        let new: Vec<&Charge> = beginnings.iter().filter_map(Beginning::new_charge).collect();
        let charged = self.provider.charge_all(&new).await;
        // Of fewer answers nobody knows whose they are: all are asked for again.
        let mut charged = Some(charged).filter(|charged| charged.len() == new.len()).into_iter().flatten();
        let looks: Vec<_> = beginnings.iter().map(|beginning| self.ask_again(beginning)).collect();
        let mut heard: Vec<Option<Heard>> = stream::iter(looks).buffered(PARALLEL).collect().await;
        for (heard, beginning) in heard.iter_mut().zip(beginnings) {
            if beginning.new_charge().is_some() {
                *heard = charged.next().map(Heard::at_first);
            }
        }
        heard
    }

    /// `None`: it was not begun before.
    async fn ask_again(&self, beginning: &Beginning) -> Option<Heard> {
        let Beginning::Begun(Begun { attempt, is_new: false }) = beginning else { return None };
        Some(Heard::of(match self.provider.look_up(&attempt.charge).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => self.provider.charge(&attempt.charge).await,
            Err(error) => Err(error),
        }))
    }
}

/// The second first: what is taken from the end comes in its order.
fn halves<T>(some: &[T]) -> [&[T]; 2] {
    let (first, second) = some.split_at(some.len() / 2);
    [second, first]
}
