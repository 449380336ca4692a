//! Every mutation of `tests/mutations` still fits the source; `scripts/mutants` applies them one at
//! a time and checks that a test notices each.

use std::path::Path;
use std::process::Command;

/// The rules that no count survives without, each as what happens where it is taken away, and the
/// mutation that does so. More mutations than these are welcome; none of these may go.
const RULES: [(&str, &str); 15] = [
    ("no lock at revocation", "no-lock-at-revocation"),
    ("an insert repeated under its id", "insert-repeated-under-its-id"),
    ("a torn insert taken for success", "torn-insert-taken-for-success"),
    ("no healing", "no-healing"),
    ("no reading again of the window", "window-not-read-again"),
    ("a journal not cut back", "journal-not-cut-back"),
    ("no tenure id", "no-tenure-id"),
    ("doubt without rejoining", "doubt-without-rejoining"),
    ("a refused commit taken for success", "refused-commit-taken-for-success"),
    ("the end taken from the commit", "end-taken-from-the-commit"),
    ("no gate", "no-gate"),
    ("a roll outside the owner's commit", "roll-outside-the-commit"),
    ("data read before the ledger", "data-read-before-the-ledger"),
    ("dropping at once", "dropped-at-once"),
    ("dead letters not awaited", "dead-letters-not-awaited"),
];

#[test]
fn every_rule_has_a_mutation_that_takes_it_away() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations");
    let absent = RULES.iter().filter(|(_, name)| !folder.join(format!("{name}.patch")).is_file());
    let findings: Vec<String> =
        absent.map(|(rule, name)| format!("{rule}: tests/mutations/{name}.patch is not there")).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_mutation_applies_and_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> = std::fs::read_dir(root.join("tests/mutations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    for patch in patches {
        let text = std::fs::read_to_string(&patch).unwrap();
        let named = text.lines().nth(1).and_then(|line| line.strip_prefix("test: "));
        let is_named =
            named.is_some_and(|test| test == "sim" || test.starts_with("lib ") || test.starts_with("it "));
        assert!(is_named, "{}: its second line must be `test: sim|lib FILTER|it FILTER`", patch.display());
        let applied =
            Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(root).output().unwrap();
        let complaint = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{} does not apply: {complaint}", patch.display());
    }
}
