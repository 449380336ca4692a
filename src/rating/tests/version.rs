use super::*;

fn fixture(name: &str) -> PriceBook {
    let path = format!("{}/fixtures/price-books/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let yaml = std::fs::read_to_string(&path).expect("a fixture");
    PriceBook::parse(&yaml).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_three_price_books_price_the_same_month() {
    let november = month("2026-11");
    let usage = Fixed(&[("services", 3), ("api_calls", 2_500_000)]);
    for (name, amount) in [("2021", "750.00"), ("2023-09", "400.63"), ("2024", "300.00")] {
        let book = fixture(name);
        let rated = rate(book.at(november), november, &[plus_since_2020()], &usage).unwrap();
        assert_eq!(rated.amount.to_string(), amount, "{name}");
    }
    let limit = fixture("2024").at(november).plus.limits["api_calls"];
    assert_eq!(limit, Limit { limit: 10_000_000, overage: Overage::Block });
}

#[test]
fn a_month_has_the_prices_in_force_in_it() {
    let yaml = "
versions:
  - { effective: 2025-01, currency: USD, plans: { free: {}, plus: {} } }
  - { effective: 2023-09, currency: USD, plans: { free: {}, plus: {} } }
";
    let book = PriceBook::parse(yaml).unwrap();
    for (text, name) in [
        ("2020-05", "2023-09"),
        ("2023-09", "2023-09"),
        ("2024-12", "2023-09"),
        ("2025-01", "2025-01"),
        ("2030-01", "2025-01"),
    ] {
        assert_eq!(book.at(month(text)).name(), name, "{text}");
    }
}

#[test]
fn a_book_has_one_currency() {
    let yaml = "
versions:
  - { effective: 2025-01, currency: EUR, plans: { free: {}, plus: {} } }
  - { effective: 2023-09, currency: USD, plans: { free: {}, plus: {} } }
";
    let refused = PriceBook::parse(yaml).unwrap_err();
    assert!(refused.reason.contains("2025-01 has another currency"), "{}", refused.reason);
}

#[test]
fn a_version_is_kept_as_json_and_read_back() {
    let version = PriceBook::built_in().versions().next().unwrap().clone();
    let json = serde_json::to_string(&version).unwrap();
    let read: PriceBookVersion = serde_json::from_str(&json).unwrap();
    assert_eq!(read, version);
    assert_eq!(read.digest(), version.digest());
    let mut other = version.clone();
    other.plus.prices[0].included = 1;
    assert_ne!(other.digest(), version.digest());
}

#[test]
fn the_meters_of_a_book_are_listed_once() {
    let book = PriceBook::built_in();
    assert_eq!(book.meters(), ["api_calls", "published_services", "regions", "services"]);
}
