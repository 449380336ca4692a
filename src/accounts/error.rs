use super::database::DatabaseError;

/// Why an account was not changed or read. Each has one slug and one status, which the HTTP answer
/// shows; none quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("organization {organization} does not exist")]
    OrganizationNotFound { organization: String },
    #[error("what is stored of organization {organization} can't be read; `odometer doctor` says why")]
    OrganizationUnreadable { organization: String },
    #[error("organization {organization} exists already: choose another id")]
    OrganizationExists { organization: String },
    #[error("plan plus needs a payment method: set one up for {organization} first")]
    PaymentMethodRequired { organization: String },
    #[error("{what} goes through sales: contact them for {organization}")]
    ContactSales { organization: String, what: &'static str },
    #[error("role {role} may not do this: {needed} may")]
    Role { role: &'static str, needed: &'static str },
    #[error("{what} was changed by someone else meanwhile: read it again")]
    Conflict { what: String },
    #[error("organization {organization} has {count} regions: plans other than enterprise have one")]
    TooManyRegions { organization: String, count: usize },
    #[error("payment method {id} is the default of a paid plan: make another one the default first")]
    DefaultPaymentMethod { id: String },
    #[error("{what} {id} does not exist")]
    NotFound { what: &'static str, id: String },
    #[error("a card number is never taken: send the token that the payment provider gave for it")]
    CardNumber,
    #[error("the request has {} that can't be taken", if errors.len() == 1 { "a value" } else { "values" })]
    Invalid { errors: Vec<FieldError> },
    #[error("the test clock never goes backwards: it is {now} already")]
    ClockBackwards { now: crate::clock::Time },
    #[error("the clock is the system's: set `clock: test` to move it")]
    ClockNotTest,
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("sign license of {organization}: {reason}")]
    Signing { organization: String, reason: String },
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// A JSON pointer into the request, e.g. `/email`.
    pub pointer: String,
    pub detail: String,
}

pub type AccountResult<T> = Result<T, AccountError>;

impl AccountError {
    /// Whether it is what one organization has, so that the others can go on.
    pub fn is_of_one_organization(&self) -> bool {
        match self {
            Self::Database(error) => error.is_unreadable(),
            Self::OrganizationNotFound { .. }
            | Self::OrganizationUnreadable { .. }
            | Self::Signing { .. } => true,
            _ => false,
        }
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::OrganizationNotFound { .. } | Self::NotFound { .. } => 404,
            Self::OrganizationExists { .. }
            | Self::Conflict { .. }
            | Self::TooManyRegions { .. }
            | Self::DefaultPaymentMethod { .. }
            | Self::ClockBackwards { .. }
            | Self::ClockNotTest => 409,
            Self::PaymentMethodRequired { .. } => 402,
            Self::ContactSales { .. } | Self::Role { .. } => 403,
            Self::CardNumber | Self::Invalid { .. } => 422,
            Self::Database(_) | Self::OrganizationUnreadable { .. } => 503,
            Self::Signing { .. } => 500,
        }
    }

    /// The last part of the problem's `type`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::OrganizationNotFound { .. } => "organization-not-found",
            Self::OrganizationUnreadable { .. } => "organization-unreadable",
            Self::OrganizationExists { .. } => "organization-exists",
            Self::PaymentMethodRequired { .. } => "payment-method-required",
            Self::ContactSales { .. } => "contact-sales",
            Self::Role { .. } => "role",
            Self::Conflict { .. } => "conflict",
            Self::TooManyRegions { .. } => "too-many-regions",
            Self::DefaultPaymentMethod { .. } => "default-payment-method",
            Self::NotFound { .. } => "not-found",
            Self::CardNumber => "card-number-refused",
            Self::Invalid { .. } => "invalid-request",
            Self::ClockBackwards { .. } => "clock-backwards",
            Self::ClockNotTest => "clock-not-test",
            Self::Database(_) => "accounts-unavailable",
            Self::Signing { .. } => "internal",
        }
    }
}
