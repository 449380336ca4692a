use clap::Parser;

use super::*;
use crate::cli::Exit;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    simulate: Simulate,
}

fn parse(line: &str) -> Simulate {
    Line::try_parse_from(format!("simulate --orgs 2 --events 10 {line}").split_whitespace()).unwrap().simulate
}

fn config() -> Config {
    Config::load(None).unwrap()
}

#[test]
fn the_topic_is_the_first_of_the_format() {
    let config = config();
    for (line, format) in [
        ("", Format::Cloudevents),
        ("--format kafka-log", Format::KafkaLog),
        ("--topic gateway.logs", Format::KafkaLog),
        ("--topic gateway.events --format cloudevents", Format::Cloudevents),
    ] {
        assert_eq!(parse(line).topic(&config).unwrap().format, format, "{line}");
    }
    for line in ["--format batch", "--topic nowhere", "--topic gateway.logs --format cloudevents"] {
        assert_eq!(parse(line).topic(&config).unwrap_err().exit, Exit::Usage, "{line}");
    }
}

#[test]
fn the_built_in_configuration_can_be_simulated_in_both_of_its_formats() {
    let config = config();
    for line in ["", "--format kafka-log --regions us,eu --month 2026-01 --duplicates 3 --malformed 1%"] {
        let simulate = parse(line);
        let topic = simulate.topic(&config).unwrap();
        simulate.settings(&config, topic).check().unwrap();
    }
    let (one, other) = (parse(""), parse(""));
    let topic = one.topic(&config).unwrap();
    assert_ne!(one.settings(&config, topic).seed, other.settings(&config, topic).seed);
    assert_eq!(parse("--seed 5").settings(&config, topic).seed, 5);
}

#[test]
fn wrong_usage_is_told_by_clap() {
    for line in [
        "simulate --events 10",
        "simulate --orgs 0 --events 10",
        "simulate --orgs 2 --events 10 --rate 0",
        "simulate --orgs 2 --events 10 --duplicates lots",
        "simulate --orgs 2 --events 10 --month 2026-13",
        "simulate --orgs 2 --events 10 --format xml",
    ] {
        assert_eq!(Line::try_parse_from(line.split(' ')).err().unwrap().exit_code(), 2, "{line}");
    }
}

#[test]
fn the_report_adds_up() {
    let settings =
        parse("--seed 1 --duplicates 3% --malformed 2%").settings(&config(), &config().kafka.topics[0]);
    let mut traffic = Traffic::new(Settings { events: 1_000, ..settings }, 4).unwrap();
    let records = traffic.by_ref().count() as u64;
    let report = report("t", 4, 1, Sent { records, events: 1_000, bytes: 7 }, &traffic.expected());
    let outcomes = &report.outcomes;
    let rejected = outcomes.rejected.values().sum::<u64>();
    let ignored = outcomes.ignored.values().sum::<u64>();
    assert_eq!(outcomes.received, 1_000);
    assert_eq!(outcomes.counted + outcomes.duplicate + rejected + ignored, 1_000);
    assert_eq!((outcomes.duplicate, rejected), (30, 20));
    let text = for_people(&report);
    assert!(text.starts_with("Sent 1,000 events in "), "{text}");
    assert!(text.contains("--seed 1") && text.contains("malformed"), "{text}");
}
