use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::event::HOUR_MS;
use crate::rating::period::spans_of_plans;

fn price_of(model: Model, included: u64) -> Price {
    Price {
        meter: Some("api_calls".to_owned()),
        name: "API calls".to_owned(),
        model,
        included,
        minimum: None,
        cap: None,
        recurring: false,
    }
}

/// 0.0000 to 999.9999.
fn amount() -> impl Strategy<Value = Decimal> {
    (0_i64..10_000_000, 0_u32..=4).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

fn tiers() -> impl Strategy<Value = Vec<Tier>> {
    let tier = (1_u64..5_000, amount(), amount());
    (vec(tier, 0..6), amount(), amount()).prop_map(|(bounded, price, flat)| {
        let mut end = 0;
        let mut tiers: Vec<Tier> = bounded
            .into_iter()
            .map(|(length, price, flat)| {
                end += length;
                Tier { up_to: Some(end), price, flat }
            })
            .collect();
        tiers.push(Tier { up_to: None, price, flat });
        tiers
    })
}

/// Models whose amount never falls as the quantity rises; volume prices may fall.
fn rising_model() -> impl Strategy<Value = Model> {
    prop_oneof![
        (amount(), 1_u64..2_000).prop_map(|(price, unit)| Model::PerUnit { price, unit }),
        (tiers(), 1_u64..2_000).prop_map(|(tiers, unit)| Model::Graduated { tiers, unit }),
        (amount(), 1_u64..2_000).prop_map(|(price, size)| Model::Package { price, size }),
        amount().prop_map(|price| Model::Flat { price }),
    ]
}

fn rounded(price: &Price, quantity: u64) -> Decimal {
    let usd: Currency = "USD".parse().expect("a currency");
    price.pieces(quantity.into()).iter().map(|piece| usd.round(&piece.amount).expect("small")).sum()
}

fn exact(price: &Price, quantity: u64) -> Fraction {
    price.pieces(quantity.into()).iter().fold(Fraction::zero(), |sum, piece| sum.plus(&piece.amount))
}

/// The first `count` cuts divide November into alternating periods.
fn alternating(mut cuts: Vec<i64>) -> Vec<PlanPeriod> {
    let november = month("2026-11");
    cuts.extend([0, november.end_ms() - november.start_ms()]);
    cuts.sort_unstable();
    cuts.dedup();
    let plans = [Plan::Plus, Plan::Free];
    let pairs = cuts.windows(2).enumerate();
    pairs
        .map(|(number, pair)| PlanPeriod {
            plan: plans[number % 2],
            trial: false,
            from_ms: november.start_ms() + pair[0],
            to_ms: Some(november.start_ms() + pair[1]),
        })
        .collect()
}

/// One call in each hour; as many services as the day of the month.
struct Steady;

impl MonthUsage for Steady {
    fn quantity(&self, meter: &str, spans: &[Span]) -> u64 {
        match meter {
            "api_calls" => spans.iter().map(|span| span.hours().len() as u64).sum(),
            _ => {
                let days = |span: &Span| (span.to_ms - 1 - month("2026-11").start_ms()) as u64 / 86_400_000;
                spans.iter().map(days).max().unwrap_or(0)
            }
        }
    }

    fn adds_up(&self, meter: &str) -> bool {
        meter == "api_calls"
    }
}

fn november_costs(periods: &[PlanPeriod]) -> Rated {
    let november = month("2026-11");
    rate(PriceBook::built_in().at(november), november, periods, &Steady).expect("sound periods")
}

proptest! {
    #[test]
    fn more_usage_never_costs_less(model in rising_model(), included in 0_u64..3_000, quantity in 0_u64..20_000, more in 0_u64..5_000) {
        let price = price_of(model, included);
        prop_assert!(rounded(&price, quantity) <= rounded(&price, quantity + more));
    }

    /// The tiers' own amounts, summed by a loop over single units.
    #[test]
    fn graduated_tiers_sum_to_the_price_of_each_unit(tiers in tiers(), quantity in 0_u64..3_000) {
        let price_of_unit = |number: u64| {
            let tier = tiers.iter().find(|tier| tier.up_to.is_none_or(|up_to| number <= up_to));
            tier.expect("the last tier has no end").price
        };
        let entered = |index: usize| index == 0 || tiers[index - 1].up_to.is_some_and(|up_to| quantity > up_to);
        let flats: Decimal = tiers.iter().enumerate().filter(|(index, _)| entered(*index)).map(|(_, tier)| tier.flat).sum();
        let units: Decimal = (1..=quantity).map(price_of_unit).sum();
        let price = price_of(Model::Graduated { tiers: tiers.clone(), unit: 1 }, 0);
        prop_assert_eq!(exact(&price, quantity), Fraction::from(flats + units));
    }

    #[test]
    fn one_tier_is_a_price_per_unit(price in amount(), unit in 1_u64..2_000, quantity in 0_u64..20_000) {
        let tiers = vec![Tier { up_to: None, price, flat: Decimal::ZERO }];
        let per_unit = exact(&price_of(Model::PerUnit { price, unit }, 0), quantity);
        prop_assert_eq!(&exact(&price_of(Model::Graduated { tiers: tiers.clone(), unit }, 0), quantity), &per_unit);
        prop_assert_eq!(&exact(&price_of(Model::Volume { tiers, unit }, 0), quantity), &per_unit);
    }

    #[test]
    fn quantities_of_the_lines_sum_to_the_usage(model in rising_model(), included in 0_u64..3_000, quantity in 0_u64..20_000) {
        prop_assume!(!matches!(model, Model::Flat { .. }));
        let has_flat = matches!(&model, Model::Graduated { tiers, .. } if tiers.iter().any(|tier| tier.price.is_zero()));
        prop_assume!(!has_flat);
        let pieces = price_of(model, included).pieces(quantity.into());
        let sum: Decimal = pieces.iter().filter(|piece| !matches!(piece.part, price::Part::TierFlat(_))).map(|piece| piece.quantity).sum();
        prop_assert_eq!(sum, Decimal::from(quantity));
    }

    #[test]
    fn rounding_is_within_half_a_cent_and_symmetric(numerator in -1_000_000_000_i64..1_000_000_000, denominator in 1_u64..1_000_000) {
        let usd: Currency = "USD".parse().expect("a currency");
        let exact = Fraction::from(Decimal::from(numerator)).divided_by(denominator);
        let cents = i128::from(numerator) * 100;
        let size = (2 * cents.abs() + i128::from(denominator)) / (2 * i128::from(denominator));
        let expected = Decimal::from_i128_with_scale(size * cents.signum(), 2);
        prop_assert_eq!(usd.round(&exact), Some(expected));
        let mirrored = Fraction::from(Decimal::from(-numerator)).divided_by(denominator);
        prop_assert_eq!(usd.round(&mirrored), Some(-expected));
    }

    #[test]
    fn the_total_is_the_sum_of_the_lines_in_whatever_order_the_periods_come(
        cuts in vec(0_i64..2_592_000_000, 0..8), seed in any::<u64>(),
    ) {
        let periods = alternating(cuts);
        let rated = november_costs(&periods);
        prop_assert_eq!(rated.amount, rated.lines.iter().map(|line| line.amount).sum::<Decimal>());
        let mut shuffled = periods;
        let mut state = seed;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(index, (state >> 33) as usize % (index + 1));
        }
        prop_assert_eq!(november_costs(&shuffled), rated);
    }

    /// Splitting a period in two on the same plan is no change of plan.
    #[test]
    fn a_cut_that_changes_nothing_costs_nothing(cuts in vec(0_i64..2_592_000_000, 0..6), share in 1_i64..1000) {
        let periods = alternating(cuts);
        let mut split = periods.clone();
        let first = &mut split[0];
        let end = first.to_ms.expect("alternating periods end");
        let middle = first.from_ms + (end - first.from_ms) * share / 1000;
        prop_assume!(middle > first.from_ms);
        first.to_ms = Some(middle);
        let second = PlanPeriod { from_ms: middle, to_ms: Some(end), ..*first };
        split.push(second);
        prop_assert_eq!(november_costs(&split), november_costs(&periods));
    }

    /// Leaving a plan for a while never costs more than staying.
    #[test]
    fn time_off_the_plan_never_costs(cuts in vec(0_i64..2_592_000_000, 0..8)) {
        let periods = alternating(cuts);
        let whole = [on(Plan::Plus, "2026-11-01T00:00:00Z", None)];
        prop_assert!(november_costs(&periods).amount <= november_costs(&whole).amount);
    }

    /// However the plan changes, at most four of the hours in which Plus was held are billed by nobody,
    /// and no hour is billed twice.
    #[test]
    fn few_hours_of_a_plan_are_free(cuts in vec(0_i64..259_200_000, 0..200)) {
        let november = month("2026-11");
        let plans = spans_of_plans(november, &alternating(cuts), HourRule::CURRENT).expect("sound periods");
        let hours_of = |plan| plans.get(&plan).into_iter().flatten().flat_map(Span::hours).collect::<Vec<u32>>();
        let (plus, free) = (hours_of(Plan::Plus), hours_of(Plan::Free));
        let held: std::collections::BTreeSet<u32> = plans[&Plan::Plus].iter().flat_map(|span| {
            (span.from_ms / HOUR_MS) as u32..((span.to_ms + HOUR_MS - 1) / HOUR_MS) as u32
        }).collect();
        let once: std::collections::BTreeSet<u32> = plus.iter().chain(&free).copied().collect();
        prop_assert_eq!(once.len(), plus.len() + free.len(), "an hour is billed twice");
        prop_assert!(plus.iter().all(|hour| held.contains(hour)), "an hour without Plus is billed by it");
        prop_assert!(held.len() - plus.len() <= usize::from(HourRule::CURRENT.free), "{} of {} hours", plus.len(), held.len());
    }
}
