use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::money::Fraction;

/// Digits after the point of a price; what is finer is a mistake in the price book.
const MAX_PRICE_DIGITS: u32 = 12;
/// No price or fee is greater (a million millions), so that a month's total stays a `Decimal`.
const MAX_PRICE: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0);
/// Tiers of one price; the products of this are written and read by people.
const MAX_TIERS: usize = 100;

/// How a quantity becomes an amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// `price` for each `unit`, in proportion.
    PerUnit { price: Decimal, unit: u64 },
    /// Each tier prices the part of the quantity that lies in it, and adds its flat fee once
    /// entered; the first tier is always entered.
    Graduated { tiers: Vec<Tier>, unit: u64 },
    /// The tier that the whole quantity lies in prices all of it.
    Volume { tiers: Vec<Tier>, unit: u64 },
    /// `price` for each started package of `size`.
    Package { price: Decimal, size: u64 },
    /// `price` whatever the quantity.
    Flat { price: Decimal },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The greatest quantity of the tier, itself included; `None` in the last tier alone.
    pub up_to: Option<u64>,
    pub price: Decimal,
    pub flat: Decimal,
}

/// What a plan asks for one meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// `None`: a fee of the plan itself.
    pub meter: Option<String>,
    /// What people read; by default the meter's name.
    pub name: String,
    pub model: Model,
    /// Free of charge, and taken off before the model looks at the quantity; whole also in a part
    /// of a month.
    pub included: u64,
    /// Per month; prorated, like `cap`, in a part of a month.
    pub minimum: Option<Decimal>,
    pub cap: Option<Decimal>,
    /// Charged for the time that the plan lasts (services) rather than for what happened (calls):
    /// the quantity is the greatest of the time on the plan, the amount is prorated.
    pub recurring: bool,
}

/// One part of a price: the quantity at one unit price. `amount` is quantity × unit price ÷ unit,
/// except that packages are counted when started.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub quantity: Decimal,
    pub unit: u64,
    pub unit_price: Decimal,
    pub amount: Fraction,
    pub part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    Included,
    /// Counted from 1.
    Tier(usize),
    TierFlat(usize),
    /// Started packages.
    Packages,
    Flat,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PriceError {
    #[error("{what} {value} is negative: prices and fees are 0 or more")]
    Negative { what: &'static str, value: Decimal },
    #[error("{what} {value} is too great: at most {MAX_PRICE}")]
    TooGreat { what: &'static str, value: Decimal },
    #[error("{what} {value} is too fine: at most {MAX_PRICE_DIGITS} digits after the point")]
    TooFine { what: &'static str, value: Decimal },
    #[error("unit is 0: write the number of units that the price is for, e.g. 1000000")]
    ZeroUnit,
    #[error("tiers are missing: {model} needs a list of them, the last without `up_to`")]
    NoTiers { model: &'static str },
    #[error("there are {count} tiers: at most {MAX_TIERS}")]
    TooManyTiers { count: usize },
    #[error("tier {tier} has no `up_to`: only the last tier may be without")]
    OpenTier { tier: usize },
    #[error("tier {tier} ends at {up_to}, which is not beyond the tier before it")]
    TiersNotRising { tier: usize, up_to: u64 },
    #[error("the last tier ends at {up_to}: leave its `up_to` out, or what is beyond has no price")]
    BoundedLastTier { up_to: u64 },
    #[error("minimum {minimum} is greater than cap {cap}")]
    MinimumAboveCap { minimum: Decimal, cap: Decimal },
}

impl Price {
    /// The parts of the amount for `quantity` (0 or more) over a whole month, before rounding,
    /// minimum and cap.
    pub fn pieces(&self, quantity: Decimal) -> Vec<Piece> {
        let included = Decimal::from(self.included).min(quantity);
        let billed = quantity - included;
        let mut pieces = self.model.pieces(billed);
        if included > Decimal::ZERO {
            let unit = self.model.unit();
            let amount = Fraction::zero();
            let unit_price = Decimal::ZERO;
            let part = Part::Included;
            pieces.insert(0, Piece { quantity: included, unit, unit_price, amount, part });
        }
        pieces
    }

    /// Refuses what has no single meaning. Book files are checked with this when they are read.
    pub fn validate(&self) -> Result<(), PriceError> {
        self.model.validate()?;
        for (what, value) in [("minimum", self.minimum), ("cap", self.cap)] {
            value.map_or(Ok(()), |value| check_price(what, value))?;
        }
        match (self.minimum, self.cap) {
            (Some(minimum), Some(cap)) if minimum > cap => Err(PriceError::MinimumAboveCap { minimum, cap }),
            _ => Ok(()),
        }
    }
}

impl Model {
    fn unit(&self) -> u64 {
        match self {
            Self::PerUnit { unit, .. } | Self::Graduated { unit, .. } | Self::Volume { unit, .. } => *unit,
            Self::Package { size, .. } => *size,
            Self::Flat { .. } => 1,
        }
    }

    fn pieces(&self, quantity: Decimal) -> Vec<Piece> {
        match self {
            Self::PerUnit { price, unit } => vec![proportional(quantity, *unit, *price, Part::Whole)],
            Self::Graduated { tiers, unit } => graduated(tiers, *unit, quantity),
            Self::Volume { tiers, unit } => volume(tiers, *unit, quantity),
            Self::Package { price, size } => vec![packages(quantity, *size, *price)],
            Self::Flat { price } => vec![fee(*price, Part::Flat)],
        }
    }

    fn validate(&self) -> Result<(), PriceError> {
        if self.unit() == 0 {
            return Err(PriceError::ZeroUnit);
        }
        match self {
            Self::PerUnit { price, .. } | Self::Package { price, .. } | Self::Flat { price } => {
                check_price("price", *price)
            }
            Self::Graduated { tiers, .. } => check_tiers("graduated", tiers),
            Self::Volume { tiers, .. } => check_tiers("volume", tiers),
        }
    }
}

fn proportional(quantity: Decimal, unit: u64, unit_price: Decimal, part: Part) -> Piece {
    let amount = Fraction::from(quantity).times(&unit_price.into()).divided_by(unit);
    Piece { quantity, unit, unit_price, amount, part }
}

fn fee(price: Decimal, part: Part) -> Piece {
    Piece { quantity: Decimal::ONE, unit: 1, unit_price: price, amount: price.into(), part }
}

fn packages(quantity: Decimal, size: u64, price: Decimal) -> Piece {
    let started = Fraction::from(quantity).divided_by(size).round_up();
    let amount = Fraction::from(started).times(&price.into());
    Piece { quantity, unit: size, unit_price: price, amount, part: Part::Packages }
}

fn graduated(tiers: &[Tier], unit: u64, quantity: Decimal) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(tiers.len());
    let mut reached = Decimal::ZERO;
    for (number, tier) in (1..).zip(tiers) {
        if number > 1 && quantity <= reached {
            break;
        }
        let end = tier.up_to.map_or(quantity, |up_to| quantity.min(up_to.into()));
        push_tier(&mut pieces, number, tier, unit, end - reached);
        reached = end;
    }
    pieces
}

fn volume(tiers: &[Tier], unit: u64, quantity: Decimal) -> Vec<Piece> {
    let holds = |tier: &Tier| tier.up_to.is_none_or(|up_to| quantity <= up_to.into());
    let mut pieces = Vec::with_capacity(2);
    if let Some((number, tier)) = (1..).zip(tiers).find(|(_, tier)| holds(tier)) {
        push_tier(&mut pieces, number, tier, unit, quantity);
    }
    pieces
}

/// A tier of flat fees alone shows no line of zero price, a free tier does.
fn push_tier(pieces: &mut Vec<Piece>, number: usize, tier: &Tier, unit: u64, quantity: Decimal) {
    if tier.price > Decimal::ZERO || tier.flat.is_zero() {
        pieces.push(proportional(quantity, unit, tier.price, Part::Tier(number)));
    }
    if tier.flat > Decimal::ZERO {
        pieces.push(fee(tier.flat, Part::TierFlat(number)));
    }
}

fn check_price(what: &'static str, value: Decimal) -> Result<(), PriceError> {
    if value < Decimal::ZERO {
        Err(PriceError::Negative { what, value })
    } else if value > MAX_PRICE {
        Err(PriceError::TooGreat { what, value })
    } else if value.normalize().scale() > MAX_PRICE_DIGITS {
        Err(PriceError::TooFine { what, value })
    } else {
        Ok(())
    }
}

fn check_tiers(model: &'static str, tiers: &[Tier]) -> Result<(), PriceError> {
    let Some((last, bounded)) = tiers.split_last() else {
        return Err(PriceError::NoTiers { model });
    };
    if tiers.len() > MAX_TIERS {
        return Err(PriceError::TooManyTiers { count: tiers.len() });
    }
    let mut before = 0;
    for (number, tier) in (1..).zip(bounded) {
        let up_to = tier.up_to.ok_or(PriceError::OpenTier { tier: number })?;
        if up_to <= before {
            return Err(PriceError::TiersNotRising { tier: number, up_to });
        }
        before = up_to;
    }
    if let Some(up_to) = last.up_to {
        return Err(PriceError::BoundedLastTier { up_to });
    }
    for tier in tiers {
        check_price("price", tier.price)?;
        check_price("flat", tier.flat)?;
    }
    Ok(())
}
