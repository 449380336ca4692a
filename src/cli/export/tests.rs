use std::fs;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::*;

/// More than a group holds.
const MANY: u64 = 150_000;

fn row(organization: &str, value: u64) -> Row<'_> {
    Row { organization, region: "us", meter: "api_calls", month: "2026-11", value }
}

fn written(format: Format, rows: &[(String, u64)]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("make a file");
    let mut out = format.rows(file.reopen().expect("open it")).expect("begin");
    for (organization, value) in rows {
        out.write(row(organization, *value)).expect("write");
    }
    out.finish().expect("finish");
    fs::read(file.path()).expect("read")
}

#[test]
fn parquet_keeps_every_row_in_order_with_statistics() {
    let rows: Vec<(String, u64)> =
        (0..MANY).map(|number| (format!("org-{number:06}"), u64::MAX - number)).collect();
    let reader =
        SerializedFileReader::new(bytes::Bytes::from(written(Format::Parquet, &rows))).expect("Parquet");
    let metadata = reader.metadata();
    assert_eq!(metadata.num_row_groups(), 2);
    let mut last = Vec::new();
    for group in metadata.row_groups() {
        let sorted = group.sorting_columns().expect("sorted");
        assert_eq!(sorted.iter().map(|column| column.column_idx).collect::<Vec<_>>(), [0, 1, 2]);
        for column in group.columns() {
            let statistics = column.statistics().expect("statistics");
            assert_eq!(statistics.null_count_opt(), Some(0));
            assert!(statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some());
        }
        let organizations = group.column(0).statistics().expect("statistics");
        assert!(last.as_slice() < organizations.min_bytes_opt().expect("a least"), "groups are in order");
        last = organizations.max_bytes_opt().expect("a greatest").to_vec();
    }
    let mut found = Vec::new();
    for read in reader.get_row_iter(None).expect("rows") {
        let read = read.expect("a row");
        assert_eq!(read.get_string(1).expect("region"), "us");
        assert_eq!(read.get_string(3).expect("month"), "2026-11");
        found.push((read.get_string(0).expect("organization").clone(), read.get_ulong(4).expect("value")));
    }
    assert!(found == rows, "every row is there, in its order");
}

#[test]
fn names_are_only_names() {
    let name = "=a,\"b\"\r\nc'\\\u{1F600}";
    let csv = String::from_utf8(written(Format::Csv, &[(name.to_owned(), 3)])).expect("UTF-8");
    let quoted = "\"=a,\"\"b\"\"\r\nc'\\\u{1F600}\"";
    assert_eq!(csv, format!("organization,region,meter,month,value\r\n{quoted},us,api_calls,2026-11,3\r\n"));
    let ndjson = String::from_utf8(written(Format::Ndjson, &[(name.to_owned(), 3)])).expect("UTF-8");
    assert_eq!(ndjson.lines().count(), 1);
    let read: serde_json::Value = serde_json::from_str(&ndjson).expect("JSON");
    let expected = serde_json::json!({
        "organization": name, "region": "us", "meter": "api_calls", "month": "2026-11", "value": 3,
    });
    assert_eq!(read, expected);
}

#[test]
fn a_file_without_rows_is_a_file() {
    assert_eq!(written(Format::Csv, &[]), b"organization,region,meter,month,value\r\n");
    assert_eq!(written(Format::Ndjson, &[]), b"");
    let reader =
        SerializedFileReader::new(bytes::Bytes::from(written(Format::Parquet, &[]))).expect("Parquet");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("make a folder");
    let place = folder.path().join("usage.csv");
    fs::write(&place, "old").expect("write");
    let file = NewFile::beside(&place).expect("begin");
    Format::Csv.rows(file.handle().expect("open")).expect("begin").finish().expect("write");
    drop(file);
    assert_eq!(fs::read_to_string(&place).expect("read"), "old");
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "nothing is left behind");
    let file = NewFile::beside(&place).expect("begin");
    Format::Csv.rows(file.handle().expect("open")).expect("begin").finish().expect("write");
    assert_eq!(file.finish().expect("finish"), 39);
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    let folder_as_file = NewFile::beside(folder.path()).err().expect("a folder is no file");
    assert_eq!(folder_as_file.exit, crate::cli::Exit::Usage);
    assert!(NewFile::beside(&folder.path().join("none/usage.csv")).is_err());
}
