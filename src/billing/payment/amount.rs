use std::fmt;

use rust_decimal::Decimal;

use crate::rating::Currency;

#[cfg(test)]
mod tests;

/// What is to be paid, in the currency's minor unit: cents of USD, yen of JPY. Greater than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    minor_units: i64,
    currency: Currency,
}

impl Amount {
    /// `None` where it is not greater than 0, not whole, or beyond 64 bits.
    pub fn new(amount: Decimal, currency: Currency) -> Option<Self> {
        let amount = amount.normalize();
        let missing_digits = currency.minor_digits().checked_sub(amount.scale())?;
        let minor_units = amount.mantissa().checked_mul(10i128.pow(missing_digits))?;
        Self::of_minor_units(i64::try_from(minor_units).ok()?, currency)
    }

    /// `None` where it is not greater than 0.
    pub fn of_minor_units(minor_units: i64, currency: Currency) -> Option<Self> {
        (minor_units > 0).then_some(Self { minor_units, currency })
    }

    pub fn minor_units(self) -> i64 {
        self.minor_units
    }

    pub fn currency(self) -> Currency {
        self.currency
    }

    pub fn decimal(self) -> Decimal {
        Decimal::new(self.minor_units, self.currency.minor_digits())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}
