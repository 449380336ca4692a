use super::*;
use crate::simulate::traffic::tests::settings;

#[test]
fn what_can_t_be_simulated_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(Format::KafkaLog);
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    };
    for (change, message) in [
        (&(|s: &mut Settings| s.organizations = 0) as &dyn Fn(&mut Settings), "no organizations"),
        (&|s| s.regions.clear(), "no regions"),
        (&|s| s.regions.push("Middle Earth".into()), "\"Middle Earth\""),
        (&|s| s.duplicates = "99.5%".parse().unwrap(), "together over 100%"),
        (&|s| s.month = "2026-12".parse().ok(), "has not begun"),
        (&|s| s.month = "1999-12".parse().ok(), "before 2000"),
        (&|s| s.organization = None, "without a place for the organization"),
        (&|s| s.organization = Some("topic:(.*)".into()), "topic:"),
        (&|s| s.region = Some("topic:(.*)".into()), "topic:"),
        (&|s| s.organization = Some("a..b".into()), "a..b"),
    ] {
        let error = refused(change);
        assert!(error.contains(message), "{error:?} does not say {message:?}");
    }
}

#[test]
fn the_span_ends_before_now() {
    let mut settings = settings(Format::Cloudevents);
    let now = settings.now_ms;
    settings.month = None;
    assert_eq!(settings.span_ms(), (now - HOUR_MS, now));
    let current = Month::containing(now);
    settings.month = Some(current);
    assert_eq!(settings.span_ms(), (current.start_ms(), now));
    settings.month = Some(current.previous());
    assert_eq!(settings.span_ms(), (current.previous().start_ms(), current.start_ms()));
}
