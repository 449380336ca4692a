//! Every file of fixtures/ ends as fixtures/expected.txt says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::tests::{RECORDED_MS, Sample, decoder, meter, outcomes, rules};
use super::*;

const FOLDERS: [(&str, Format); 3] =
    [("cloudevents", Format::Cloudevents), ("kafka-log", Format::KafkaLog), ("batch", Format::Batch)];

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The rules that the fixtures are counted by.
pub(super) fn fixture_rules(format: Format) -> Rules {
    let mut rules = rules(format);
    rules.meters = match format {
        Format::Cloudevents => vec![
            meter("completions", "llm.completion", Aggregation::Count, None),
            meter("tokens", "llm.completion", Aggregation::Sum, Some("data.tokens")),
        ],
        Format::KafkaLog => vec![meter("largest", "api.request", Aggregation::Max, Some("response.size"))],
        Format::Batch => vec![meter("tokens", "llm.completion", Aggregation::Sum, Some("data.quantity"))],
    };
    rules
}

/// A record with more than a value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    key: Option<String>,
    /// Left out: the time of all fixtures; null: none.
    #[serde(default = "recorded")]
    timestamp_ms: Option<i64>,
}

fn recorded() -> Option<i64> {
    Some(RECORDED_MS)
}

/// Every record of a format's folder, by file name.
pub(super) fn samples(format: Format) -> BTreeMap<String, Sample> {
    let (folder_name, _) =
        FOLDERS.into_iter().find(|(_, it)| *it == format).expect("a folder for each format");
    let files = fs::read_dir(folder().join(folder_name)).expect("the folder is there");
    let paths = files.map(|file| file.expect("a readable folder").path());
    paths.map(|path| (format!("{folder_name}/{}", file_name(&path)), sample(&path))).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

fn sample(path: &Path) -> Sample {
    let bytes = fs::read(path).expect("a readable file");
    if !file_name(path).ends_with(".record.json") {
        return Sample::new(bytes);
    }
    let envelope: Envelope = serde_json::from_slice(&bytes).expect("an envelope");
    assert_ne!(envelope.key.as_deref(), Some(""), "keys are not empty");
    let value = envelope.value.map(String::into_bytes);
    let decoded = envelope.value_base64.map(|text| BASE64_STANDARD.decode(text).expect("base64"));
    Sample {
        value: value.or(decoded),
        headers: envelope
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.map(String::into_bytes)))
            .collect(),
        timestamp_ms: envelope.timestamp_ms,
    }
}

/// A file's name, then its events indented.
fn expected() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(folder().join("expected.txt")).expect("the table of outcomes");
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut file = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(event) => files.get_mut(&file).expect("a file's name first").push(event.to_owned()),
            None => {
                file = line.to_owned();
                assert!(files.insert(file.clone(), Vec::new()).is_none(), "{file} is there twice");
            }
        }
    }
    files
}

#[test]
fn each_fixture_ends_as_the_table_says() {
    let expected = expected();
    let mut actual = BTreeMap::new();
    for (_, format) in FOLDERS {
        let mut decoder = decoder(&fixture_rules(format));
        actual.extend(
            samples(format).into_iter().map(|(file, sample)| (file, outcomes(&mut decoder, &sample))),
        );
    }
    for (file, lines) in &actual {
        assert_eq!(expected.get(file), Some(lines), "{file}\n  {}", lines.join("\n  "));
    }
    assert_eq!(expected.keys().collect::<Vec<_>>(), actual.keys().collect::<Vec<_>>());
}

#[test]
fn there_is_a_fixture_for_each_reason_that_a_format_can_give() {
    let impossible = [
        // A log without an id is known by its hash, and its time is a number or bad; a batch has no
        // event without a time.
        ("kafka-log", Reason::MissingId),
        ("kafka-log", Reason::MissingTime),
        ("batch", Reason::MissingTime),
        ("batch", Reason::BadTime),
    ];
    for (folder, _) in FOLDERS {
        let lines: BTreeSet<String> = expected()
            .into_iter()
            .filter(|(file, _)| file.starts_with(folder))
            .flat_map(|(_, lines)| lines)
            .collect();
        for reason in Reason::ALL {
            // Nothing contradicts anything until the window of de-duplication.
            let possible = reason != Reason::ConflictingDuplicate && !impossible.contains(&(folder, reason));
            assert_eq!(lines.contains(&format!("rejected {reason}")), possible, "{folder} {reason}");
        }
    }
}

#[test]
fn the_readme_describes_each_fixture() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("fixtures/README.md");
    for file in expected().keys() {
        assert!(readme.contains(&format!("`{file}`")), "fixtures/README.md does not tell what {file} shows");
    }
}
