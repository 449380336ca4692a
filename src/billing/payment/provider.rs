//! What odometer asks of a payment provider.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::Amount;

/// What a provider is asked for at once.
pub const PARALLEL: usize = 16;
/// Nobody waits longer for a charge: it must be answered while its attempt belongs to who began it.
const PATIENCE: Duration = Duration::from_secs(100);

/// A payment, as it is asked for. The same key with the same content is the same payment, however
/// often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub idempotency_key: String,
    pub amount: Amount,
    /// The provider's name for what is charged.
    pub token: String,
    pub organization: String,
    /// The invoice's number.
    pub invoice: String,
    /// For people: on the provider's pages and receipts.
    pub description: String,
    /// When it was first asked for, in epoch milliseconds of the system's clock.
    pub asked_ms: i64,
    /// The provider's name for the payment, where it told one.
    pub reference: Option<String>,
}

/// What became of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Succeeded {
        reference: String,
    },
    /// Nothing was charged, and nothing will be under this key.
    Declined {
        reference: Option<String>,
        /// For programs, e.g. `card_declined`.
        code: String,
        /// For the customer.
        message: String,
    },
    /// The provider has it under way and will decide later.
    Processing {
        reference: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider does not take such a request: nothing was charged, and asking again won't help
    /// until something was changed.
    #[error("the payment provider refused: {cause}")]
    Refused { cause: String },
    /// Whether something was charged is not known.
    #[error("no answer from the payment provider: {cause}")]
    Unknown { cause: String },
}

/// A payment method that is being set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    pub token: String,
    pub organization: String,
    pub name: String,
    pub email: String,
}

/// Takes payments. Implementations keep no state of their own that another process would miss.
pub trait Provider: Debug + Send + Sync {
    /// Makes a method one that can be charged again and again; answers the token to charge.
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>>;

    /// Charges, or tells again what came of the charge under this key.
    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>>;

    /// How many charges may be begun together: so few that none waits for another, unless the provider
    /// says otherwise.
    fn together(&self) -> u32 {
        PARALLEL as u32
    }

    /// Charges several, [`PARALLEL`] at once; answers each, in their order.
    fn charge_all<'a>(
        &'a self,
        charges: &'a [&'a Charge],
    ) -> BoxFuture<'a, Vec<Result<Answer, ProviderError>>> {
        let in_time = async |charge: &'a &'a Charge| {
            let late = |_| ProviderError::Unknown { cause: format!("not within {} s", PATIENCE.as_secs()) };
            tokio::time::timeout(PATIENCE, self.charge(charge)).await.map_err(late)?
        };
        stream::iter(charges.iter().map(in_time)).buffered(PARALLEL).collect().boxed()
    }

    /// What came of a charge; `None`: the provider never heard of it. Charges nothing.
    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>>;
}

/// What became of a method that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    As {
        token: String,
    },
    /// The provider won't have it.
    Declined {
        message: String,
    },
}
