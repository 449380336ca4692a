//! What usage costs. Pure: no I/O, no clock, no floats; every amount is an exact fraction until the
//! one rounding of its line. docs/rating.md explains the rules with worked cases.

mod book;
mod estimate;
mod money;
mod period;
mod price;
mod tax;

#[cfg(test)]
mod tests;

pub use book::{BookError, Limit, Overage, PlanTerms, PriceBook, PriceBookVersion};
pub use estimate::{Estimate, Line, LineKind, MonthUsage, Rated, RatingError, estimate, grouped, rate};
pub use money::{Currency, Fraction, UnknownCurrency};
pub use period::{HourRule, Span};
pub use price::{Model, Piece, Price, PriceError, Tier};
pub use tax::{Tax, TaxRate};
