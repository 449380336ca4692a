//! The gate's rule is in Rust and in SQL; both must let the same blocks through.

use std::collections::BTreeMap;

use clickhouse::Row;
use odometer::aggregate::{BlockKind, LedgerRow};
use odometer::audit::audit;
use odometer::store::gate;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;

use super::{Writer, calls, servers, user};

const LEDGERS: usize = 400;

/// (kind, token, tenure, sequence, first, width): ledgers without any order, far worse than what
/// faults can make.
type Short = (BlockKind, u64, u128, u64, i64, i64);

fn any_ledger() -> impl Strategy<Value = Vec<Short>> {
    let kind =
        prop_oneof![3 => Just(BlockKind::Live), 2 => Just(BlockKind::Roll), 1 => Just(BlockKind::Recount)];
    let row = (kind, 1u64..4, 0u128..2, 0u64..6, 0i64..24, 0i64..10);
    prop::collection::vec(row, 0..24)
}

#[derive(Row, Deserialize)]
struct Counting {
    partition: i32,
    block: String,
}

/// All ledgers at once, each a lane of its own, so that lanes are kept apart too.
#[tokio::test]
async fn sql_and_rust_let_the_same_blocks_through() {
    let (store, settings) = servers::new_store("gate").await;
    let mut runner = TestRunner::default();
    let mut rows: Vec<LedgerRow> = Vec::new();
    for partition in 0..LEDGERS {
        let ledger = any_ledger().new_tree(&mut runner).unwrap().current();
        let mut writer = Writer::new(&store, "topic", i32::try_from(partition).unwrap());
        for (kind, token, tenure, sequence, first, width) in ledger {
            let row = writer.row_over(kind, 0, first..first + width, &[]);
            rows.push(LedgerRow { token, tenure, sequence, ..row });
        }
    }
    let client = user(&settings);
    let values: Vec<String> = rows.iter().map(values).collect();
    // Repeated publishes too, and all long ago, so that the views use every roll.
    for chunk in values.chunks(500).chain(values.chunks(700).take(2)) {
        let sql = format!(
            "INSERT INTO published (topic, topic_id, partition, token, tenure, sequence, block, kind, first_offset,
                next_offset, published_at) VALUES {}",
            chunk.join(", ")
        );
        client.query_raw(&sql).execute().await.unwrap();
    }
    let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    // Of rows without offsets the view shows those that tell of a loss; these tell of none.
    for row in gate::counting(rows).into_iter().filter(|row| row.first_offset < row.next_offset) {
        expected.entry(row.lane.partition).or_default().push(row.block.to_string());
    }
    let found: Vec<Counting> = client.query("SELECT partition, block FROM ledger").fetch_all().await.unwrap();
    let mut by_lane: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for Counting { partition, block } in found {
        by_lane.entry(partition).or_default().push(block);
    }
    for blocks in expected.values_mut().chain(by_lane.values_mut()) {
        blocks.sort_unstable();
    }
    for partition in 0..i32::try_from(LEDGERS).unwrap() {
        assert_eq!(by_lane.get(&partition), expected.get(&partition), "lane {partition}");
    }
}

fn values(row: &LedgerRow) -> String {
    format!(
        "('{}', '{}', {}, {}, {}, {}, toUInt128('{}'), '{}', {}, {}, '2026-01-01 00:00:00')",
        row.lane.topic,
        row.lane.topic_id,
        row.lane.partition,
        row.token,
        row.tenure,
        row.sequence,
        row.block.0,
        row.kind.as_str(),
        row.first_offset,
        row.next_offset
    )
}

#[tokio::test]
async fn the_ledger_view_has_no_gap_and_no_overlap_while_it_is_rolled_up() {
    let (store, settings) = servers::new_store("contiguous").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let mut rows: Vec<LedgerRow> = Vec::new();
    for round in 0..60i64 {
        rows.push(writer.live(&[calls("acme", 1)]).await);
        if round % 4 == 3 {
            let covered = rows.split_off(rows.len() - 2);
            rows.push(writer.roll(&covered).await);
        }
        let sql = "SELECT sum(next_offset - first_offset), min(first_offset), max(next_offset) FROM ledger";
        let (width, first, next): (i64, i64, i64) = client.query(sql).fetch_one().await.unwrap();
        assert_eq!((width, first, next), (next, 0, writer.end), "round {round}");
    }
}

/// A lane's last row has no neighbour that a changed end would part from or run into.
#[tokio::test]
async fn the_audit_finds_the_end_of_a_lane_that_was_changed_by_hand() {
    let (store, settings) = servers::new_store("changed_end").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let block = writer.live(&[calls("acme", 5)]).await.block;
    assert!(audit(&store, None).await.unwrap().balanced);
    let change =
        "ALTER TABLE published UPDATE next_offset = next_offset + 1 WHERE 1 SETTINGS mutations_sync = 2";
    client.query(change).execute().await.unwrap();
    let report = audit(&store, None).await.unwrap();
    assert!(!report.balanced);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].block.as_deref(), Some(block.to_string().as_str()));
}
