use super::*;

fn config(yaml: &str) -> Config {
    Config::parse("odometer.yaml", yaml, []).expect("a sound configuration")
}

fn with_book(book: &str) -> Result<PriceBook, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("prices.yaml");
    std::fs::write(&path, book).expect("write a file");
    let meters = "meters: [{ name: tokens, type: llm.tokens, value: data.tokens, aggregation: sum }]";
    config(&format!("plans: {}\n{meters}", path.display())).price_book()
}

#[test]
fn a_price_book_is_read_and_its_mistakes_have_their_line() {
    let book = |prices: &str| {
        format!(
            "versions:\n  - effective: 2023-09\n    currency: USD\n    plans:\n      free: {{}}\n      plus:\n        prices:\n          - {prices}\n"
        )
    };
    let price = |meter: &str| format!("{{ meter: {meter}, model: per_unit, price: 1 }}");
    assert_eq!(config("region: us").price_book().unwrap(), PriceBook::built_in());
    assert!(with_book(&book(&price("tokens"))).is_ok());
    let error = with_book(&book("{ meter: tokens, model: per_unit, price: -1 }")).unwrap_err().to_string();
    assert!(error.contains("prices.yaml:8: ") && error.contains("is negative"), "{error}");
    let error = with_book(&book(&price("apples"))).unwrap_err().to_string();
    assert!(error.contains("meter apples does not exist"), "{error}");
}

#[test]
fn webhooks_are_checked_before_anything_starts() {
    let good =
        "webhooks: { sales: 'https://example.com/hook', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }";
    let settings = config(good).accounts_settings().unwrap();
    assert_eq!(settings.webhooks.sales.as_deref(), Some("https://example.com/hook"));
    assert_eq!((settings.url.as_str(), settings.test_clock), ("sqlite://odometer.db", false));
    for (yaml, reason) in [
        ("webhooks: { sales: 'https://example.com/hook' }", "webhooks.secret is missing"),
        (
            "webhooks: { notices: 'http://10.0.0.1/', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }",
            "private",
        ),
    ] {
        let error = config(yaml).accounts_settings().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(config("clock: test").accounts_settings().unwrap().test_clock);
}
