//! `odometer count` against the oracle: a lane in a file, with every boundary of the window.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use crate::oracle::{Format, Oracle, Totals};
use crate::spine;
use crate::support::kafka::KafkaRecord;
use crate::support::process;

const EVENTS: u64 = 60_000;

#[test]
fn a_file_gives_what_the_oracle_says_event_by_event() {
    let folder = tempfile::tempdir().expect("make a folder");
    let config = spine::configuration().to_string();
    std::fs::write(folder.path().join("odometer.yaml"), config).expect("write a configuration");
    for (format, flag) in
        [(Format::CloudEvents, "cloudevents"), (Format::KafkaLog, "kafka-log"), (Format::Batch, "batch")]
    {
        let mut oracle = Oracle::new("files", spine::rules(format));
        let mut file = BufWriter::new(File::create(folder.path().join(flag)).expect("create a file"));
        for record in spine::Story::new(format, EVENTS, 1) {
            // A file has neither tombstones nor headers nor record times.
            let binary_mode = record.header("ce_id").is_some();
            let Some(value) = record.value.filter(|_| !binary_mode) else { continue };
            if format == Format::Batch {
                let length = u32::try_from(value.len()).expect("a small record");
                file.write_all(&length.to_le_bytes()).expect("write a file");
                file.write_all(&value).expect("write a file");
            } else {
                file.write_all(&[&*value, b"\n"].concat()).expect("write a file");
            }
            oracle.read(&KafkaRecord { value: Some(value), ..KafkaRecord::default() });
        }
        file.flush().expect("write a file");
        let arguments = ["count", flag, "--format", flag, "--output", "json"];
        let mapping = ["--organization", "konnect.org_id", "--region", "konnect.geo"];
        let mapping: &[&str] = if format == Format::KafkaLog { &mapping } else { &[] };
        let ended = process::run(folder.path(), &[&arguments[..], mapping].concat()).expect_code(0);
        let report: Value = serde_json::from_str(&ended.stdout).expect("count prints JSON");
        check(flag, &report, &oracle.totals());
    }
}

fn check(flag: &str, report: &Value, totals: &Totals) {
    let expected = json!({
        "received": totals.received(),
        "counted": totals.counted,
        "duplicate": totals.duplicate,
        "rejected": totals.reasons(),
        "ignored": totals.ignored,
    });
    assert_eq!(report["outcomes"], expected, "{flag}");

    let text = |line: &Value, name: &str| line[name].as_str().expect(name).to_owned();
    let lines = report["usage"].as_array().expect("usage");
    let usage: BTreeMap<_, _> = lines
        .iter()
        .filter(|line| !text(line, "meter").ends_with("services") && line["value"] != json!(0))
        .map(|line| {
            let key =
                (text(line, "organization"), text(line, "region"), text(line, "meter"), text(line, "month"));
            (key, line["value"].as_u64().expect("a value"))
        })
        .collect();
    assert_eq!(usage, totals.usage, "{flag}");

    for shown in report["rejected"].as_array().expect("rejected") {
        let number = |name: &str| shown[name].as_i64().expect(name);
        let identity = ("files".to_owned(), 0, number("line") - 1, number("index") as u32);
        assert_eq!(totals.rejected.get(&identity).copied(), shown["reason"].as_str(), "{flag}: {shown}");
    }
}
