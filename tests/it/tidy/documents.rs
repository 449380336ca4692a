//! The documentation knows what the code has.

use std::collections::BTreeSet;

use odometer::config::KEYS;
use odometer::telemetry::METRICS;
use regex::Regex;

use super::{hold, product, tree};

/// Names of metrics in calls of the macros that count.
fn counted_metrics() -> BTreeSet<String> {
    let call = Regex::new(r#"(?s)\b(?:counter|gauge|histogram)!\(\s*"([^"]+)""#).unwrap();
    let files = product();
    files
        .flat_map(|file| call.captures_iter(&file.code).map(|c| c[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_metric_is_described_and_every_description_is_of_a_metric() {
    let counted = counted_metrics();
    assert!(counted.contains("odometer_events_total"), "no metric was found: {counted:?}");
    let described: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let page = tree::read("docs/operations.md");
    let mut findings = Vec::new();
    for name in counted.difference(&described) {
        findings.push(format!("{name}: describe it in src/telemetry/metrics/registry.rs"));
    }
    for name in described.difference(&counted) {
        findings.push(format!("{name}: is described, but nothing counts it"));
    }
    for name in described.iter().filter(|name| !page.contains(&format!("`{name}`"))) {
        findings.push(format!("{name}: docs/operations.md does not have it"));
    }
    hold(&findings);
}

#[test]
fn every_configuration_key_is_documented() {
    let page = tree::read("docs/configuration.md");
    let missing = KEYS.iter().filter(|key| !page.contains(&format!("| `{}` |", key.path)));
    hold(
        &missing
            .map(|key| format!("{}: docs/configuration.md does not have it", key.path))
            .collect::<Vec<_>>(),
    );
}

/// The backticked names in the last column of the table of invariants.
fn named_tests() -> Vec<String> {
    let page = tree::read("docs/architecture.md");
    let name = Regex::new(r"`([^`]+)`").unwrap();
    let start = page.find("| nothing ever").expect("docs/architecture.md has a table of invariants");
    let rows = page[start..].lines().take_while(|line| line.starts_with('|')).skip(2);
    let last_columns = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    last_columns
        .flat_map(|column| name.captures_iter(column).map(|c| c[1].to_owned()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let files: Vec<tree::File> = ["src", "tests", "examples"].into_iter().flat_map(tree::rust).collect();
    let named = named_tests();
    assert!(!named.is_empty());
    let mut findings = Vec::new();
    for name in &named {
        let (module, function) = name.rsplit_once("::").unwrap_or(("", name));
        // `…::name` stands in the module of the name before it.
        let module = module.trim_start_matches('…');
        let is_function = files
            .iter()
            .any(|file| ends_with_module(&file.module(), module) && declares_test(&file.code, function));
        let is_module = files.iter().any(|file| {
            file.path.starts_with("tests/")
                && ends_with_module(&file.module(), name)
                && holds_test(&file.code)
        });
        if !is_function && !is_module {
            findings.push(format!("docs/architecture.md: no test is named {name}"));
        }
    }
    hold(&findings);
}

/// The macro that makes tests of functions that it names.
const ON_BOTH: &str = "on_both_databases! {";

/// `#[test]`, `#[tokio::test(…)]`; not `#[cfg(test)]`.
fn holds_test(text: &str) -> bool {
    ["#[test]", "::test]", "::test(", ON_BOTH].iter().any(|attribute| text.contains(attribute))
}

/// Whether `code` has a function of that name right under the attribute of a test, or named by the macro.
fn declares_test(code: &str, function: &str) -> bool {
    let named = code.split_once(ON_BOTH).and_then(|(_, rest)| rest.split_once('}'));
    if named.is_some_and(|(names, _)| names.split(',').any(|name| name.trim() == function)) {
        return true;
    }
    let declaration = format!("fn {function}(");
    code.match_indices(&declaration).any(|(at, _)| {
        let line = code[..at].rfind('\n').unwrap_or(0);
        let mut attributes =
            code[..line].lines().rev().take_while(|line| line.trim_start().starts_with("#["));
        attributes.any(holds_test)
    })
}

#[test]
fn only_functions_under_the_attribute_are_tests() {
    let code = "#[test]\nfn one() {}\n\n#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\n    async fn two() {}\nfn three() {}\non_both_databases! {\n    four,\n}\n";
    assert_eq!(
        ["one", "two", "three", "four", "five"].map(|name| declares_test(code, name)),
        [true, true, false, true, false]
    );
}

fn ends_with_module(path: &str, module: &str) -> bool {
    module.is_empty() || path == module || path.ends_with(&format!("::{module}"))
}

/// Links between pages, and to files, lead somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(?:#[^)]*)?\)").unwrap();
    let files = tree::tracked();
    let mut findings = Vec::new();
    for page in files.iter().filter(|path| path.ends_with(".md")) {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in link.captures_iter(&tree::read(page)).map(|c| c[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = resolve(folder, &target);
            let leads_somewhere =
                files.iter().any(|file| *file == path || file.starts_with(&format!("{path}/")));
            if !leads_somewhere {
                findings.push(format!("{page}: {target} leads nowhere"));
            }
        }
    }
    hold(&findings);
}

fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
