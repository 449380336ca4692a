use super::*;

#[test]
fn numbers_are_grouped_by_thousands() {
    for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_200_345, "1,200,345")] {
        assert_eq!(grouped(value), text);
    }
}

#[test]
fn tables_have_no_escapes_off_a_terminal() {
    let mut table = table(["ORGANIZATION", "CALLS"]);
    table.add_row([cell("acme", Tone::Bad), number(1_200_345_u64)]);
    assert_eq!(table.trim_fmt(), "ORGANIZATION  CALLS\nacme          1,200,345");
}
