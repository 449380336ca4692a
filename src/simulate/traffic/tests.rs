use std::collections::{HashMap, HashSet};

use super::*;
use crate::event::Reason;
use crate::simulate::Share;

/// 2026-11-24T11:00:00Z
const NOW_MS: i64 = 1_795_518_000_000;

pub(in crate::simulate) fn settings(format: Format) -> Settings {
    let mapping = |path: &str| (format == Format::KafkaLog).then(|| path.to_owned());
    Settings {
        format,
        organization: mapping("konnect.org_id"),
        region: mapping("konnect.geo"),
        default_region: "us".to_owned(),
        regions: vec!["us".to_owned(), "eu".to_owned()],
        organizations: 50,
        events: 20_000,
        duplicates: "3%".parse().unwrap(),
        malformed: "1%".parse().unwrap(),
        seed: 7,
        month: "2026-10".parse().ok(),
        now_ms: NOW_MS,
        dedup_window: 4_194_304,
        accept_past_ms: 35 * 24 * HOUR_MS,
    }
}

const FORMATS: [Format; 3] = [Format::Cloudevents, Format::KafkaLog, Format::Batch];

fn run(settings: Settings) -> (Vec<SimulatedRecord>, Expected) {
    let mut traffic = Traffic::new(settings, 4).unwrap();
    let records: Vec<_> = traffic.by_ref().collect();
    (records, traffic.expected())
}

#[test]
fn the_shares_come_out_exactly() {
    for format in FORMATS {
        let (records, expected) = run(settings(format));
        let outcomes = &expected.outcomes;
        assert_eq!(records.iter().map(|record| record.events).sum::<u64>(), 20_000, "{format:?}");
        assert_eq!(outcomes.received(), 20_000, "{format:?}");
        assert_eq!(outcomes.duplicate, 600, "{format:?}");
        assert_eq!(outcomes.rejected_total(), 200, "{format:?}");
        let wanted: HashSet<Reason> = faults(format).iter().map(|(fault, _)| fault.reason()).collect();
        assert_eq!(outcomes.rejected.keys().copied().collect::<HashSet<_>>(), wanted, "{format:?}");
        assert!(outcomes.ignored_total() > 0, "{format:?}");
    }
}

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_gives_other_ids() {
    for format in FORMATS {
        let first = run(settings(format));
        let later = Settings { now_ms: NOW_MS + 60_000, ..settings(format) };
        assert!(run(later) == first, "{format:?}");
        let other = run(Settings { seed: 8, ..settings(format) });
        let values: HashSet<&[u8]> = first.0.iter().map(|record| &record.value[..]).collect();
        assert!(other.0.iter().all(|record| !values.contains(&record.value[..])), "{format:?}");
    }
}

#[test]
fn every_organization_calls_and_the_greatest_calls_most() {
    for format in FORMATS {
        let (_, expected) = run(settings(format));
        let mut calls: HashMap<&str, u64> = HashMap::new();
        for line in expected.usage.iter().filter(|line| line.meter == "api_calls") {
            *calls.entry(&line.organization).or_default() += line.value;
        }
        assert_eq!(calls.len(), 50, "{format:?}");
        let greatest = calls.iter().max_by_key(|(_, calls)| **calls).unwrap();
        assert_eq!(*greatest.0, organizations::name(0), "{format:?}");
    }
}

#[test]
fn records_are_of_the_past_and_not_before_their_events() {
    for month in ["2026-10", "2026-11"] {
        let settings = Settings { month: month.parse().ok(), ..settings(Format::KafkaLog) };
        let (start, _) = settings.span_ms();
        let (records, _) = run(settings);
        assert!(records.iter().all(|record| start <= record.timestamp_ms && record.timestamp_ms <= NOW_MS));
    }
}

#[test]
fn both_edges_of_the_month_are_hit() {
    let (records, _) = run(settings(Format::KafkaLog));
    let month: Month = "2026-10".parse().unwrap();
    let text = |record: &SimulatedRecord| String::from_utf8_lossy(&record.value).into_owned();
    let edges = [month.start_ms(), month.end_ms() - 1];
    for edge in edges {
        assert!(
            records.iter().any(|record| text(record).contains(&format!("\"started_at\":{edge},"))),
            "{edge}"
        );
    }
}

#[test]
fn an_hour_across_midnight_gives_both_months_their_own() {
    let midnight = Month::containing(NOW_MS).start_ms();
    let settings = Settings { month: None, now_ms: midnight + HOUR_MS / 3, ..settings(Format::Cloudevents) };
    let (_, expected) = run(settings);
    let of = |month: &str, meter: &str| -> u64 {
        let lines =
            expected.usage.iter().filter(|line| line.month.to_string() == month && line.meter == meter);
        lines.map(|line| line.value).sum()
    };
    assert!(of("2026-10", "api_calls") > of("2026-11", "api_calls"));
    // What was there at the end of October is still there now, and more.
    assert!(of("2026-11", "services") > of("2026-10", "services"));
    assert!(of("2026-10", "services") > 0);
}

#[test]
fn sizes_are_those_of_real_records() {
    for (format, least, greatest) in
        [(Format::Cloudevents, 240, 340), (Format::KafkaLog, 2_000, 3_100), (Format::Batch, 9_000, 20_000)]
    {
        let (records, _) = run(settings(format));
        let typical: Vec<usize> = records
            .iter()
            .filter(|record| record.headers.len() < 2 && (record.events == 1 || format == Format::Batch))
            .map(|record| record.value.len())
            .collect();
        let mean = typical.iter().sum::<usize>() / typical.len();
        assert!((least..greatest).contains(&mean), "{format:?}: {mean} bytes");
    }
}

#[test]
fn a_duplicate_is_in_its_original_s_partition_and_near() {
    let window = 40;
    let settings = Settings { dedup_window: window, ..settings(Format::KafkaLog) };
    let (records, expected) = run(settings);
    let mut lanes = vec![(0_u64, HashMap::<String, u64>::new()); 4];
    let mut duplicates = 0;
    for record in &records {
        let (offset, seen) = &mut lanes[record.partition as usize];
        for part in String::from_utf8_lossy(&record.value).split("\"request\":{\"id\":\"").skip(1) {
            if let Some(before) = seen.insert(part[..32].to_owned(), *offset) {
                assert!(*offset - before <= window / WINDOW_PART);
                duplicates += 1;
            }
        }
        *offset += 1;
    }
    let conflicts = expected.outcomes.rejected[&Reason::ConflictingDuplicate];
    // Events without an id are repeated too.
    assert!(duplicates <= expected.outcomes.duplicate + conflicts);
    assert!(duplicates > (expected.outcomes.duplicate + conflicts) * 9 / 10);
}

#[test]
fn the_smallest_runs_work() {
    for format in FORMATS {
        for events in 0..4 {
            let everything = Settings {
                events,
                duplicates: "50%".parse().unwrap(),
                malformed: "50%".parse().unwrap(),
                ..settings(format)
            };
            let (_, expected) = run(everything);
            assert_eq!(expected.outcomes.received(), events, "{format:?}");
        }
        let (_, expected) =
            run(Settings { month: None, accept_past_ms: 0, dedup_window: 1, ..settings(format) });
        assert_eq!(expected.outcomes.received(), 20_000, "{format:?}");
    }
}

#[test]
fn a_mapping_by_path_or_header_is_followed() {
    let settings = Settings {
        organization: Some("request.headers.x-org".to_owned()),
        region: Some("header:geo".to_owned()),
        malformed: Share::NONE,
        ..settings(Format::KafkaLog)
    };
    let (records, expected) = run(settings);
    assert_eq!(expected.outcomes.rejected_total(), 0);
    for record in records {
        let event: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        assert!(event["request"]["headers"]["x-org"].is_string());
        assert!(event["konnect"].get("org_id").is_none());
        let [(name, region)] = &record.headers[..] else { panic!("one header") };
        assert!(name == "geo" && (region == b"us" || region == b"eu"));
    }
}
