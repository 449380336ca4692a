use super::*;

#[test]
fn amounts_are_whole_minor_units_and_more_than_nothing() {
    for (amount, currency, minor_units) in [
        ("356.11", "USD", Some(35_611)),
        ("356.1", "USD", Some(35_610)),
        ("356", "USD", Some(35_600)),
        ("356.110", "USD", Some(35_611)),
        ("0.01", "USD", Some(1)),
        ("356", "JPY", Some(356)),
        ("1.234", "KWD", Some(1_234)),
        ("92233720368547758.07", "USD", Some(i64::MAX)),
        ("0", "USD", None),
        ("0.00", "USD", None),
        ("-1.00", "USD", None),
        ("356.111", "USD", None),
        ("356.1", "JPY", None),
        ("92233720368547758.08", "USD", None),
        ("79228162514264337593543950335", "USD", None),
    ] {
        let made = Amount::new(amount.parse().unwrap(), currency.parse().unwrap());
        assert_eq!(made.map(Amount::minor_units), minor_units, "{amount} {currency}");
    }
}

#[test]
fn an_amount_is_written_with_its_currency_s_digits() {
    for (minor_units, currency, text) in [
        (35_611, "USD", "356.11 USD"),
        (5, "USD", "0.05 USD"),
        (356, "JPY", "356 JPY"),
        (1, "KWD", "0.001 KWD"),
    ] {
        let amount = Amount::of_minor_units(minor_units, currency.parse().unwrap()).unwrap();
        assert_eq!(amount.to_string(), text);
    }
}
