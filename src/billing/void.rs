//! Voiding: an open invoice that nobody is to pay. What stands on it counts as not invoiced from the
//! next closing on, so that the invoice of that closing bills it again, by what is counted then.

use rust_decimal::Decimal;
use serde_json::json;

use crate::accounts::database::values;
use crate::accounts::outbox::{Channel, Notice};
use crate::accounts::{AccountError, Accounts, Caller, Change, FieldError};

use super::error::BillingError;
use super::invoice::{Invoice, InvoiceState};
use super::lifecycle::{Open, Voiding};
use super::payment::{dunning, is_under_way, withdraw};
use super::register;

/// Characters of a reason.
const LONGEST_REASON: usize = 500;

/// Why an invoice was not voided.
#[derive(Debug, thiserror::Error)]
pub enum VoidError {
    #[error("invoice {number} is {}: only an open one can be voided", state.as_str())]
    NotOpen { number: String, state: InvoiceState },
    #[error("a payment of invoice {number} is under way: void it once the payment provider has answered")]
    PaymentUnderWay { number: String },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Billing(#[from] BillingError),
}

impl From<crate::accounts::database::DatabaseError> for VoidError {
    fn from(error: crate::accounts::database::DatabaseError) -> Self {
        Self::Account(error.into())
    }
}

/// Which invoice, and why. `organization`: whose it must be.
#[derive(Clone, Copy, Debug)]
pub struct VoidOrder<'a> {
    pub number: &'a str,
    pub organization: Option<&'a str>,
    pub reason: &'a str,
}

/// Voids an open invoice; one that is void stays as it is. The operator alone.
pub async fn void(accounts: &Accounts, caller: &Caller, order: VoidOrder<'_>) -> Result<Invoice, VoidError> {
    caller.require_operator()?;
    let reason = checked_reason(order.reason)?;
    let mut change = accounts.begin(caller).await?;
    let found = register::read_in(&mut change, order.number).await?;
    let is_theirs = |invoice: &Invoice| {
        order.organization.is_none_or(|organization| organization == invoice.organization)
    };
    let not_found = || AccountError::NotFound { what: "invoice", id: order.number.to_owned() };
    let invoice = found.filter(is_theirs).ok_or_else(not_found)?;
    if invoice.state == InvoiceState::Void {
        let told = invoice.told_to(caller);
        change.commit(200, &told).await?;
        return Ok(told);
    }
    let number = order.number.to_owned();
    let open = Open::stored(invoice).map_err(|state| VoidError::NotOpen { number: number.clone(), state })?;
    if is_under_way(&mut change, &number).await? {
        return Err(VoidError::PaymentUnderWay { number });
    }
    let credit = open.invoice().credit();
    let before = json!({ "state": "open", "amount_due": open.invoice().amount_due });
    let void = open.void(Voiding { reason, at_ms: change.now_ms() }).into_invoice();
    change.write_void(&void).await?;
    change.give_back(&void, credit).await?;
    withdraw(&mut change, &number).await?;
    dunning::end(&mut change, &[number.as_str()]).await?;
    if !dunning::is_left(&mut change, &void.organization).await? {
        change.set_past_due(&void.organization, false).await?;
    }
    let said = json!({ "invoice": number, "state": "void", "reason": reason, "credit": credit });
    change.record("invoice.voided", Some(&void.organization), Some(before), Some(said)).await?;
    change.tell(&void, reason).await?;
    let told = void.told_to(caller);
    change.commit(200, &told).await?;
    Ok(told)
}

fn checked_reason(reason: &str) -> Result<&str, AccountError> {
    let reason = reason.trim();
    let is_good =
        (1..=LONGEST_REASON).contains(&reason.chars().count()) && !reason.contains(char::is_control);
    let error = || FieldError {
        pointer: "/reason".to_owned(),
        detail: format!("a reason is 1 to {LONGEST_REASON} characters on one line"),
    };
    if is_good { Ok(reason) } else { Err(AccountError::Invalid { errors: vec![error()] }) }
}

impl Change<'_> {
    async fn write_void(&mut self, void: &Invoice) -> Result<(), VoidError> {
        let sql = "UPDATE invoices SET state = 'void', void_ms = $2, void_reason = $3,
                void_after = (SELECT COALESCE(MAX(sequence), 0) FROM closings)
            WHERE number = $1 AND state = 'open'";
        let at_ms = void.voided_at.map(|time| time.0);
        self.execute(sql, values![void.number.clone(), at_ms, void.void_reason.clone()]).await?;
        Ok(())
    }

    /// The credit that the invoice used up lowers the next ones.
    async fn give_back(&mut self, void: &Invoice, credit: Decimal) -> Result<(), VoidError> {
        if credit.is_zero() {
            return Ok(());
        }
        let left = self.credit_of(&void.organization).await?;
        let left = left.checked_add(credit).ok_or_else(|| BillingError::TotalTooGreat {
            organization: void.organization.clone(),
            month: void.month,
        })?;
        self.write_credit(&void.organization, left).await?;
        Ok(())
    }

    async fn tell(&mut self, void: &Invoice, reason: &str) -> Result<(), VoidError> {
        let data = json!({ "invoice": void.number, "month": void.month, "total": void.total,
            "currency": void.currency, "reason": reason });
        let notice = Notice {
            channel: Channel::Notices,
            event_type: "invoice.voided",
            organization: &void.organization,
            at_ms: self.now_ms(),
            data,
        };
        self.notify(notice).await?;
        Ok(())
    }
}
