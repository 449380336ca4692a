//! Room `simulate` against the oracle: what it says has to come out is what comes out.

use std::collections::BTreeMap;

use odometer::event::Format;
use odometer::simulate::{Settings, SimulatedRecord, Traffic};

use crate::oracle::{self, Oracle, Rules};
use crate::support::kafka::KafkaRecord;

/// 2026-11-24T11:00:00Z
const NOW_MS: i64 = 1_795_518_000_000;
const DAY_MS: i64 = 86_400_000;

fn settings(format: Format) -> Settings {
    let mapping = |path: &str| (format == Format::KafkaLog).then(|| path.to_owned());
    Settings {
        format,
        organization: mapping("konnect.org_id"),
        region: mapping("konnect.geo"),
        default_region: "us".to_owned(),
        regions: vec!["us".to_owned(), "eu".to_owned()],
        organizations: 40,
        events: 30_000,
        duplicates: "5%".parse().expect("a share"),
        malformed: "5%".parse().expect("a share"),
        seed: 17,
        month: "2026-10".parse().ok(),
        now_ms: NOW_MS,
        dedup_window: 4_194_304,
        accept_past_ms: 35 * DAY_MS,
    }
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        format: match settings.format {
            Format::Cloudevents => oracle::Format::CloudEvents,
            Format::KafkaLog => oracle::Format::KafkaLog,
            Format::Batch => oracle::Format::Batch,
        },
        organization: "konnect.org_id",
        region: "konnect.geo",
        default_region: "us",
        dedup_window: i64::try_from(settings.dedup_window).expect("a window"),
        accept_past_ms: settings.accept_past_ms,
        accept_future_ms: 3_600_000,
        max_event_bytes: 1 << 20,
        sums: Vec::new(),
    }
}

fn as_read(record: SimulatedRecord) -> KafkaRecord {
    KafkaRecord {
        partition: record.partition as i32,
        timestamp_ms: Some(record.timestamp_ms),
        key: record.key,
        value: Some(record.value),
        headers: record.headers,
        ..KafkaRecord::default()
    }
}

fn check(settings: Settings) {
    let about = format!("{settings:?}");
    let mut oracle = Oracle::new("t", rules(&settings));
    let mut traffic = Traffic::new(settings, 4).expect("sound settings");
    for record in traffic.by_ref() {
        oracle.read(&as_read(record));
    }
    let (expected, totals) = (traffic.expected(), oracle.totals());
    let outcomes = &expected.outcomes;
    let reasons: BTreeMap<&str, u64> =
        outcomes.rejected.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    let ignored: BTreeMap<&str, u64> =
        outcomes.ignored.iter().map(|(detail, n)| (detail.as_str(), *n)).collect();
    assert_eq!(reasons, totals.reasons(), "{about}");
    assert_eq!(ignored, totals.ignored, "{about}");
    assert_eq!((outcomes.counted, outcomes.duplicate), (totals.counted, totals.duplicate), "{about}");

    let mut counted = totals.usage;
    let months: Vec<String> = counted.keys().map(|key| key.3.clone()).collect();
    for month in months {
        for ((organization, region), (services, published)) in
            totals.register.counts(oracle::month_bounds(&month).1)
        {
            for (meter, value) in [("services", services), ("published_services", published)] {
                if value > 0 {
                    counted.insert(
                        (organization.clone(), region.clone(), meter.to_owned(), month.clone()),
                        value,
                    );
                }
            }
        }
    }
    let lines = expected.usage.into_iter();
    let expected: BTreeMap<_, _> = lines
        .map(|line| {
            ((line.organization, line.region, line.meter.to_owned(), line.month.to_string()), line.value)
        })
        .collect();
    assert_eq!(expected, counted, "{about}");
}

#[test]
fn the_expected_counts_are_what_the_records_give() {
    for format in [Format::Cloudevents, Format::KafkaLog, Format::Batch] {
        let settings = settings(format);
        check(settings.clone());
        check(Settings { month: None, seed: 18, ..settings.clone() });
        check(Settings { month: None, now_ms: 1_793_491_200_000 + 600_000, ..settings.clone() });
        // A window and a patience so short that repeats are hard to place.
        check(Settings { dedup_window: 8, accept_past_ms: 3 * DAY_MS, ..settings.clone() });
        check(Settings { dedup_window: 1, month: "2024-02".parse().ok(), ..settings.clone() });
        check(Settings { duplicates: "60%".parse().expect("a share"), events: 2_000, ..settings });
    }
}
