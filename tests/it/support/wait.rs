use std::fmt::Display;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);

/// Asks again until the answer is `Ok`; fails with the last `Err` after `patience`.
#[track_caller]
pub fn wait_until<T, E: Display>(what: &str, patience: Duration, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if started.elapsed() > patience => {
                panic!("wait for {what}: not within {} s, at last: {error}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
