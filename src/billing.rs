//! Invoices: a month's counts, priced, numbered and kept, so that they can be computed again to the
//! cent.

mod invoice;
mod lifecycle;

pub use invoice::{BilledPeriod, Invoice, InvoiceLine, InvoiceLineKind, InvoiceState, LedgerEnd};
pub use lifecycle::{Draft, Issue, Open, Paid, Settlement, Void};
