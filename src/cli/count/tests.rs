use std::io::Write;

use super::*;

fn count(format: FileFormat, files: &[&[u8]]) -> anyhow::Result<Report> {
    let dir = tempfile::tempdir().unwrap();
    let files_dir = tempfile::tempdir().unwrap();
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: 1 << 24, budget: 1 << 24 };
    let cache = Cache::open(&settings).unwrap();
    let mut rules = Config::built_in().rules_of(&Topic {
        name: "files".into(),
        format: format.into(),
        organization: matches!(format, FileFormat::KafkaLog).then(|| "konnect.org_id".into()),
        region: None,
    });
    rules.dedup_window = 2;
    let lane = Lane { topic: "files".into(), topic_id: "".into(), partition: 0 };
    let counter = LaneCounter::from_start(&lane, &rules, &cache).unwrap();
    let mut paths = Vec::new();
    for (number, bytes) in files.iter().enumerate() {
        let path = files_dir.path().join(number.to_string());
        File::create(&path).unwrap().write_all(bytes).unwrap();
        paths.push(path);
    }
    count_files(&paths, format, counter)
}

const REQUEST: &str =
    r#"{"request":{"id":"a"},"service":"s","started_at":1795046400000,"konnect":{"org_id":"acme"}}"#;

#[test]
fn a_line_is_an_offset_over_all_files_and_the_window_is_the_configuration_s() {
    let twice = format!("{REQUEST}\n{{}}\n{REQUEST}");
    let report = count(FileFormat::KafkaLog, &[twice.as_bytes(), REQUEST.as_bytes()]).unwrap();
    assert_eq!((report.outcomes.counted, report.outcomes.duplicate), (1, 2), "{report:?}");
    let far = format!("{REQUEST}\n1\n2\n{REQUEST}\n");
    let report = count(FileFormat::KafkaLog, &[far.as_bytes()]).unwrap();
    assert_eq!((report.outcomes.counted, report.outcomes.duplicate), (2, 0), "three offsets apart");
    assert_eq!(report.usage[0].value, 2);
    assert_eq!(report.outcomes.rejected["malformed"], 2);
    assert_eq!((report.rejected[0].line, report.rejected[1].line), (2, 3));
}

#[test]
fn a_batch_file_that_ends_within_a_record_is_an_error() {
    let error = count(FileFormat::Batch, &[&[9, 0, 0, 0, 1]]).unwrap_err();
    assert!(format!("{error:#}").contains("within a record"), "{error:#}");
}
