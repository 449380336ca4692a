use super::PriceBook;

/// A book whose Plus prices are the given lines; the first of them is on line 8.
fn book(prices: &str) -> String {
    let indented: String = prices.lines().map(|line| format!("          {line}\n")).collect();
    format!(
        "# prices\nversions:\n  - effective: 2023-09\n    currency: USD\n    plans:\n      free: {{}}\n      plus: {{ prices: [\n{indented}      ] }}\n"
    )
}

#[test]
fn what_has_no_single_meaning_is_refused_with_its_line() {
    let mistakes = [
        ("{ meter: services, model: per_unit, price: -1 }", 8, "is negative"),
        ("{ meter: services, model: per_unit, price: ten }", 8, "is no amount such as 34.25"),
        ("{ meter: services, model: per_unit, price: 1e3 }", 8, "is no amount such as 34.25"),
        ("{ meter: services, model: per_unit, price: 0.0000000000001 }", 8, "too fine"),
        ("{ meter: services, model: per_unit, price: 1000000000001 }", 8, "too great"),
        ("{ meter: services, model: per_unit }", 8, "`price` is missing: the model per_unit needs it"),
        ("{ model: per_unit, price: 1 }", 8, "`meter` is missing"),
        ("{ meter: services, model: per_unit, price: 1, unit: 0 }", 8, "unit is 0"),
        ("{ meter: services, model: per_unit, price: 1, colour: red }", 8, "unknown field `colour`"),
        ("{ meter: services, model: per_hour, price: 1 }", 8, "unknown variant `per_hour`"),
        ("{ meter: services, model: package, price: 1 }", 8, "`unit` is missing"),
        ("{ meter: services, model: flat, price: 1, unit: 5 }", 8, "`unit` means nothing"),
        ("{ meter: services, model: volume, price: 1 }", 8, "`price` means nothing"),
        ("{ meter: services, model: volume, tiers: [] }", 8, "tiers are missing"),
        ("{ meter: services, model: volume, tiers: [{ up_to: 5, price: 1 }] }", 8, "the last tier ends at 5"),
        (
            "{ meter: services, model: graduated, tiers: [{ price: 1 }, { price: 2 }] }",
            8,
            "tier 1 has no `up_to`",
        ),
        (
            "{ meter: services, model: graduated, tiers: [{ up_to: 5 }, { up_to: 5 }, { price: 2 }] }",
            8,
            "tier 2 ends at 5, which is not beyond",
        ),
        ("{ meter: Services, model: per_unit, price: 1 }", 8, "is no meter's name"),
        ("{ meter: services, model: per_unit, price: 1, minimum: 2, cap: 1 }", 8, "minimum 2 is greater"),
        ("{ meter: a, model: per_unit, price: 1 },\n{ meter: b, model: per_unit },", 9, "`price` is missing"),
        (
            "{ meter: a, model: per_unit, price: 1 },\n{ meter: a, model: per_unit, price: 2 },",
            7,
            "meter a is priced twice",
        ),
    ];
    for (prices, line, reason) in mistakes {
        let error = PriceBook::parse(&book(prices)).expect_err(prices);
        assert!(error.reason.contains(reason), "{prices}: {error}");
        assert_eq!(error.line, Some(line), "{prices}: {error}");
    }
}

#[test]
fn a_book_itself_is_checked() {
    let version = "{ effective: 2023-09, currency: USD, plans: { free: {}, plus: {} } }";
    for (yaml, reason) in [
        ("versions: []".to_owned(), "no versions"),
        (format!("versions: [{version}, {version}]"), "2023-09 is listed twice"),
        (version.to_owned(), "unknown field"),
        (version.replace("USD", "usd"), "unknown field"),
        (format!("versions: [{}]", version.replace("USD", "usd")), "no ISO 4217 code"),
        (format!("versions: [{}]", version.replace("2023-09", "2023-09-15")), "not of the form YYYY-MM"),
        (format!("versions: [{}]", version.replace(", plus: {}", "")), "missing field `plus`"),
        (
            format!(
                "versions: [{}]",
                version.replace(
                    "free: {}",
                    "free: { limits: { a: { limit: 1, overage: block }, a: { limit: 2, overage: block } } }"
                )
            ),
            "a is listed twice",
        ),
        (
            format!(
                "versions: [{}]",
                version.replace("free: {}", "free: { limits: { a: { limit: 1, overage: stop } } }")
            ),
            "unknown variant `stop`",
        ),
    ] {
        let error = PriceBook::parse(&yaml).expect_err(&yaml);
        assert!(error.to_string().contains(reason), "{yaml}: {error}");
    }
}

#[test]
fn prices_keep_every_digit_quoted_or_not() {
    for digits in ["0.1", "\"0.1\"", "123456789.123456789012"] {
        let prices = format!("{{ meter: services, model: per_unit, price: {digits} }}");
        let parsed = PriceBook::parse(&book(&prices)).unwrap();
        let json = serde_json::to_string(&parsed.versions().next().unwrap()).unwrap();
        let text = digits.trim_matches('"');
        assert!(json.contains(&format!("\"price\":\"{text}\"")), "{json}");
    }
}

#[test]
fn an_error_reads_well() {
    let error = PriceBook::parse(&book("{ meter: services, model: per_unit, price: -1 }")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("read price book, line 8: "), "{text}");
    assert!(!text.contains("at line"), "{text}");
}

/// A book with one version, of 2023-09, and the given taxes.
fn taxed(taxes: &str) -> String {
    format!(
        "versions: [{{ effective: 2023-09, currency: USD, plans: {{ free: {{}}, plus: {{}} }} }}]\ntaxes: [{taxes}]\n"
    )
}

#[test]
fn a_taxs_name_is_counted_in_characters() {
    let named = |length: usize| {
        let name = "ß".repeat(length);
        PriceBook::parse(&taxed(&format!("{{ name: {name}, rates: [{{ from: 2022-01, percent: 19 }}] }}")))
    };
    assert!(named(64).is_ok());
    assert!(named(65).is_err());
}

#[test]
fn a_month_has_the_taxes_in_force_in_it() {
    let vat = "{ name: VAT, regions: [eu], exempt: [charity], rates: [{ from: 2026-07, percent: 19.50 }, { from: 2022-01, percent: 19 }, { from: 2027-01, percent: 0 }] }";
    let gst = "{ name: GST, rates: [{ from: 2023-09, percent: 5 }] }";
    let book = PriceBook::parse(&taxed(&format!("{vat}, {gst}"))).unwrap();
    let paid = |month: &str, organization: &str, region: &str| {
        let version = book.at(month.parse().unwrap());
        assert_eq!(version.name(), "2023-09");
        let taxes =
            version.taxes.iter().filter(|tax| tax.is_paid_by(organization, Some(region)) == Some(true));
        taxes.map(|tax| format!("{} {}", tax.rate.name, tax.rate.percent)).collect::<Vec<_>>().join(", ")
    };
    for (month, organization, region, expected) in [
        ("2021-12", "acme", "eu", ""),
        ("2022-01", "acme", "eu", "VAT 19"),
        ("2023-08", "acme", "us", ""),
        ("2023-09", "acme", "us", "GST 5"),
        ("2026-06", "acme", "eu", "VAT 19, GST 5"),
        ("2026-07", "acme", "eu", "VAT 19.5, GST 5"),
        ("2026-12", "charity", "eu", "GST 5"),
        ("2027-01", "acme", "eu", "GST 5"),
    ] {
        assert_eq!(paid(month, organization, region), expected, "{organization} of {region} in {month}");
    }
    // Where a home region is not known, what depends on it isn't either.
    let unknown = |organization: &str| -> Vec<Option<bool>> {
        let version = book.at("2026-06".parse().unwrap());
        version.taxes.iter().map(|tax| tax.is_paid_by(organization, None)).collect()
    };
    assert_eq!(unknown("acme"), [None, Some(true)]);
    assert_eq!(unknown("charity"), [Some(false), Some(true)]);
}

#[test]
fn a_book_without_taxes_is_kept_as_before_there_were_any() {
    let json = serde_json::to_string(PriceBook::built_in().at("2026-11".parse().unwrap())).unwrap();
    assert!(!json.contains("taxes"), "{json}");
}

#[test]
fn a_tax_that_has_no_single_meaning_is_refused() {
    let rates = "rates: [{ from: 2022-01, percent: 19 }]";
    for (tax, reason) in [
        (format!("{{ name: \"\", {rates} }}"), "its name is 1 to 64 characters"),
        (format!("{{ name: \"VAT: 1\", {rates} }}"), "its name is"),
        ("{ name: VAT, rates: [] }".to_owned(), "there are no rates"),
        ("{ name: VAT }".to_owned(), "missing field `rates`"),
        ("{ name: VAT, rates: [{ from: 2022-01, percent: 101 }] }".to_owned(), "a percent is 0 to 100"),
        ("{ name: VAT, rates: [{ from: 2022-01, percent: -1 }] }".to_owned(), "a percent is 0 to 100"),
        ("{ name: VAT, rates: [{ from: 2022-01, percent: 1e1 }] }".to_owned(), "is no amount"),
        (
            "{ name: VAT, rates: [{ from: 2022-01, percent: 1 }, { from: 2022-01, percent: 2 }] }".to_owned(),
            "begin in the same month",
        ),
        (
            format!("{{ name: VAT, {rates} }}, {{ name: VAT, regions: [eu], {rates} }}"),
            "listed twice for the same region",
        ),
        (format!("{{ name: VAT, country: DE, {rates} }}"), "unknown field `country`"),
    ] {
        let error = PriceBook::parse(&taxed(&tax)).expect_err(&tax);
        assert!(error.to_string().contains(reason), "{tax}: {error}");
    }
    let apart = format!("{{ name: VAT, regions: [in], {rates} }}, {{ name: VAT, regions: [eu], {rates} }}");
    assert!(PriceBook::parse(&taxed(&apart)).is_ok());
}
