//! Setting a payment method up: what the provider gave once becomes what can be charged every month.

use crate::accounts::{Account, AccountError};

use super::Payments;
use super::provider::{Kept, Method, ProviderError};

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("the payment provider does not take this payment method: {message}")]
    Declined { message: String },
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl Payments {
    /// Answers the token to store and to charge. Asked again, it answers the same.
    pub async fn keep(&self, account: &Account, token: &str) -> Result<String, KeepError> {
        let method = Method {
            token: token.to_owned(),
            organization: account.id.clone(),
            name: account.name.clone(),
            email: account.email.clone(),
        };
        match self.provider.keep(&method).await? {
            Kept::As { token } => Ok(token),
            Kept::Declined { message } => Err(KeepError::Declined { message }),
        }
    }
}
