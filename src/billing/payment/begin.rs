//! Beginning attempts: what is to be charged is written down, for many invoices at a time, before the
//! provider hears of any.

use std::collections::HashSet;

use crate::accounts::{AccountResult, Change};
use crate::billing::InvoiceState;

use super::attempt::{Undecided, withdraw, write_new};
use super::collect::{Collected, Occasion};
use super::due::is_due;
use super::invoice::{Payable, note_collected, settle};
use super::outcome::{Reason, count, fail};
use super::provider::Charge;

/// An attempt, and whether it was begun just now.
pub struct Begun {
    pub attempt: Undecided,
    pub is_new: bool,
}

pub enum Beginning {
    Begun(Begun),
    Ended(Collected),
}

impl Beginning {
    /// What the provider has not heard of.
    pub fn new_charge(&self) -> Option<&Charge> {
        match self {
            Self::Begun(Begun { attempt, is_new: true }) => Some(&attempt.charge),
            Self::Begun(_) | Self::Ended(_) => None,
        }
    }
}

/// For each of the invoices, in their order.
pub async fn begin(
    change: &mut Change<'_>,
    numbers: &[String],
    occasion: Occasion,
) -> AccountResult<Vec<Beginning>> {
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let mut invoices = Payable::read_all(change, &numbers).await?;
    let mut under_way = Undecided::of_invoices(change, &numbers).await?;
    let mut organizations: Vec<&str> = invoices.values().map(|invoice| &*invoice.organization).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut methods = change.chargeable_payment_methods(&organizations).await?;
    let (mut beginnings, mut tried, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    // Each with the method that it charges.
    let mut begun: Vec<(Undecided, String)> = Vec::new();
    for number in numbers {
        if !seen.insert(number) {
            beginnings.push(Beginning::Ended(Collected::UnderWay));
            continue;
        }
        let Some(invoice) = invoices.remove(number) else {
            beginnings.push(Beginning::Ended(Collected::NotFound));
            continue;
        };
        let has_method = methods.contains_key(&invoice.organization);
        if let Some(known) = known(change, &invoice, under_way.remove(number), has_method, occasion).await? {
            beginnings.push(known);
            continue;
        }
        tried.push(number);
        if !invoice.is_new {
            withdraw(change, number).await?;
        }
        // Where it can't be read, the rest of the group is begun without this one.
        let method = match methods.get(&invoice.organization) {
            Some(Err(_)) => methods.remove(&invoice.organization).transpose()?,
            Some(Ok(method)) => Some(method.clone()),
            None => None,
        };
        beginnings.push(match (invoice.amount, method) {
            (None, _) => {
                settle(change, &[(number, None)]).await?;
                Beginning::Ended(Collected::Paid)
            }
            (Some(amount), None) => {
                count("no_payment_method");
                let reason = Reason { code: "no_payment_method", message: "No payment method is set up." };
                let amount = amount.to_string();
                fail(change, &invoice.organization, number, &amount, reason, occasion).await?;
                Beginning::Ended(Collected::NoPaymentMethod)
            }
            (Some(amount), Some(method)) => {
                let attempt = Undecided::new(&invoice, amount, &method);
                begun.push((attempt.clone(), method.id));
                Beginning::Begun(Begun { attempt, is_new: true })
            }
        });
    }
    note_collected(change, &tried).await?;
    write_new(change, &begun).await?;
    Ok(beginnings)
}

/// What is to be done of an invoice without trying anew; `None`: it is to be tried.
async fn known(
    change: &mut Change<'_>,
    invoice: &Payable,
    under_way: Option<Undecided>,
    has_method: bool,
    occasion: Occasion,
) -> AccountResult<Option<Beginning>> {
    if invoice.state != InvoiceState::Open {
        return Ok(Some(Beginning::Ended(Collected::NotOpen(invoice.state))));
    }
    if let Some(attempt) = under_way {
        return Ok(Some(match attempt.is_claimed() {
            true => Beginning::Ended(Collected::UnderWay),
            false => Beginning::Begun(Begun { attempt, is_new: false }),
        }));
    }
    let ended = |collected| Ok(Some(Beginning::Ended(collected)));
    match occasion {
        // Of two processes that found it due one tries: the other would try again before its time.
        Occasion::Scheduled if !invoice.is_new && !is_due(change, &invoice.number).await? => {
            ended(Collected::UnderWay)
        }
        // Whoever asks to pay without a method has changed nothing: it is still due by itself.
        Occasion::Asked if invoice.amount.is_some() && !has_method => ended(Collected::NoPaymentMethod),
        Occasion::Scheduled | Occasion::Asked => Ok(None),
    }
}
