use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::{Currency, Fraction};

/// A tax that is in force in a month, and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    #[serde(flatten)]
    pub rate: TaxRate,
    /// Home regions of the organizations that pay it; empty: all.
    pub regions: Vec<String>,
    /// Organizations that do not pay it.
    pub exempt: Vec<String>,
}

/// What a tax is called and how much it is: exclusive, on top of a subtotal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaxRate {
    #[schema(example = "VAT")]
    pub name: String,
    /// Of the subtotal, in percent.
    #[schema(value_type = String, example = "19")]
    pub percent: Decimal,
}

impl Tax {
    /// `None`: that depends on the organization's home region, which is not known.
    pub fn is_paid_by(&self, organization: &str, home_region: Option<&str>) -> Option<bool> {
        if self.exempt.iter().any(|exempt| exempt == organization) {
            return Some(false);
        }
        if self.regions.is_empty() {
            return Some(true);
        }
        home_region.map(|home| self.regions.iter().any(|region| region == home))
    }
}

impl TaxRate {
    /// On a subtotal that is rounded already; rounded to the minor unit, half away from zero. `None`
    /// beyond what a `Decimal` holds.
    pub fn on(&self, subtotal: Decimal, currency: Currency) -> Option<Decimal> {
        let exact = Fraction::from(subtotal).times(&Fraction::from(self.percent)).divided_by(100);
        currency.round(&exact)
    }
}
