use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::Lane;
use crate::source::Watermarks;
use crate::store::{RecountRequest, Store, Watermark};

/// The lanes that a session holds, for the task that watches their logs, each with where its
/// recounts are asked for.
pub type WatchedLanes = Arc<Mutex<Vec<(Lane, mpsc::Sender<RecountRequest>)>>>;

/// Until there are lanes, they are looked for this often.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Stores where each held lane's log ends, and when that was seen, so that readers can say up to when
/// every event is counted. Ends the session (`remade`) when a topic was made anew under its name.
pub async fn watch(
    watermarks: Watermarks,
    store: Store,
    held: WatchedLanes,
    clock: Clock,
    interval: Duration,
    ended: CancellationToken,
    remade: CancellationToken,
) {
    let mut failures = 0u32;
    let mut turn = 0u32;
    // What is counted first is visible soon, and is to be known as complete then.
    let mut wait = interval.min(FIRST_LOOK);
    while ended.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let held = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if held.is_empty() {
            continue;
        }
        wait = interval;
        ask_for_recounts(&store, &held).await;
        let lanes: Vec<_> = held.into_iter().map(|(lane, _)| lane).collect();
        let check_topics = turn.is_multiple_of(TOPIC_CHECK_TURNS);
        turn = turn.wrapping_add(1);
        let (marks, is_remade) = {
            let (watermarks, clock) = (watermarks.clone(), clock.clone());
            tokio::task::spawn_blocking(move || {
                (observe(&watermarks, &lanes, &clock), check_topics && is_remade(&watermarks, &lanes))
            })
            .await
            .unwrap_or_default()
        };
        if is_remade {
            remade.cancel();
            return;
        }
        match store.write_watermarks(&marks).await {
            Ok(()) => failures = 0,
            Err(error) => {
                if failures.is_multiple_of(30) {
                    tracing::warn!("{error}; completeness stands still until it works again");
                }
                failures += 1;
            }
        }
    }
}

/// Hands open requests to the lanes' tasks. One that is still open next time is handed on again: to
/// count the same range twice changes nothing.
async fn ask_for_recounts(store: &Store, held: &[(Lane, mpsc::Sender<RecountRequest>)]) {
    let requests = match store.open_recounts().await {
        Ok(requests) => requests,
        Err(error) => return tracing::debug!("{error}"),
    };
    for request in requests {
        if let Some((_, sender)) = held.iter().find(|(lane, _)| *lane == request.lane) {
            // A full queue: next time.
            let _ = sender.try_send(request);
        }
    }
}

/// A topic's id is looked up every so many turns.
const TOPIC_CHECK_TURNS: u32 = 5;

/// The time is read before the end of the log: what came in by then lies below that end.
fn observe(watermarks: &Watermarks, lanes: &[Lane], clock: &Clock) -> Vec<Watermark> {
    lanes
        .iter()
        .filter_map(|lane| {
            let observed_at_ms = clock.now_ms();
            match watermarks.read(&lane.topic, lane.partition) {
                Ok((_, high)) => Some(Watermark { lane: lane.clone(), high, observed_at_ms }),
                Err(error) => {
                    tracing::debug!("{error}");
                    None
                }
            }
        })
        .collect()
}

fn is_remade(watermarks: &Watermarks, lanes: &[Lane]) -> bool {
    let mut topics: Vec<_> = lanes.iter().map(|lane| lane.topic.to_string()).collect();
    topics.sort();
    topics.dedup();
    let Ok(described) = watermarks.describe_topics(&topics) else { return false };
    described.iter().any(|(name, id)| {
        let is_other = lanes.iter().any(|lane| *lane.topic == **name && lane.topic_id != *id);
        if is_other {
            tracing::error!(topic = name, "the topic was deleted and made again; its lanes begin anew");
        }
        is_other
    })
}
