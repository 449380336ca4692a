//! What a plan costs and allows, in words.

use maud::{Markup, html};

use super::text::{money, number};
use crate::event::{API_CALLS, Plan};
use crate::rating::{Currency, Model, Overage, PlanTerms, Price, PriceBookVersion};
use crate::snapshot::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};

pub fn plan_name(plan: Plan) -> &'static str {
    match plan {
        Plan::Free => "Free",
        Plan::Plus => "Plus",
        Plan::Enterprise => "Enterprise",
    }
}

/// `$105.00 per service and month`, one line for each price and limit.
pub fn terms(version: &PriceBookVersion, plan: Plan) -> Markup {
    let terms = version.terms(plan);
    html! {
        ul.terms {
            @if terms.prices.is_empty() {
                li { (if plan == Plan::Enterprise { "Priced by agreement" } else { "Nothing is charged" }) }
            }
            @for price in &terms.prices { li { (describe(price, version.currency)) } }
            @for limit in limits(terms) { li { (limit) } }
        }
    }
}

fn describe(price: &Price, currency: Currency) -> String {
    let what = price.meter.as_deref().map_or(price.name.clone(), unit_name);
    let shown = |amount| money(currency.show_price(amount), currency);
    let main = match &price.model {
        Model::PerUnit { price: amount, unit: 1 } if price.recurring => {
            format!("{} per {what} and month", shown(*amount))
        }
        Model::PerUnit { price: amount, unit: 1 } => format!("{} per {what}", shown(*amount)),
        Model::PerUnit { price: amount, unit } => {
            format!("{} per {} {what}s", shown(*amount), number(i128::from(*unit)))
        }
        Model::Graduated { tiers, .. } | Model::Volume { tiers, .. } => {
            let first =
                tiers.first().map_or_else(String::new, |tier| format!(", from {}", shown(tier.price)));
            format!("{what}s in {} tiers{first}", tiers.len())
        }
        Model::Package { price: amount, size } => {
            format!("{} per started {} {what}s", shown(*amount), number(i128::from(*size)))
        }
        Model::Flat { price: amount } => format!("{} a month: {}", shown(*amount), price.name),
    };
    match price.included {
        0 => main,
        included => format!("{main}, {} included", number(i128::from(included))),
    }
}

/// One of what a meter counts.
fn unit_name(meter: &str) -> String {
    match meter {
        API_CALLS => "API call".to_owned(),
        SERVICES => "service".to_owned(),
        PUBLISHED_SERVICES => "published service".to_owned(),
        REGIONS => "region".to_owned(),
        other => other.replace('_', " "),
    }
}

fn limits(terms: &PlanTerms) -> Vec<String> {
    let limit = |(meter, limit): (&String, &crate::rating::Limit)| {
        let end = if limit.limit == 1 { "" } else { "s" };
        let beyond = match limit.overage {
            Overage::Block => "at most",
            Overage::Charge => "charged beyond",
        };
        format!("{beyond} {} {}{end}", number(i128::from(limit.limit)), unit_name(meter))
    };
    terms.limits.iter().map(limit).map(capitalized).collect()
}

fn capitalized(text: String) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
