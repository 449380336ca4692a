//! An invoice as a PDF: the same digits as its JSON, the same bytes each time.

mod invoice;
mod sheet;

#[cfg(test)]
mod tests;

pub use invoice::{Recipient, invoice};

#[derive(Debug, thiserror::Error)]
#[error("write the PDF of invoice {invoice}: {cause}")]
pub struct PdfError {
    invoice: String,
    cause: String,
}
