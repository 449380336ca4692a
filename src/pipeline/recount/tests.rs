use super::*;
use crate::aggregate::{BlockId, BlockKind, Tally};
use crate::dedup::CacheSettings;
use crate::event::{Format, NoHeaders};

/// Offsets from `start` on, each a record with the leader epoch given.
struct Epochs {
    start: i64,
    epochs: Vec<i32>,
}

impl Log for Epochs {
    fn read(&self, range: Range<i64>, visit: &mut dyn FnMut(&Record<'_>)) -> Result<(), IngestError> {
        for offset in range {
            visit(&Record {
                topic: "events",
                partition: 0,
                offset,
                timestamp_ms: None,
                key: None,
                value: Some(b"no event"),
                headers: &NoHeaders,
            });
        }
        Ok(())
    }

    fn last_epoch(&self, range: Range<i64>) -> Result<i32, IngestError> {
        let last = usize::try_from(range.end - 1 - self.start).ok();
        Ok(last.and_then(|last| self.epochs.get(last)).copied().unwrap_or(-1))
    }

    fn start(&self) -> Result<i64, IngestError> {
        Ok(self.start)
    }
}

fn lane() -> Lane {
    Lane { topic: "events".into(), topic_id: "id".into(), partition: 0 }
}

fn rules() -> Rules {
    Rules {
        format: Format::Cloudevents,
        organization: None,
        region: None,
        default_region: "us".into(),
        meters: Vec::new(),
        dedup_window: 5,
        accept_past_ms: 0,
        accept_future_ms: 0,
        max_event_bytes: 1000,
    }
}

fn row(first_offset: i64, next_offset: i64, leader_epoch: i32, loss: &str) -> LedgerRow {
    LedgerRow {
        lane: lane(),
        group: "group".into(),
        token: 1,
        tenure: 1,
        sequence: first_offset as u64,
        block: BlockId(first_offset as u128),
        kind: BlockKind::Live,
        level: 0,
        first_offset,
        next_offset,
        tally: Tally::default(),
        quantity: 0,
        times: None,
        window_from: 0,
        leader_epoch,
        digest: 0,
        rules: rules().hash(),
        loss: loss.into(),
    }
}

/// The log was cut at 15: the second leader wrote from there on, over the half of [10, 20) and all of
/// [20, 30), of which the row at 30 tells.
fn counted() -> Vec<LedgerRow> {
    vec![
        row(0, 10, 1, ""),
        row(10, 20, 1, ""),
        row(20, 30, 1, ""),
        row(30, 30, -1, "cut"),
        row(30, 40, 2, ""),
    ]
}

fn recount(rows: &[LedgerRow], log_start: i64, range: Range<i64>) -> Result<Range<usize>, RecountError> {
    let dir = tempfile::tempdir().unwrap();
    let cache =
        Cache::open(&CacheSettings { dir: dir.path().into(), budget: 1 << 20, memory: 1 << 20 }).unwrap();
    let epochs = (log_start..40).map(|offset| if offset < 15 { 1 } else { 2 }).collect();
    let (lane, rules, log) = (lane(), rules(), Epochs { start: log_start, epochs });
    let known = HashMap::from([(rules.hash(), rules.clone())]);
    let recounter = Recounter { lane: &lane, log: &log, rules: &rules, known: &known, rows, cache: &cache };
    recounter.count(range.start, range.end).map(|recounted| recounted.rows)
}

#[test]
fn a_recount_of_a_part_of_a_cut_covers_all_of_it() {
    let rows = counted();
    assert_eq!(recount(&rows, 0, 25..40).unwrap(), 1..5, "what ends with the record that was counted stays");
    assert_eq!(recount(&rows, 0, 0..40).unwrap(), 0..5);
    assert_eq!(recount(&rows, 0, 32..40).unwrap(), 4..5, "the row that tells of the cut is not covered");
}

/// A lane's first row, which says where it starts, holds nothing that could be gone.
#[test]
fn a_cut_of_all_there_is_is_counted_again() {
    let rows = [vec![row(0, 0, -1, "")], counted()[1..].to_vec()].concat();
    let rows: Vec<LedgerRow> = rows.into_iter().map(|row| LedgerRow { leader_epoch: -1, ..row }).collect();
    assert_eq!(recount(&rows, 0, 25..40).unwrap(), 0..5);
}

#[test]
fn what_keeps_no_epoch_is_counted_again() {
    let mut rows = counted();
    rows[1].leader_epoch = -1;
    rows[0].leader_epoch = -1;
    assert_eq!(recount(&rows, 0, 25..40).unwrap(), 0..5);
}

#[test]
fn a_cut_that_may_reach_below_the_log_stays_told() {
    let refused = recount(&counted(), 20, 25..40).unwrap_err();
    assert!(matches!(refused, RecountError::CutGone { cut: 30, log_start: 20 }), "{refused}");
    let rows = [vec![row(0, 20, -1, "records were never read")], counted()[2..].to_vec()].concat();
    assert_eq!(recount(&rows, 20, 25..40).unwrap(), 1..4, "the log began there");
}
