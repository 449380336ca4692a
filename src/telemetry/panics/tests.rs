use std::process::{Command, Output, exit};
use std::thread;
use std::time::Duration;

use super::*;

/// Says to this test, run again as a process of its own, what is to panic.
const PANICS: &str = "ODOMETER_TEST_PANICS";
/// Of a child whose panic did not end it.
const WENT_ON: i32 = 3;
/// Far longer than a process takes to end.
const LIFETIME: Duration = Duration::from_secs(60);

/// As a client whose broker has gone: its end is waited for without end.
struct NeverDropped;

impl Drop for NeverDropped {
    fn drop(&mut self) {
        thread::sleep(LIFETIME * 2);
    }
}

fn panic_within() {
    let _client = NeverDropped;
    panic!("the part's own words");
}

fn child(what: &str) -> ! {
    match what {
        "thread" => drop(thread::spawn(|| vital(panic_within))),
        "task" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.spawn(vital_task(async {
                tokio::task::yield_now().await;
                panic_within();
            }));
            runtime.block_on(std::future::pending())
        }
        _ => {
            vital(|| ());
            let other = thread::spawn(|| panic!("a guest's own words"));
            assert!(other.join().is_err());
            exit(WENT_ON);
        }
    }
    thread::sleep(LIFETIME);
    exit(WENT_ON);
}

fn run_again(what: &str) -> Output {
    let test = "telemetry::panics::tests::a_panic_of_what_is_vital_ends_the_process_at_once";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(PANICS, what).output().unwrap()
}

#[test]
fn a_panic_of_what_is_vital_ends_the_process_at_once() {
    if let Ok(what) = std::env::var(PANICS) {
        child(&what);
    }
    for what in ["thread", "task"] {
        let ended = run_again(what);
        let words = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(EXIT_CODE), "{what}: {words}");
        let (own, of_process) = (words.find("the part's own words"), words.find(MESSAGE));
        assert!(own.is_some() && own < of_process, "{what}: {words}");
    }
    let ended = run_again("guest");
    assert_eq!(ended.status.code(), Some(WENT_ON), "{}", String::from_utf8_lossy(&ended.stderr));
}
