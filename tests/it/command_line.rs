//! What every command promises: exit codes, where words go, and that setting up is safe to repeat.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::deployment::Deployment;
use crate::support::kafka;
use crate::support::process::{Odometer, run, run_unread, run_with};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";
/// A server that does not answer at start is given up within this.
const START: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("make a folder")
}

fn deployment(test: &str) -> Deployment {
    Deployment::new(test, &[json!({ "name": "events", "format": "cloudevents" })], &json!({}))
}

fn parsed(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"))
}

#[test]
fn the_built_in_defaults_are_good() {
    let ended = run(folder().path(), &["validate", "--offline"]).expect_code(0);
    assert!(!ended.stdout.contains('\u{1b}'), "colours off a terminal: {:?}", ended.stdout);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_wrong_configuration_is_exit_78_and_one_line() {
    let folder = folder();
    std::fs::write(folder.path().join("odometer.yaml"), "region: us\nkafka:\n  brokrs: a:1\n").unwrap();
    for command in
        [&["validate"][..], &["setup"], &["ingest"], &["--output", "json", "validate", "--offline"]]
    {
        let ended = run(folder.path(), command).expect_code(78);
        let wanted = "error: odometer.yaml:3: kafka.brokrs: unknown key: did you mean kafka.brokers?\n";
        assert_eq!((ended.stderr.as_str(), ended.stdout.as_str()), (wanted, ""), "{command:?}");
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_file_need_not() {
    let folder = folder();
    let ended = run(folder.path(), &["--config", "mine.yaml", "validate", "--offline"]).expect_code(78);
    assert!(ended.stderr.starts_with("error: mine.yaml: "), "{}", ended.stderr);
    std::fs::write(folder.path().join("mine.yaml"), "region: eu").unwrap();
    let ended = run(folder.path(), &["validate", "--offline", "--config", "mine.yaml"]).expect_code(0);
    assert!(ended.stdout.contains("region eu"), "{}", ended.stdout);
}

#[test]
fn the_environment_is_laid_over_the_file() {
    let folder = folder();
    std::fs::write(folder.path().join("odometer.yaml"), "region: eu").unwrap();
    let command = ["validate", "--offline", "--output", "json"];
    let ended = run_with(folder.path(), &command, &[("ODOMETER__REGION", "au")]).expect_code(0);
    let detail = parsed(&ended.stdout)["checks"][0]["detail"].to_string();
    assert!(detail.contains("region au"), "{detail}");
    run_with(folder.path(), &command, &[("ODOMETER__REGION", "A U")]).expect_code(78);
}

#[test]
fn properties_that_odometer_owns_are_refused() {
    for property in
        ["auto.offset.reset", "enable.auto.commit", "isolation.level", "group.id", "bootstrap.servers"]
    {
        let properties = format!("{{ {property}: x }}");
        let environment = [("ODOMETER__KAFKA__PROPERTIES", properties.as_str())];
        let ended = run_with(folder().path(), &["validate", "--offline"], &environment).expect_code(78);
        assert!(
            ended.stderr.contains(&format!("kafka.properties.{property}: is odometer's own")),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    for command in [&[][..], &["fly"], &["validate", "--ofline"], &["--output", "xml", "validate"]] {
        let ended = run(folder().path(), command).expect_code(2);
        assert_eq!(ended.stdout, "", "{command:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_exit_69_in_time() {
    let nowhere = format!("http://{NOWHERE}");
    let environment = [("ODOMETER__KAFKA__BROKERS", NOWHERE), ("ODOMETER__CLICKHOUSE__URL", &nowhere)];
    let give_up = &|command: &str| {
        let started = Instant::now();
        let ended = run_with(folder().path(), &[command], &environment).expect_code(69);
        assert!(started.elapsed() < START, "{command} took {:?}", started.elapsed());
        let words = ended.stdout + &ended.stderr;
        assert!(words.contains(NOWHERE), "{command} does not name the server: {words}");
    };
    std::thread::scope(|scope| {
        for command in ["validate", "setup", "ingest"] {
            scope.spawn(move || give_up(command));
        }
        // What it logs, and how it failed, nobody reads.
        scope.spawn(|| assert_eq!(run_unread(folder().path(), &["ingest"], &environment), Some(69)));
    });
}

#[test]
fn a_failure_that_nobody_reads_has_its_exit_code() {
    let environment = [("ODOMETER__REGION", "A U")];
    assert_eq!(run_unread(folder().path(), &["validate", "--offline"], &environment), Some(78));
}

#[test]
fn a_secret_is_missed_only_where_it_is_needed() {
    let deployment = deployment("cli_secret");
    let environment = [("ODOMETER__CLICKHOUSE__PASSWORD", "env:THERE_IS_NO_SUCH_VARIABLE")];
    run_with(deployment.folder(), &["validate", "--offline"], &environment).expect_code(0);
    let ended = run_with(deployment.folder(), &["setup"], &environment).expect_code(78);
    assert!(
        ended.stderr.contains("clickhouse.password: is env:THERE_IS_NO_SUCH_VARIABLE"),
        "{}",
        ended.stderr
    );
}

#[test]
fn setting_up_twice_changes_nothing_the_second_time() {
    let deployment = deployment("cli_setup");
    let before = deployment.run(&["validate", "--output", "json"]).expect_code(0);
    assert_eq!(parsed(&before.stdout)["status"], "doubtful", "topics are missing: {}", before.stdout);
    let first = parsed(&deployment.run(&["setup", "--output", "json"]).expect_code(0).stdout);
    let second = parsed(&deployment.run(&["setup", "--output", "json"]).expect_code(0).stdout);
    let topics = |made: &Value, status: &str| {
        let rows = made.as_array().expect("a list of what was made").iter();
        rows.filter(|row| row["what"] == "topic" && row["status"] == status).count()
    };
    assert_eq!((topics(&first, "made"), topics(&second, "was there")), (3, 3), "{first} {second}");
    let after = parsed(&deployment.run(&["validate", "--output", "json"]).expect_code(0).stdout);
    assert_eq!(after["status"], "good", "{after}");
}

#[test]
fn a_compacted_input_is_refused() {
    let deployment = deployment("cli_compacted");
    kafka::create_compacted_topic(&deployment.topic("events"));
    for command in ["validate", "setup"] {
        let ended = deployment.run(&[command]).expect_code(78);
        let words = ended.stdout + &ended.stderr;
        assert!(words.contains("is compacted"), "{command}: {words}");
    }
}

/// A process that still waits for its servers is told to stop.
#[test]
fn stopping_does_not_wait_for_a_server() {
    let folder = folder();
    let nowhere = format!("http://{NOWHERE}");
    let environment = [("ODOMETER__KAFKA__BROKERS", NOWHERE), ("ODOMETER__CLICKHOUSE__URL", &nowhere)];
    let ingest = Odometer::start(folder.path(), "ingest", &["ingest"], &environment);
    // Long enough for it to listen to signals, short enough for it to be waiting still.
    std::thread::sleep(Duration::from_secs(2));
    ingest.stop(Duration::from_secs(5));
}
