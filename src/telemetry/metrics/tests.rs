use std::collections::BTreeSet;
use std::path::Path;

use ::metrics::{counter, histogram};

use super::registry::markdown;
use super::*;

#[test]
fn what_is_counted_is_rendered_with_its_meaning() {
    let collector = Collector::new();
    let render = collector.render();
    ::metrics::with_local_recorder(&collector, || {
        describe();
        counter!("odometer_events_total", "outcome" => "counted", "reason" => "").increment(7);
        histogram!("odometer_flush_seconds").record(0.5);
    });
    let text = render();
    assert!(text.contains("# TYPE odometer_events_total counter\n"), "{text}");
    assert!(text.contains("# HELP odometer_events_total Events by what became of them"), "{text}");
    assert!(text.contains("odometer_events_total{outcome=\"counted\",reason=\"\"} 7\n"), "{text}");
    assert!(text.contains("odometer_flush_seconds_count 1\n"), "{text}");
    assert!(text.contains("odometer_build_info{version="), "{text}");
}

#[test]
fn names_are_unique_and_end_in_their_unit() {
    let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        assert!(metric.name.starts_with("odometer_"), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Summary, metric.name.ends_with("_seconds"), "{}", metric.name);
        assert!(metric.meaning.ends_with('.'), "{}", metric.name);
    }
}

const DOCUMENTATION: &str = "docs/operations.md";

/// The page's table is made from the code: `UPDATE_DOCS=1 cargo test documentation` writes it.
#[test]
fn the_documentation_shows_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTATION);
    let page = std::fs::read_to_string(&path).unwrap();
    let start = page.find("| metric | kind |").unwrap();
    let end = start + page[start..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, [&page[..start], &markdown(), &page[end..]].concat()).unwrap();
    } else {
        assert_eq!(
            &page[start..end],
            markdown(),
            "UPDATE_DOCS=1 cargo test documentation writes {DOCUMENTATION}"
        );
    }
}
