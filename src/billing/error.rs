use std::sync::Arc;

use crate::accounts::AccountError;
use crate::accounts::database::DatabaseError;
use crate::month::Month;
use crate::rating::RatingError;
use crate::store::StoreError;

/// Why nothing was billed. Whatever was billed before stays, and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("bill region {region}: {source}")]
    Store { region: Arc<str>, source: StoreError },
    #[error("bill organization {organization}: {source}")]
    Rating { organization: String, source: RatingError },
    #[error("bill organization {organization}: the sum of {month} is beyond what can be stated")]
    TotalTooGreat { organization: String, month: Month },
    #[error(
        "bill organization {organization}: its home region is not known, so nobody can say whether it pays \
         {tax}; `PUT /v1/organizations/{organization}/regions` makes the first region its home, or the `home_region` that it names"
    )]
    NoHomeRegion { organization: String, tax: String },
    #[error(
        "bill {month}: region {region} was billed before and is not configured now; list it in `regions`"
    )]
    RegionMissing { month: Month, region: String },
    #[error("{count} organizations could not be billed, the first of them {organization}: {cause}")]
    Unbilled { count: usize, organization: String, cause: String },
    #[error("invoice {number} does not exist")]
    UnknownInvoice { number: String },
}

pub type BillingResult<T> = Result<T, BillingError>;

/// What the accounts database holds can't be read.
pub(super) fn unreadable(what: impl std::fmt::Display, error: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Content { what: format!("{what}: {error}") }
}
