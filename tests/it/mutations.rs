//! Every mutation of `tests/mutations` still fits the source; `scripts/mutants` applies them one at
//! a time and checks that a test notices each.

use std::path::Path;
use std::process::Command;

#[test]
fn every_mutation_applies_and_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> = std::fs::read_dir(root.join("tests/mutations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    assert!(patches.len() >= 15, "design's rules have a mutation each, found {}", patches.len());
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
