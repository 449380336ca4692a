//! The states of an invoice. Each is a type and each transition a method of it, so that a wrong
//! order does not compile:
//!
//! ```compile_fail
//! use odometer::billing::{Draft, Settlement};
//! fn a_draft_is_not_paid(draft: Draft, settlement: &Settlement) {
//!     draft.pay(settlement);
//! }
//! ```
//! ```compile_fail
//! use odometer::billing::{Paid, Settlement};
//! fn nothing_is_paid_twice(paid: Paid, settlement: &Settlement) {
//!     paid.pay(settlement);
//! }
//! ```
//! ```compile_fail
//! use odometer::billing::{Paid, Voiding};
//! fn what_was_paid_stays(paid: Paid, voiding: Voiding<'_>) {
//!     paid.void(voiding);
//! }
//! ```

use rust_decimal::Decimal;

use crate::clock::Time;

use super::invoice::{Invoice, InvoiceState, LedgerEnd};

/// How long after its issue an invoice is due: 14 days, in milliseconds.
pub const DUE_AFTER_MS: i64 = 14 * 86_400_000;

/// Without a number; the next look at the month may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft(Invoice);

/// Final, to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open(Invoice);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid(Invoice);

/// Final, and nobody pays it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void(Invoice);

/// What makes a draft final.
#[derive(Clone, Debug)]
pub struct Issue<'a> {
    pub number: String,
    pub issued_ms: i64,
    pub ledger: &'a [LedgerEnd],
    /// What earlier invoices left to the organization's credit, 0 or more.
    pub credit: Decimal,
}

/// What paid an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// As the payment provider calls it; `None`: there was nothing to pay.
    pub reference: Option<String>,
    pub at_ms: i64,
}

/// Why an invoice is not to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voiding<'a> {
    pub reason: &'a str,
    pub at_ms: i64,
}

impl Draft {
    /// Of what was computed, whatever state it was in.
    pub fn of(content: Invoice) -> Self {
        Self(Invoice {
            number: None,
            state: InvoiceState::Draft,
            ledger: Vec::new(),
            digest: None,
            issued_at: None,
            due_at: None,
            paid_at: None,
            voided_at: None,
            void_reason: None,
            ..content
        })
    }

    /// What would be due of it, were it issued now.
    pub fn less(self, credit: Decimal) -> Self {
        let amount_due = due(&self.0, credit);
        Self(Invoice { amount_due, ..self.0 })
    }

    pub fn open(self, issue: Issue<'_>) -> Open {
        let mut invoice = self.0;
        invoice.number = Some(issue.number);
        invoice.state = InvoiceState::Open;
        invoice.ledger = issue.ledger.to_vec();
        invoice.issued_at = Some(Time(issue.issued_ms));
        invoice.due_at = Some(Time(issue.issued_ms + DUE_AFTER_MS));
        invoice.amount_due = due(&invoice, issue.credit);
        invoice.digest = Some(invoice.compute_digest());
        Open(invoice)
    }
}

/// Never negative, with the currency's digits.
fn due(invoice: &Invoice, credit: Decimal) -> Decimal {
    let due = invoice.total.saturating_sub(credit);
    if due > invoice.nothing() { due } else { invoice.nothing() }
}

impl Open {
    /// As it stands in the register; what is not open is answered with its state.
    pub fn stored(invoice: Invoice) -> Result<Self, InvoiceState> {
        if invoice.state == InvoiceState::Open { Ok(Self(invoice)) } else { Err(invoice.state) }
    }

    /// Whether there is nothing to collect.
    pub fn is_settled(&self) -> bool {
        self.0.amount_due.is_zero()
    }

    pub fn pay(self, settlement: &Settlement) -> Paid {
        let amount_due = self.0.nothing();
        Paid(Invoice {
            state: InvoiceState::Paid,
            paid_at: Some(Time(settlement.at_ms)),
            amount_due,
            ..self.0
        })
    }

    pub fn void(self, voiding: Voiding<'_>) -> Void {
        let amount_due = self.0.nothing();
        Void(Invoice {
            state: InvoiceState::Void,
            voided_at: Some(Time(voiding.at_ms)),
            void_reason: Some(voiding.reason.to_owned()),
            amount_due,
            ..self.0
        })
    }
}

macro_rules! read_as_invoice {
    ($($state:ident),*) => {$(
        impl $state {
            pub fn invoice(&self) -> &Invoice {
                &self.0
            }

            pub fn into_invoice(self) -> Invoice {
                self.0
            }
        }
    )*};
}
read_as_invoice!(Draft, Open, Paid, Void);
