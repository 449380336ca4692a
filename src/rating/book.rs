mod file;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::Plan;
use crate::month::Month;

use super::money::Currency;
use super::period::HourRule;
use super::price::Price;
use super::tax::Tax;

pub use file::BookError;

const BUILT_IN: &str = include_str!("../../fixtures/price-books/2023-09.yaml");

/// All versions of the price list, each in force from its month until the next one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBook {
    /// From which month each is in force: never empty, by rising month. A version of which a tax
    /// changed is there once for each of its taxes.
    versions: Vec<(Month, PriceBookVersion)>,
}

/// The price list of some months. Its JSON is kept with every invoice that it priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceBookVersion {
    pub effective: Month,
    pub currency: Currency,
    pub free: PlanTerms,
    pub plus: PlanTerms,
    pub enterprise: PlanTerms,
    /// What comes on top of a subtotal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
    /// Not there in those that were kept before the rule was.
    #[serde(default = "HourRule::first", skip_serializing_if = "HourRule::is_first")]
    pub shared_hours: HourRule,
}

/// What one plan charges and allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTerms {
    pub prices: Vec<Price>,
    /// By meter; a meter that is not listed has no limit.
    pub limits: BTreeMap<String, Limit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What may be used in a month, itself included.
    pub limit: u64,
    pub overage: Overage,
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overage {
    Block,
    Charge,
}

impl PriceBook {
    /// Reads a `plans.yaml`; an error names its line.
    pub fn parse(yaml: &str) -> Result<Self, BookError> {
        file::parse(yaml).map(|versions| Self { versions })
    }

    /// The price book of 2023-09: Free, Plus and Enterprise.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in price book is sound; a test reads it")
    }

    /// The version in force in a month. Months before the first version have its prices, so that
    /// every month has some.
    pub fn at(&self, month: Month) -> &PriceBookVersion {
        let later = self.versions.partition_point(|(from, _)| *from <= month);
        &self.versions[later.saturating_sub(1)].1
    }

    pub fn versions(&self) -> impl Iterator<Item = &PriceBookVersion> {
        self.versions.iter().map(|(_, version)| version)
    }

    /// The meters that any version prices or limits, each once, in order; whoever configures meters
    /// checks that they exist.
    pub fn meters(&self) -> Vec<&str> {
        let terms = self.versions().flat_map(|version| [&version.free, &version.plus, &version.enterprise]);
        let mut meters: Vec<&str> = terms
            .flat_map(|terms| {
                let priced = terms.prices.iter().filter_map(|price| price.meter.as_deref());
                priced.chain(terms.limits.keys().map(String::as_str))
            })
            .collect();
        meters.sort_unstable();
        meters.dedup();
        meters
    }
}

impl PriceBookVersion {
    /// What invoices call it: its first month, e.g. `2023-09`.
    pub fn name(&self) -> String {
        self.effective.to_string()
    }

    pub fn terms(&self, plan: Plan) -> &PlanTerms {
        match plan {
            Plan::Free => &self.free,
            Plan::Plus => &self.plus,
            Plan::Enterprise => &self.enterprise,
        }
    }

    /// SHA-256 over its JSON, as 64 hex digits: tells apart two contents under one name.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a price book is plain data");
        Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
