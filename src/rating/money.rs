use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// ISO 4217 currencies without a minor unit.
const WITHOUT_MINOR_UNIT: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// ISO 4217 currencies whose minor unit is a thousandth.
const WITH_THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// An ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("currency {text:?} is no ISO 4217 code such as USD")]
pub struct UnknownCurrency {
    text: String,
}

impl Currency {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three capital letters")
    }

    /// Digits after the point of an amount: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn minor_digits(self) -> u32 {
        let code = self.as_str();
        if WITHOUT_MINOR_UNIT.contains(&code) {
            0
        } else if WITH_THOUSANDTHS.contains(&code) {
            3
        } else {
            2
        }
    }

    /// Rounds to the minor unit, half away from zero; `None` beyond what a `Decimal` holds
    /// (about 7.9e26 USD).
    pub fn round(self, amount: &Fraction) -> Option<Decimal> {
        let digits = self.minor_digits();
        let scaled = &amount.numerator * power_of_ten(digits);
        let twice = BigInt::from(scaled.magnitude().clone()) * 2;
        let half_up: BigInt = (twice + &amount.denominator) / (&amount.denominator * 2);
        let minor_units = if scaled.sign() == Sign::Minus { -half_up } else { half_up };
        Decimal::try_from_i128_with_scale(i128::try_from(minor_units).ok()?, digits).ok()
    }

    /// A price as it is shown: every digit that it has, and at least those of the minor unit.
    pub fn show_price(self, price: Decimal) -> Decimal {
        let mut shown = price.normalize();
        if shown.scale() < self.minor_digits() {
            shown.rescale(self.minor_digits());
        }
        shown
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(UnknownCurrency { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(text: String) -> Result<Self, UnknownCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An exact amount. Decimals alone would not do: a thirtieth of a month has no end after the point,
/// and a price cut there could fall on the wrong side of a half.
#[derive(Clone, Debug)]
pub struct Fraction {
    numerator: BigInt,
    /// Greater than 0.
    denominator: BigInt,
}

impl Fraction {
    pub fn zero() -> Self {
        Self { numerator: BigInt::ZERO, denominator: BigInt::from(1) }
    }

    /// `denominator` is not 0.
    pub fn ratio(numerator: u64, denominator: u64) -> Self {
        assert!(denominator > 0, "a ratio's denominator is not 0");
        Self { numerator: numerator.into(), denominator: denominator.into() }
    }

    pub fn plus(&self, other: &Self) -> Self {
        if self.denominator == other.denominator {
            let numerator = &self.numerator + &other.numerator;
            return Self { numerator, denominator: self.denominator.clone() };
        }
        Self {
            numerator: &self.numerator * &other.denominator + &other.numerator * &self.denominator,
            denominator: &self.denominator * &other.denominator,
        }
    }

    pub fn times(&self, other: &Self) -> Self {
        Self {
            numerator: &self.numerator * &other.numerator,
            denominator: &self.denominator * &other.denominator,
        }
    }

    /// `divisor` is not 0.
    pub fn divided_by(&self, divisor: u64) -> Self {
        assert!(divisor > 0, "a fraction is never divided by 0");
        Self { numerator: self.numerator.clone(), denominator: &self.denominator * divisor }
    }

    /// The least whole number that is not less; 0 for what is negative.
    pub fn round_up(&self) -> BigInt {
        if self.numerator.sign() != Sign::Plus {
            return BigInt::ZERO;
        }
        (&self.numerator + &self.denominator - 1) / &self.denominator
    }
}

impl From<Decimal> for Fraction {
    fn from(value: Decimal) -> Self {
        Self { numerator: value.mantissa().into(), denominator: power_of_ten(value.scale()) }
    }
}

impl From<BigInt> for Fraction {
    fn from(whole: BigInt) -> Self {
        Self { numerator: whole, denominator: BigInt::from(1) }
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        &self.numerator * &other.denominator == &other.numerator * &self.denominator
    }
}

fn power_of_ten(digits: u32) -> BigInt {
    BigInt::from(10).pow(digits)
}
