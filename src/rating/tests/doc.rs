//! The worked cases of docs/rating.md, computed.

use super::*;

const DOC: &str = include_str!("../../../docs/rating.md");

#[test]
fn every_worked_case_of_the_document_holds() {
    let cases: Vec<Vec<&str>> = DOC
        .lines()
        .skip_while(|line| *line != "| case | price | quantity | amount |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(cases.len() >= 30, "the table of worked cases is found");
    for case in cases {
        let [_, price, quantity, amount] = case[..] else { panic!("a case has four cells: {case:?}") };
        let (expected, currency) = amount.split_once(' ').expect("amount and currency");
        let computed = charge(&parse_price(price.trim_matches('`')), quantity, currency.parse().unwrap());
        assert_eq!(computed.to_string(), expected, "{price} of {quantity}");
    }
}

/// The amount of one price on its own. Fractions of a unit exist here alone: meters count whole
/// ones.
fn charge(price: &Price, quantity: &str, currency: Currency) -> Decimal {
    price.validate().expect("a valid price");
    let pieces = price.pieces(decimal(quantity));
    let lines: Decimal = pieces.iter().map(|piece| currency.round(&piece.amount).expect("small")).sum();
    let mut total = lines.max(price.minimum.unwrap_or(Decimal::MIN)).min(price.cap.unwrap_or(Decimal::MAX));
    total.rescale(currency.minor_digits());
    total
}

fn parse_price(text: &str) -> Price {
    let (name, rest) = text.split_once(' ').expect("a model and its prices");
    let after =
        |key: &str| rest.split_once(key).map(|(_, value)| value.split_whitespace().next().expect("a value"));
    let number = |key: &str| after(key).map(|value| value.parse::<u64>().expect("a whole number"));
    let price = || decimal(rest.split_whitespace().next().expect("a price"));
    let unit = number("per ").unwrap_or(1);
    let model = match name {
        "per_unit" => Model::PerUnit { price: price(), unit },
        "package" => Model::Package { price: price(), size: unit },
        "flat" => Model::Flat { price: price() },
        "graduated" => Model::Graduated { tiers: rest.split(',').map(parse_tier).collect(), unit },
        "volume" => Model::Volume { tiers: rest.split(',').map(parse_tier).collect(), unit },
        other => panic!("no model {other}"),
    };
    Price {
        meter: Some("api_calls".to_owned()),
        name: "API calls".to_owned(),
        model,
        included: number("included ").unwrap_or(0),
        minimum: after("minimum ").map(decimal),
        cap: after("cap ").map(decimal),
        recurring: false,
    }
}

fn parse_tier(text: &str) -> Tier {
    let (bound, price) = text.split_once('@').expect("bound @ price");
    let (price, flat) = price.split_once('+').unwrap_or((price, "0"));
    let up_to =
        Some(bound.trim()).filter(|bound| *bound != "rest").map(|bound| bound.parse().expect("a bound"));
    Tier { up_to, price: decimal(price.trim()), flat: decimal(flat.trim()) }
}
