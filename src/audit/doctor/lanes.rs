use std::collections::{BTreeMap, HashMap};

use super::topics::Described;
use super::{Check, Health, Settings, named};
use crate::aggregate::{BlockKind, LedgerRow};
use crate::clock::{Clock, Time};
use crate::event::Lane;
use crate::source::Watermarks;
use crate::store::{LaneProgress, Published, Store};

/// An owner looks at its lanes every second or so; one that has not for this long is none.
const UNSEEN_MS: i64 = 60_000;
/// An owner that is this far behind does not keep up.
const BEHIND_MS: i64 = 5 * 60_000;
const HOUR_MS: i64 = 3_600_000;
/// A duplicate that comes later than this after its event is rare.
const LEAST_WINDOW_HOURS: i64 = 24;
/// A rate that is measured over less says little.
const LEAST_SPAN_MS: i64 = 10_000;

/// One lane, from every side.
struct Seen<'a> {
    lane: Lane,
    /// Of the ledger; `None` for a lane without any history.
    end: Option<i64>,
    log_start: i64,
    log_end: i64,
    progress: Option<&'a LaneProgress>,
}

pub async fn check(
    store: &Store,
    settings: &Settings,
    rows: &[Published],
    topics: &BTreeMap<String, Described>,
    clock: &Clock,
) -> Vec<Check> {
    let mut ends: HashMap<&Lane, i64> = HashMap::new();
    for row in rows.iter().map(|published| &published.row) {
        let end = ends.entry(&row.lane).or_insert(row.next_offset);
        *end = (*end).max(row.next_offset);
    }
    let wanted: Vec<Lane> = settings
        .kafka
        .topics
        .iter()
        .filter_map(|topic| Some((topic, topics.get(topic)?)))
        .flat_map(|(topic, described)| {
            described.partitions.iter().map(|partition| Lane {
                topic: topic.as_str().into(),
                topic_id: described.topic_id.clone(),
                partition: *partition,
            })
        })
        .collect();
    let kafka = settings.kafka.clone();
    let asked = wanted.clone();
    let bounds = tokio::task::spawn_blocking(move || {
        let watermarks = Watermarks::connect(&kafka)?;
        asked.iter().map(|lane| watermarks.read(&lane.topic, lane.partition)).collect::<Result<Vec<_>, _>>()
    });
    let bounds = match bounds.await {
        Ok(Ok(bounds)) => bounds,
        Ok(Err(error)) => return vec![Check::wrong("lanes", error.to_string(), "see whether Kafka is well")],
        Err(error) => return vec![Check::wrong("lanes", error.to_string(), "run doctor again")],
    };
    let known: Vec<(Lane, i64)> = ends.iter().map(|(lane, end)| ((*lane).clone(), *end)).collect();
    let progress = match store.progress(&known).await {
        Ok(progress) => progress,
        Err(error) => {
            return vec![Check::wrong("lanes", error.to_string(), "see whether ClickHouse is well")];
        }
    };
    let of_lane: HashMap<&Lane, &LaneProgress> =
        progress.iter().map(|progress| (&progress.lane, progress)).collect();
    let seen: Vec<Seen<'_>> = wanted
        .iter()
        .zip(bounds)
        .map(|(lane, (log_start, log_end))| Seen {
            lane: lane.clone(),
            end: ends.get(lane).copied(),
            log_start,
            log_end,
            progress: of_lane.get(lane).copied(),
        })
        .collect();
    let now_ms = clock.now_ms();
    let mut checks = vec![judge_lanes(&seen, now_ms), judge_remade(rows, topics)];
    checks.extend(window(rows, settings.dedup_window));
    checks
}

fn judge_lanes(lanes: &[Seen<'_>], now_ms: i64) -> Check {
    let judged: Vec<(Health, String)> = lanes.iter().filter_map(|lane| judge(lane, now_ms)).collect();
    let worst = judged.iter().map(|(health, _)| *health).max();
    let of = |wanted: Health| {
        let items: Vec<String> =
            judged.iter().filter(|(health, _)| *health == wanted).map(|(_, text)| text.clone()).collect();
        named(&items)
    };
    match worst {
        None | Some(Health::Good) => {
            Check::good("lanes", format!("{} lanes are counted to their ends", lanes.len()))
        }
        Some(Health::Doubtful) => Check::doubtful(
            "lanes",
            of(Health::Doubtful),
            "start `odometer ingest` (or `run`): what nobody owns is not complete, though nothing waits there",
        ),
        Some(Health::Wrong) => Check::wrong(
            "lanes",
            of(Health::Wrong),
            "start `odometer ingest`, or more of them; its log says why a lane waits",
        ),
    }
}

/// `None`: all is well.
fn judge(seen: &Seen<'_>, now_ms: i64) -> Option<(Health, String)> {
    let Seen { lane, log_start, log_end, .. } = seen;
    let Some(end) = seen.end else {
        let waiting = log_end - log_start;
        return (waiting > 0)
            .then(|| (Health::Wrong, format!("{lane} was never counted, {waiting} records wait")));
    };
    if *log_start > end {
        let lost = log_start - end;
        return Some((
            Health::Wrong,
            format!("{lane}: at most {lost} records are gone before they were counted"),
        ));
    }
    if *log_end < end {
        return Some((
            Health::Wrong,
            format!("{lane}: the log ends at {log_end}, {end} offsets were counted: it was cut"),
        ));
    }
    let waiting = log_end - end;
    let seen_ms = seen.progress.map_or(i64::MIN, |progress| progress.newest.observed_at_ms);
    if now_ms.saturating_sub(seen_ms) > UNSEEN_MS {
        let since = if seen_ms == i64::MIN { "ever".to_owned() } else { format!("since {}", Time(seen_ms)) };
        return Some(match waiting {
            0 => (Health::Doubtful, format!("{lane} has no owner {since}")),
            _ => (Health::Wrong, format!("{lane} has no owner {since}, {waiting} records wait")),
        });
    }
    let through_ms = seen.progress.and_then(|progress| progress.complete_through_ms);
    let behind_ms = now_ms - through_ms.unwrap_or(seen_ms);
    if waiting > 0 && behind_ms > BEHIND_MS {
        let minutes = behind_ms / 60_000;
        return Some((Health::Wrong, format!("{lane} is {minutes} minutes behind, {waiting} records wait")));
    }
    None
}

/// Counts of a topic that was deleted and made again stay, but nothing of it can be counted again.
fn judge_remade(rows: &[Published], topics: &BTreeMap<String, Described>) -> Check {
    let mut remade: Vec<String> = rows
        .iter()
        .map(|published| &published.row.lane)
        .filter(|lane| topics.get(&*lane.topic).is_some_and(|described| described.topic_id != lane.topic_id))
        .map(|lane| lane.topic.to_string())
        .collect();
    remade.sort();
    remade.dedup();
    if remade.is_empty() {
        return Check::good("topics made again", "none");
    }
    Check::doubtful(
        "topics made again",
        named(&remade),
        "what was counted of the earlier topic stays; what it still held when it was deleted is lost",
    )
}

/// How long the window lasts at the rate of late, of each topic's lane where it lasts least.
fn window(rows: &[Published], width: u64) -> Option<Check> {
    let mut lanes: BTreeMap<&Lane, Vec<(&LedgerRow, i64)>> = BTreeMap::new();
    for published in rows.iter().filter(|published| published.row.kind == BlockKind::Live) {
        lanes.entry(&published.row.lane).or_default().push((&published.row, published.published_at_ms));
    }
    let lasting: Vec<(i64, &Lane)> =
        lanes.iter().filter_map(|(lane, rows)| Some((window_hours(rows, width)?, *lane))).collect();
    judge_window(&lasting)
}

/// `lasting`: in hours, by lane.
fn judge_window(lasting: &[(i64, &Lane)]) -> Option<Check> {
    let mut shortest: BTreeMap<&str, (i64, &Lane)> = BTreeMap::new();
    for (hours, lane) in lasting {
        let of_topic = shortest.entry(&lane.topic).or_insert((*hours, lane));
        *of_topic = (*of_topic).min((*hours, lane));
    }
    let mut shortest: Vec<_> = shortest.into_values().collect();
    shortest.sort();
    let (least, _) = *shortest.first()?;
    let told: Vec<String> =
        shortest.iter().map(|(hours, lane)| format!("{hours} hours at the rate of {lane} now")).collect();
    let detail = named(&told);
    if least >= LEAST_WINDOW_HOURS {
        return Some(Check::good("window", detail));
    }
    let hint = "a duplicate that comes later counts again: widen metering.dedup_window (and cache.budget), \
                or spread the topic over more partitions";
    Some(Check::doubtful("window", detail, hint))
}

/// `rows` are a lane's live blocks with when they were published, by offset.
fn window_hours(rows: &[(&LedgerRow, i64)], width: u64) -> Option<i64> {
    let (first, last) = (rows.first()?, rows.last()?);
    let span_ms = last.1 - first.1;
    let offsets = last.0.next_offset - first.0.next_offset;
    if span_ms < LEAST_SPAN_MS || offsets <= 0 {
        return None;
    }
    let window_ms = i128::from(width) * i128::from(span_ms) / i128::from(offsets);
    i64::try_from(window_ms / i128::from(HOUR_MS)).ok()
}

#[cfg(test)]
mod tests;
