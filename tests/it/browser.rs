//! The pages in a real Chromium: tests/browser/story.mjs clicks, this keeps the events flowing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaProducer, KafkaRecord};
use crate::support::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const EVENTS_EVERY: Duration = Duration::from_millis(250);

#[test]
fn the_pages_in_a_browser() {
    let modules = std::env::var("ODOMETER_BROWSER_MODULES")
        .expect("ODOMETER_BROWSER_MODULES is not set: this test needs a browser; run it with `scripts/test`");
    let topics = [json!({ "name": "events", "format": "cloudevents" })];
    let deployment = Deployment::new("browser", &topics, &json!({ "clock": "test" }));
    kafka::create_topic(&deployment.topic("events"), 1);
    deployment.run(&["setup"]).expect_code(0);
    let mut odometer = deployment.start("run", &["run"]);
    wait_until("odometer to be ready", PATIENCE, || {
        odometer.assert_runs();
        deployment.http().get_ok("/readyz")
    });
    let events = Events::start(&deployment.topic("events"));
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/story.mjs");
    let output = Command::new("node")
        .arg(story)
        .env("ODOMETER_BROWSER_MODULES", modules)
        .env("STORY_URL", deployment.url())
        .env("STORY_TOKEN", deployment.token())
        .env("STORY_FOLDER", deployment.folder())
        .stdin(Stdio::null())
        .output()
        .expect("start node");
    drop(events);
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success() && told.contains("the story is over"), "{wrong}");
    odometer.stop(PATIENCE);
}

/// Services first, then API calls until it is dropped.
struct Events {
    stop: Arc<AtomicBool>,
    sending: Option<std::thread::JoinHandle<()>>,
}

impl Events {
    fn start(topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, stopped) = (topic.to_owned(), stop.clone());
        let sending = std::thread::spawn(move || {
            let producer = KafkaProducer::new();
            for service in 0..3 {
                let data = json!({ "service": format!("service-{service}"), "published": service == 0 });
                send(&producer, &topic, "service.created", &format!("created-{service}"), &data);
            }
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let data = json!({ "quantity": 250, "service": "service-0" });
                send(&producer, &topic, "api.request", &format!("call-{number}"), &data);
                std::thread::sleep(EVENTS_EVERY);
            }
        });
        Self { stop, sending: Some(sending) }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(_)) = self.sending.take().map(std::thread::JoinHandle::join) {
            eprintln!("events were not sent to their end");
        }
    }
}

fn send(producer: &KafkaProducer, topic: &str, event_type: &str, id: &str, data: &serde_json::Value) {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "story", "type": event_type, "subject": "acme",
        "time": jiff::Timestamp::now().to_string(), "data": data,
    });
    let value = Some(event.to_string().into_bytes());
    producer.send(topic, &KafkaRecord { value, ..KafkaRecord::default() });
    producer.flush();
}
