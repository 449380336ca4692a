use super::*;
use crate::clock;

fn quantile(summary: &Summary, name: &str) -> f64 {
    let (_, value) = summary.quantiles.iter().find(|(quantile, _)| *quantile == name).unwrap();
    value.unwrap()
}

#[test]
fn quantiles_are_exact_to_one_percent() {
    let latency = Latency::default();
    for ms in 1..=1_000 {
        latency.record(f64::from(ms) / 1_000.0);
    }
    let summary = latency.summary(clock::instant());
    assert_eq!(summary.count, 1_000);
    assert!((summary.sum - 500.5).abs() < 1e-9, "{}", summary.sum);
    for (name, wanted) in [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)] {
        let value = quantile(&summary, name);
        assert!((value - wanted).abs() <= wanted / 100.0, "{name}: {value}");
    }
}

#[test]
fn threads_are_summed_while_they_record_and_after_they_end() {
    let latency = Latency::default();
    let reads = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| latency.record(0.001)));
        }
        (0..100).map(|_| latency.summary(clock::instant()).count).collect::<Vec<_>>()
    });
    assert!(reads.is_sorted(), "{reads:?}");
    assert_eq!(latency.summary(clock::instant()).count, 40_000);
    // The map of an ended thread may be dropped a moment later than its scope.
    while !lock(&latency.threads).is_empty() {
        std::thread::yield_now();
        latency.summary(clock::instant());
    }
}

#[test]
fn quantiles_forget_and_counts_do_not() {
    let latency = Latency::default();
    let start = clock::instant();
    latency.record(9.0);
    latency.summary(start);
    latency.record(1.0);
    assert!(quantile(&latency.summary(start + SPAN), "0.999") > 8.9);
    let late = latency.summary(start + SPAN * 2);
    assert!(quantile(&late, "0.999") < 1.1);
    assert_eq!(late.count, 2);
    let idle = latency.summary(start + SPAN * 4);
    assert_eq!(latency.summary(start + SPAN * 5).quantiles[0].1, None);
    assert_eq!(idle.count, 2);
}

#[test]
fn odd_values_are_recorded_as_the_nearest_sound_one() {
    let latency = Latency::default();
    for seconds in [-1.0, f64::NAN, f64::INFINITY, 0.0] {
        latency.record(seconds);
    }
    let summary = latency.summary(clock::instant());
    assert_eq!(summary.count, 4);
    assert!(summary.sum <= 1_000_001.0);
}

#[test]
fn summaries_are_written_as_prometheus_reads_them() {
    let latencies = Latencies::default();
    latencies.of("odometer_flush_seconds", vec![("topic".into(), "a\"b".into())]).record(0.25);
    let mut text = String::new();
    latencies.render(clock::instant(), &mut text);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# HELP odometer_flush_seconds "), "{text}");
    assert_eq!(lines[1], "# TYPE odometer_flush_seconds summary");
    assert!(lines[2].starts_with("odometer_flush_seconds{topic=\"a\\\"b\",quantile=\"0.5\"} 0.25"), "{text}");
    assert_eq!(lines[6], "odometer_flush_seconds_sum{topic=\"a\\\"b\"} 0.25");
    assert_eq!(lines[7], "odometer_flush_seconds_count{topic=\"a\\\"b\"} 1");
}
