use super::*;
use crate::aggregate::Fold;
use crate::snapshot::register::ServiceCounts;

#[test]
fn values_come_in_order_and_services_only_where_there_are_any() {
    let mut totals = Totals::default();
    for (region, meter, fold, value) in [
        ("us", "tokens", Fold::Sum, 7),
        ("us", "api_calls", Fold::Sum, 0),
        ("eu", "peak_size", Fold::Sum, 1),
        ("eu", "peak_size", Fold::Max, 9),
    ] {
        totals.add(&region.into(), &meter.into(), Amount::new(fold, value));
    }
    totals.regions.get_mut("us").expect("a region").services = ServiceCounts { services: 2, published: 0 };
    let usage = OrganizationUsage { organization: "acme".to_owned(), totals };
    let found: Vec<_> = usage.values().map(|value| (value.region, value.meter, value.value)).collect();
    assert_eq!(
        found,
        [("eu", "peak_size", 10), ("us", "api_calls", 0), ("us", "services", 2), ("us", "tokens", 7)]
    );
}
