//! Invoices: a month's counts, priced, numbered and kept, so that they can be computed again to the
//! cent.
//!
//! A month is closed once, when every lane of every region is read beyond its end: the closing
//! keeps where each lane's ledger stood, and all invoices of the month are made from it. So billing
//! may be ended at any moment and begun again: the same comes out. What comes later is the
//! difference that the next invoice adjusts.

mod adjustment;
mod biller;
mod closing;
mod counted;
mod deployments;
mod error;
mod finalize;
mod invoice;
mod job;
mod late;
mod ledgers;
mod lifecycle;
pub mod payment;
mod price;
mod reading;
mod register;
mod rows;
mod service_changes;
mod tax;
#[cfg(test)]
mod tests;
mod unbilled;
mod verify;
mod void;

pub use biller::{Billed, Biller, MOST_TOGETHER, Order, Waiting};
pub use closing::{Closing, LeftOut, all_left_out};
pub use error::{BillingError, BillingResult};
pub use finalize::Finalized;
pub use invoice::{BilledPeriod, Invoice, InvoiceLine, InvoiceLineKind, InvoiceState, LedgerEnd};
pub use lifecycle::{Draft, Issue, Open, Paid, Settlement, Void, Voiding};
pub use reading::Invoices;
pub use register::InvoiceSummary;
pub use unbilled::Unbilled;
pub use verify::Verification;
pub use void::{VoidError, VoidOrder, void};
