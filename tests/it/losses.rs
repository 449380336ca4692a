//! What Kafka no longer has when it is to be counted: told by the ledger, by `complete`, by `doctor`
//! and by a metric, while everything else goes on. And what only looks like a loss: commits that
//! expired, offsets that an operator has reset.

use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::await_received;
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

/// What retention drops before it is counted, of `cut`; the topic `remade` is deleted and made again.
const TOPICS: [&str; 3] = ["cut", "remade", "steady"];
const STOP: Duration = Duration::from_secs(25);

struct Story {
    deployment: Deployment,
    sent: u64,
}

impl Story {
    fn new() -> Self {
        let topics = TOPICS.map(|name| json!({ "name": name, "format": "cloudevents" }));
        let deployment =
            Deployment::new("losses", &topics, &json!({ "metering": { "roll_interval": "3s" } }));
        for topic in TOPICS {
            kafka::create_topic(&deployment.topic(topic), 1);
        }
        Self { deployment, sent: 0 }
    }

    /// Sends so many events of now, each of its own.
    fn send(&mut self, topic: &str, events: u64) {
        let producer = KafkaProducer::new();
        let now = odometer::clock::Clock::System.now();
        for number in self.sent..self.sent + events {
            let value = format!(
                r#"{{"specversion":"1.0","id":"{number}","source":"/g","type":"api.request","time":"{now}","subject":"{topic}"}}"#
            );
            let value = Some(value.into_bytes());
            producer.send(&self.deployment.topic(topic), &KafkaRecord { value, ..KafkaRecord::default() });
        }
        producer.flush();
        self.sent += events;
    }

    fn start(&self, name: &str) -> Odometer {
        self.deployment.start(name, &["run"])
    }

    fn await_received(&self, odometer: &mut Odometer, events: u64) {
        await_received(&self.deployment, odometer, events.into());
    }

    /// The calls of each topic's organization, as the API has them.
    fn calls(&self) -> [u64; 3] {
        TOPICS.map(|topic| self.usage(topic)["usage"]["api_calls"].as_u64().expect("a count"))
    }

    fn usage(&self, organization: &str) -> Value {
        let path = format!("/v1/organizations/{organization}/usage");
        let http = self.deployment.http();
        wait_until("serve to answer", Duration::from_secs(30), || http.get_ok(&path))
    }

    fn await_calls(&self, expected: [u64; 3]) {
        wait_until("the API to have everything", Duration::from_secs(30), || match self.calls() {
            calls if calls == expected => Ok(()),
            calls => Err(format!("{calls:?}")),
        });
    }

    /// Where a log ends is looked at once a second.
    fn await_complete(&self) {
        wait_until("everything to be known", Duration::from_secs(30), || match self.usage("steady") {
            answer if answer["complete"] == json!(true) => Ok(()),
            answer => Err(answer.to_string()),
        });
    }

    /// (topic, first, next, loss) of the ledger's rows that tell of a loss.
    fn losses(&self) -> Vec<Vec<String>> {
        clickhouse::rows(&format!(
            "SELECT topic, first_offset, next_offset, loss FROM {} WHERE loss != '' ORDER BY topic, first_offset",
            self.deployment.table("ledger")
        ))
    }
}

#[test]
fn what_kafka_lost_is_told_and_the_rest_goes_on() {
    let mut story = Story::new();
    let mut odometer = story.start("before");
    TOPICS.iter().for_each(|topic| story.send(topic, 300));
    story.await_received(&mut odometer, 900);
    story.await_calls([300, 300, 300]);
    story.await_complete();

    // Made again while it is owned.
    make_again(&story);
    story.send("remade", 40);
    story.send("steady", 10);
    story.await_received(&mut odometer, 950);
    story.await_calls([300, 340, 310]);
    odometer.stop(STOP);

    // Retention that is shorter than an outage.
    TOPICS.iter().for_each(|topic| story.send(topic, 100));
    kafka::delete_records(&story.deployment.topic("cut"), 0, 350);
    let mut odometer = story.start("after");
    story.await_received(&mut odometer, 950 + 250);
    story.await_calls([350, 440, 410]);
    check_told(&story);
    story.send("cut", 5);
    story.await_received(&mut odometer, 950 + 250 + 5);
    story.await_calls([355, 440, 410]);
    // A roll does not hide it.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(story.losses().len(), 1);
    odometer.stop(STOP);
    let audited = story.deployment.run(&["audit", "--recount", "--output", "json"]).expect_code(0);
    let report: Value = serde_json::from_str(&audited.stdout).expect("JSON");
    assert_eq!(report["losses"].as_array().expect("losses").len(), 1, "{report}");
}

fn make_again(story: &Story) {
    let remade = story.deployment.topic("remade");
    kafka::delete_topic(&remade);
    wait_until("the topic to be made again", Duration::from_secs(30), || {
        std::panic::catch_unwind(|| kafka::create_topic(&remade, 1)).map_err(|_| "it is still there")
    });
}

/// Seen, but counted by nobody, for want of a table.
#[test]
fn records_that_were_not_counted_when_their_topic_was_deleted_are_told() {
    let mut story = Story::new();
    let mut odometer = story.start("before");
    TOPICS.iter().for_each(|topic| story.send(topic, 100));
    story.await_received(&mut odometer, 300);
    let (counts, away) = (story.deployment.table("counts"), story.deployment.table("away"));
    clickhouse::execute(&format!("RENAME TABLE {counts} TO {away}"));
    story.send("remade", 70);
    let seen = format!(
        "SELECT max(high) FROM {} WHERE topic = '{}'",
        story.deployment.table("watermarks"),
        story.deployment.topic("remade")
    );
    wait_until("the log's end to be seen", Duration::from_secs(30), || match &*clickhouse::value(&seen) {
        "170" => Ok(()),
        high => Err(high.to_owned()),
    });
    odometer.kill();
    clickhouse::execute(&format!("RENAME TABLE {away} TO {counts}"));
    make_again(&story);
    story.send("remade", 5);
    let mut odometer = story.start("after");
    story.await_received(&mut odometer, 305);
    story.await_calls([100, 105, 100]);

    let losses = story.losses();
    let [topic, first, next, told] = &losses[0][..] else { panic!("four columns") };
    assert_eq!((losses.len(), &**first, &**next), (1, "0", "0"), "{losses:?}");
    assert!(*topic == story.deployment.topic("remade") && told.contains("at most 70 records"), "{told}");
    assert_eq!(story.usage("steady")["complete"], json!(false));
    let metric = story.deployment.http().metric("odometer_losses_total", topic).expect("metrics");
    assert!((metric - 1.0).abs() < f64::EPSILON, "{metric}");
    odometer.stop(STOP);
    let doctor = story.deployment.run(&["doctor", "--output", "json"]).expect_code(1).stdout;
    assert!(doctor.contains("at most 70 records"), "{doctor}");
    story.deployment.run(&["audit", "--recount"]).expect_code(0);
}

fn check_told(story: &Story) {
    let losses = story.losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    let [topic, first, next, told] = &losses[0][..] else { panic!("four columns") };
    assert_eq!((&**first, &**next), ("300", "350"), "{losses:?}");
    assert!(*topic == story.deployment.topic("cut") && told.contains("at most 50 records"), "{losses:?}");

    let answer = story.usage("steady");
    assert_eq!(answer["complete"], json!(false), "whose events were lost nobody knows: {answer}");
    let http = story.deployment.http();
    let metric = http.metric("odometer_losses_total", topic).expect("metrics");
    assert!((metric - 1.0).abs() < f64::EPSILON, "{metric}");
    let doctor = story.deployment.run(&["doctor", "--output", "json"]).expect_code(1).stdout;
    assert!(doctor.contains("losses") && doctor.contains("at most 50 records"), "{doctor}");
    assert!(doctor.contains(&story.deployment.topic("remade")), "an earlier topic's counts: {doctor}");
}

#[test]
fn neither_expired_commits_nor_an_operators_reset_change_a_count() {
    let mut story = Story::new();
    let mut odometer = story.start("before");
    TOPICS.iter().for_each(|topic| story.send(topic, 300));
    story.await_received(&mut odometer, 900);
    odometer.stop(STOP);

    let group = story.deployment.name.clone();
    kafka::delete_group(&group);
    story.send("steady", 50);
    let mut odometer = story.start("expired");
    story.await_received(&mut odometer, 950);
    odometer.stop(STOP);

    // Back to the beginning, and beyond everything that is counted.
    kafka::reset_offset(&group, &story.deployment.topic("cut"), 0, 0);
    kafka::reset_offset(&group, &story.deployment.topic("steady"), 0, 400);
    story.send("cut", 20);
    story.send("steady", 100);
    let mut odometer = story.start("reset");
    story.await_received(&mut odometer, 1_070);
    story.await_calls([320, 300, 450]);
    assert_eq!(story.losses(), [[""; 0]; 0]);
    story.await_complete();
    odometer.stop(STOP);
    let log = std::fs::read_to_string(story.deployment.folder().join("reset.log")).expect("a log");
    assert!(log.contains("names no block (an operator's reset?)"), "{log}");
    deployment_is_sound(&story.deployment);
}

fn deployment_is_sound(deployment: &Deployment) {
    deployment.run(&["audit", "--recount"]).expect_code(0);
    deployment.run(&["doctor"]).expect_code(0);
}
