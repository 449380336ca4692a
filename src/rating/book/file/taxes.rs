//! Taxes of a `plans.yaml`: each has a history of rates, and every month the rates that are in force
//! in it.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::Deserializer;

use super::{FileError, Money, checked};
use crate::month::Month;
use crate::rating::book::PriceBookVersion;
use crate::rating::tax::{Tax, TaxRate};

/// Digits after the point of a percentage, at most.
const MOST_DIGITS: u32 = 6;

/// A tax with all rates that it ever had.
pub struct TaxLine {
    name: String,
    regions: Vec<String>,
    exempt: Vec<String>,
    /// Never empty; by rising month.
    rates: Vec<(Month, Decimal)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaxFields {
    name: String,
    #[serde(default)]
    regions: Vec<String>,
    #[serde(default)]
    exempt: Vec<String>,
    rates: Vec<RateFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateFields {
    from: Month,
    percent: Money,
}

impl TryFrom<TaxFields> for TaxLine {
    type Error = FileError;

    fn try_from(fields: TaxFields) -> Result<Self, FileError> {
        let TaxFields { name, regions, exempt, rates } = fields;
        let mut rates: Vec<(Month, Decimal)> =
            rates.into_iter().map(|rate| (rate.from, rate.percent.0.normalize())).collect();
        rates.sort_by_key(|(from, _)| *from);
        let is_good = |percent: Decimal| {
            percent.scale() <= MOST_DIGITS && (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&percent)
        };
        // What a line of the tax begins with tells it from those of other taxes.
        let is_name = |c: char| !c.is_control() && c != ':' && c != '%';
        let reason =
            if name.trim() != name || !(1..=64).contains(&name.chars().count()) || !name.chars().all(is_name)
            {
                Some("its name is 1 to 64 characters, without blanks around them, `:` and `%`")
            } else if rates.is_empty() {
                Some("there are no rates: list at least one")
            } else if rates.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                Some("two of its rates begin in the same month")
            } else if !rates.iter().all(|(_, percent)| is_good(*percent)) {
                Some("a percent is 0 to 100, with at most 6 digits after the point")
            } else {
                None
            };
        match reason {
            Some(reason) => Err(FileError::Tax { name, reason }),
            None => Ok(Self { name, regions, exempt, rates }),
        }
    }
}

impl TaxLine {
    /// As it is in the month; a rate of 0 is none.
    fn at(&self, month: Month) -> Option<Tax> {
        let (_, percent) = self.rates.iter().rfind(|(from, _)| *from <= month)?;
        let rate = TaxRate { name: self.name.clone(), percent: *percent };
        let tax = || Tax { rate, regions: self.regions.clone(), exempt: self.exempt.clone() };
        (!percent.is_zero()).then(tax)
    }

    fn meets(&self, other: &Self) -> bool {
        let all = self.regions.is_empty() || other.regions.is_empty();
        self.name == other.name && (all || self.regions.iter().any(|region| other.regions.contains(region)))
    }
}

/// The versions with the taxes of each month, and from which month each is in force. The versions
/// rise and are not empty.
pub fn with_taxes(
    versions: Vec<PriceBookVersion>,
    taxes: &[TaxLine],
) -> Result<Vec<(Month, PriceBookVersion)>, FileError> {
    for (place, tax) in taxes.iter().enumerate() {
        if taxes[..place].iter().any(|other| other.meets(tax)) {
            let reason = "it is listed twice for the same region";
            return Err(FileError::Tax { name: tax.name.clone(), reason });
        }
    }
    let mut begins: Vec<Month> = versions.iter().map(|version| version.effective).collect();
    begins.extend(taxes.iter().flat_map(|tax| &tax.rates).map(|(from, _)| *from));
    begins.sort_unstable();
    begins.dedup();
    // The months before all that is listed have the first prices, and no tax.
    let before = begins.first().map(|first| first.previous());
    let in_force = |month: Month| {
        let later = versions.partition_point(|version| version.effective <= month);
        let version = versions[later.saturating_sub(1)].clone();
        let taxes = taxes.iter().filter_map(|tax| tax.at(month)).collect();
        (month, PriceBookVersion { taxes, ..version })
    };
    Ok(before.into_iter().chain(begins).map(in_force).collect())
}

impl<'de> Deserialize<'de> for TaxLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<D, TaxFields, Self>(deserializer)
    }
}
