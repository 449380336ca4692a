//! What the pipeline tells of itself; telemetry describes each name.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::aggregate::LedgerRow;
use crate::dedup::Window;
use crate::event::Lane;
use crate::flush::FinishedBlock;

pub fn published(block: &FinishedBlock, row: &LedgerRow, took: Duration, now_ms: i64) {
    let outcomes = &block.contents.outcomes;
    counter!("odometer_events_total", "outcome" => "counted", "reason" => "").increment(outcomes.counted);
    counter!("odometer_events_total", "outcome" => "duplicate", "reason" => "").increment(outcomes.duplicate);
    for (reason, count) in &outcomes.rejected {
        counter!("odometer_events_total", "outcome" => "rejected", "reason" => reason.as_str())
            .increment(*count);
    }
    for (why, count) in &outcomes.ignored {
        counter!("odometer_events_total", "outcome" => "ignored", "reason" => why.as_str()).increment(*count);
    }
    counter!("odometer_blocks_published_total").increment(1);
    if !row.loss.is_empty() {
        counter!("odometer_losses_total", "topic" => row.lane.topic.to_string()).increment(1);
    }
    histogram!("odometer_flush_seconds").record(took.as_secs_f64());
    if let Some((_, latest)) = row.times {
        histogram!("odometer_visible_seconds").record(((now_ms - latest).max(0) as f64) / 1000.0);
    }
    let lane = &row.lane;
    let labels = [("topic", lane.topic.to_string()), ("partition", lane.partition.to_string())];
    gauge!("odometer_ledger_end_offset", &labels).set(row.next_offset as f64);
}

pub fn rolled() {
    counter!("odometer_rolls_published_total").increment(1);
}

pub fn decoded(took: Duration) {
    histogram!("odometer_decode_batch_seconds").record(took.as_secs_f64());
}

pub fn session_ended() {
    counter!("odometer_sessions_ended_total").increment(1);
}

/// `hours`: how long the window lasts at the rate of now, where that is known.
pub fn window(lane: &Lane, window: &Window, hours: Option<f64>) {
    if let Some(hours) = hours {
        let labels = [("topic", lane.topic.to_string()), ("partition", lane.partition.to_string())];
        gauge!("odometer_window_hours", &labels).set(hours);
    }
    for (place, held) in [("memory", window.in_memory()), ("disk", window.on_disk())] {
        let labels = [
            ("topic", lane.topic.to_string()),
            ("partition", lane.partition.to_string()),
            ("place", place.to_owned()),
        ];
        gauge!("odometer_window_keys", &labels).set(held.keys as f64);
        gauge!("odometer_window_bytes", &labels).set(held.bytes as f64);
    }
}
