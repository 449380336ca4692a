//! The format of `plans.yaml`. Every check runs inside deserialization, where the parser still
//! knows the line.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::month::Month;
use crate::rating::money::Currency;
use crate::rating::period::HourRule;
use crate::rating::price::{Model, Price, PriceError, Tier};

use super::{Limit, PlanTerms, PriceBookVersion};

mod taxes;

use taxes::{TaxLine, with_taxes};

/// Meters that stand for something that lasts.
const LASTING_METERS: [&str; 3] = ["services", "published_services", "regions"];

#[derive(Debug, thiserror::Error)]
#[error("read price book{}: {reason}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct BookError {
    /// Counted from 1.
    pub line: Option<usize>,
    pub reason: String,
}

/// The versions, and from which month each is in force.
pub fn parse(yaml: &str) -> Result<Vec<(Month, PriceBookVersion)>, BookError> {
    serde_yaml_ng::from_str::<BookFile>(yaml).map(|book| book.versions).map_err(|error| {
        let place = error.location();
        let mut reason = error.to_string();
        if let Some(place) = &place {
            // The parser says the place again, at the end of its own words.
            let suffix = format!(" at line {} column {}", place.line(), place.column());
            reason = reason.strip_suffix(&suffix).map(str::to_owned).unwrap_or(reason);
        }
        BookError { line: place.map(|place| place.line()), reason }
    })
}

struct BookFile {
    versions: Vec<(Month, PriceBookVersion)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BookFields {
    versions: Vec<VersionFields>,
    #[serde(default)]
    taxes: Vec<TaxLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionFields {
    effective: Month,
    currency: Currency,
    plans: PlansFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlansFields {
    free: Terms,
    plus: Terms,
    #[serde(default)]
    enterprise: Terms,
}

#[derive(Default)]
struct Terms(PlanTerms);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFields {
    #[serde(default)]
    prices: Vec<PriceLine>,
    #[serde(default, deserialize_with = "unique_map")]
    limits: BTreeMap<String, Limit>,
}

struct PriceLine(Price);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModelName {
    PerUnit,
    Graduated,
    Volume,
    Package,
    Flat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFields {
    meter: Option<String>,
    name: Option<String>,
    model: ModelName,
    price: Option<Money>,
    unit: Option<u64>,
    tiers: Option<Vec<TierFields>>,
    #[serde(default)]
    included: u64,
    minimum: Option<Money>,
    cap: Option<Money>,
    recurring: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierFields {
    up_to: Option<u64>,
    #[serde(default)]
    price: Money,
    #[serde(default)]
    flat: Money,
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("there are no versions: list at least one")]
    NoVersions,
    #[error("version {effective} is listed twice")]
    SameVersion { effective: Month },
    #[error("version {effective} has another currency than the one before: a book has one")]
    OtherCurrency { effective: Month },
    #[error("meter {meter} is priced twice: give it one price with tiers")]
    SameMeter { meter: String },
    #[error("meter {meter:?} is no meter's name: use a-z, 0-9 and _, at most 64")]
    MeterName { meter: String },
    #[error("`{field}` is missing: the model {model} needs it")]
    Missing { field: &'static str, model: &'static str },
    #[error("`{field}` means nothing to the model {model}: remove it")]
    Unused { field: &'static str, model: &'static str },
    #[error("tax {name:?}: {reason}")]
    Tax { name: String, reason: &'static str },
    #[error(transparent)]
    Price(#[from] PriceError),
}

impl TryFrom<BookFields> for BookFile {
    type Error = FileError;

    fn try_from(fields: BookFields) -> Result<Self, FileError> {
        let mut versions: Vec<PriceBookVersion> = fields.versions.into_iter().map(Into::into).collect();
        versions.sort_by_key(|version| version.effective);
        if versions.is_empty() {
            return Err(FileError::NoVersions);
        }
        if let Some(pair) = versions.windows(2).find(|pair| pair[0].effective == pair[1].effective) {
            return Err(FileError::SameVersion { effective: pair[0].effective });
        }
        // What comes late for one month is billed on another's invoice.
        match versions.windows(2).find(|pair| pair[0].currency != pair[1].currency) {
            Some(pair) => Err(FileError::OtherCurrency { effective: pair[1].effective }),
            None => Ok(Self { versions: with_taxes(versions, &fields.taxes)? }),
        }
    }
}

impl From<VersionFields> for PriceBookVersion {
    fn from(fields: VersionFields) -> Self {
        let PlansFields { free, plus, enterprise } = fields.plans;
        Self {
            effective: fields.effective,
            currency: fields.currency,
            free: free.0,
            plus: plus.0,
            enterprise: enterprise.0,
            taxes: Vec::new(),
            shared_hours: HourRule::CURRENT,
        }
    }
}

impl TryFrom<TermsFields> for Terms {
    type Error = FileError;

    fn try_from(fields: TermsFields) -> Result<Self, FileError> {
        let prices: Vec<Price> = fields.prices.into_iter().map(|line| line.0).collect();
        let mut meters: Vec<&str> = prices.iter().filter_map(|price| price.meter.as_deref()).collect();
        meters.sort_unstable();
        if let Some(pair) = meters.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(FileError::SameMeter { meter: pair[0].to_owned() });
        }
        fields.limits.keys().try_for_each(|meter| check_meter(meter))?;
        Ok(Self(PlanTerms { prices, limits: fields.limits }))
    }
}

impl TryFrom<PriceFields> for PriceLine {
    type Error = FileError;

    fn try_from(mut fields: PriceFields) -> Result<Self, FileError> {
        let model = model_of(&mut fields)?;
        if let Some(meter) = &fields.meter {
            check_meter(meter)?;
        }
        let meter = fields.meter.as_deref();
        let lasting = meter.is_none_or(|meter| LASTING_METERS.contains(&meter));
        let recurring = fields.recurring.unwrap_or(lasting || matches!(model, Model::Flat { .. }));
        let price = Price {
            name: fields.name.unwrap_or_else(|| meter_name(meter)),
            meter: fields.meter,
            model,
            included: fields.included,
            minimum: fields.minimum.map(|money| money.0),
            cap: fields.cap.map(|money| money.0),
            recurring,
        };
        price.validate()?;
        Ok(Self(price))
    }
}

fn model_of(fields: &mut PriceFields) -> Result<Model, FileError> {
    let name = fields.model;
    let model = match name {
        ModelName::PerUnit => "per_unit",
        ModelName::Graduated => "graduated",
        ModelName::Volume => "volume",
        ModelName::Package => "package",
        ModelName::Flat => "flat",
    };
    if fields.meter.is_none() && !matches!(name, ModelName::Flat) {
        return Err(FileError::Missing { field: "meter", model });
    }
    let price = fields.price.take().map(|money| money.0);
    let tiers = fields.tiers.take().map(|tiers| tiers.into_iter().map(Into::into).collect());
    let unit = fields.unit.take();
    let needed = |field| FileError::Missing { field, model };
    let unused = |field, present: bool| match present {
        true => Err(FileError::Unused { field, model }),
        false => Ok(()),
    };
    match name {
        ModelName::PerUnit | ModelName::Package | ModelName::Flat => unused("tiers", tiers.is_some())?,
        ModelName::Graduated | ModelName::Volume => unused("price", price.is_some())?,
    }
    Ok(match name {
        ModelName::PerUnit => {
            Model::PerUnit { price: price.ok_or(needed("price"))?, unit: unit.unwrap_or(1) }
        }
        ModelName::Graduated => {
            Model::Graduated { tiers: tiers.ok_or(needed("tiers"))?, unit: unit.unwrap_or(1) }
        }
        ModelName::Volume => Model::Volume { tiers: tiers.ok_or(needed("tiers"))?, unit: unit.unwrap_or(1) },
        ModelName::Package => {
            Model::Package { price: price.ok_or(needed("price"))?, size: unit.ok_or(needed("unit"))? }
        }
        ModelName::Flat => {
            unused("unit", unit.is_some())?;
            unused("included", fields.included > 0)?;
            Model::Flat { price: price.ok_or(needed("price"))? }
        }
    })
}

impl From<TierFields> for Tier {
    fn from(fields: TierFields) -> Self {
        Self { up_to: fields.up_to, price: fields.price.0, flat: fields.flat.0 }
    }
}

fn check_meter(meter: &str) -> Result<(), FileError> {
    let letters = meter.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if letters && (1..=64).contains(&meter.len()) {
        Ok(())
    } else {
        Err(FileError::MeterName { meter: meter.to_owned() })
    }
}

fn meter_name(meter: Option<&str>) -> String {
    match meter {
        None => "Plan fee",
        Some("api_calls") => "API calls",
        Some("services") => "Services",
        Some("published_services") => "Published services",
        Some("regions") => "Regions",
        Some(other) => other,
    }
    .to_owned()
}

/// Reads the fields of `F` and makes a `T` of them while the parser is still inside their map, so
/// that an error has the map's own line; serde's `try_from` would give the line of what is around.
fn checked<'de, D, F, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: Deserialize<'de>,
    T: TryFrom<F, Error = FileError>,
{
    struct Fields<F, T>(PhantomData<(F, T)>);
    impl<'de, F: Deserialize<'de>, T: TryFrom<F, Error = FileError>> Visitor<'de> for Fields<F, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of keys and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let fields = F::deserialize(MapAccessDeserializer::new(map))?;
            T::try_from(fields).map_err(A::Error::custom)
        }
    }
    deserializer.deserialize_map(Fields::<F, T>(PhantomData))
}

impl<'de> Deserialize<'de> for BookFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<D, BookFields, Self>(deserializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<D, TermsFields, Self>(deserializer)
    }
}

impl<'de> Deserialize<'de> for PriceLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<D, PriceFields, Self>(deserializer)
    }
}

/// A decimal read from the file's own digits, quoted or not: through a float it would lose some.
#[derive(Default)]
struct Money(Decimal);

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Money;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount such as 34.25")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Money, E> {
                let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
                let value = Decimal::from_str_exact(text).ok().filter(|_| plain);
                value.map(Money).ok_or_else(|| E::custom(format!("{text:?} is no amount such as 34.25")))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// A map whose keys occur once; the parser alone would keep the last of two in silence.
fn unique_map<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Unique<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map by meter")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut values = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, V>()? {
                if values.contains_key(&key) {
                    return Err(A::Error::custom(format!("{key} is listed twice")));
                }
                values.insert(key, value);
            }
            Ok(values)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}
