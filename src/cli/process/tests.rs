use std::sync::atomic::{AtomicU32, Ordering};

use super::super::Exit;
use super::*;

#[tokio::test]
async fn a_server_that_comes_late_is_reached() {
    let attempts = AtomicU32::new(0);
    let attempt = || async {
        match attempts.fetch_add(1, Ordering::Relaxed) {
            0..2 => Err("refused"),
            _ => Ok(7),
        }
    };
    let reached = reach("Kafka", START_PATIENCE, &CancellationToken::new(), attempt).await;
    assert_eq!(reached, Ok(Some(7)));
}

#[tokio::test]
async fn a_server_that_stays_away_is_exit_69() {
    let patience = Duration::from_millis(500);
    let attempt = || async { Err::<(), _>("connection refused") };
    let failure = reach("Kafka at h:1", patience, &CancellationToken::new(), attempt).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert_eq!(failure.message, "reach Kafka at h:1: connection refused");
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_cut_short() {
    let patience = Duration::from_millis(100);
    let attempt = || std::future::pending::<Result<(), &str>>();
    let failure = reach("Kafka", patience, &CancellationToken::new(), attempt).await.unwrap_err();
    assert!(failure.message.contains("no answer within"), "{failure}");
}

#[tokio::test]
async fn stopping_ends_the_waiting() {
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let attempt = || async { Err::<(), _>("refused") };
    assert_eq!(reach("Kafka", START_PATIENCE, &shutdown, attempt).await, Ok(None));
}
