//! Collecting garbage loses nothing, and no reader notices it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use odometer::aggregate::LedgerRow;
use odometer::store::{Claim, Garbage, Spans};

use super::{Writer, calls, number, servers, total, user};

/// Everything within seconds.
const QUICK: Spans =
    Spans { buckets: [1, 1, 1, 1], insert: 2, roll: 2, grace: 4, publish: 1, leftover: 3600 };
const CLOSED: Duration = Duration::from_secs(6);

async fn stored_blocks(client: &clickhouse::Client) -> (u128, u128, u128) {
    let count = async |table: &str| number(client, &format!("SELECT uniqExact(block) FROM {table}")).await;
    (count("counts").await, count("published").await, count("prepared").await)
}

#[tokio::test]
async fn hidden_blocks_go_and_no_total_changes() {
    let (store, settings) = servers::new_store("garbage").await;
    let store = store.with_spans(QUICK);
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let mut covered = Vec::new();
    for value in [1, 2, 4] {
        covered.push(writer.live(&[calls("acme", value)]).await);
    }
    let roll = writer.roll(&covered).await;
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage::default(), "readers may still want it");
    tokio::time::sleep(CLOSED).await;
    let tail = writer.live(&[calls("acme", 8)]).await;
    let collected = store.collect_garbage().await.unwrap();
    assert_eq!(collected.blocks, 3);
    assert!(collected.partitions >= 1);
    assert_eq!(stored_blocks(&client).await, (2, 2, 2));
    assert_eq!(total(&client).await, 15);
    let history = store.history(&writer.lane).await.unwrap();
    assert_eq!((history.rows, history.greatest_token), (vec![roll, tail], 1));
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage::default());
}

/// Readers that took the gate before a roll read the rows that it names for a while, however long ago
/// those were written.
#[tokio::test]
async fn what_a_roll_hides_stays_for_those_who_still_read_it() {
    let (store, settings) = servers::new_store("grace").await;
    let store = store.with_spans(Spans { grace: 9, ..QUICK });
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let covered = [writer.live(&[calls("acme", 1)]).await, writer.live(&[calls("acme", 2)]).await];
    tokio::time::sleep(Duration::from_secs(11)).await;
    writer.roll(&covered).await;
    // Of the server's clock as it was last read, the roll may lie ahead.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage::default());
    assert_eq!(stored_blocks(&client).await, (3, 3, 3));
}

#[tokio::test]
async fn of_a_lane_s_many_claims_the_greatest_stay() {
    let (store, settings) = servers::new_store("claims").await;
    let client = user(&settings);
    let (busy, quiet) = (Writer::new(&store, "busy", 0).lane, Writer::new(&store, "quiet", 0).lane);
    for token in 1..=100 {
        store.claim(&busy, Claim { token, tenure: 7 }).await.unwrap();
        store.claim(&quiet, Claim { token: token % 3, tenure: token.into() }).await.unwrap();
    }
    store.claim(&busy, Claim { token: 100, tenure: 9 }).await.unwrap();
    store.claim(&busy, Claim { token: 99, tenure: 8 }).await.unwrap();
    client.query("OPTIMIZE TABLE claims FINAL").execute().await.unwrap();
    // Of one tenure the table keeps one claim; the limit is over what lies there.
    for tenure in 100..200 {
        store.claim(&busy, Claim { token: 50, tenure }).await.unwrap();
    }
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage { claims: 101, ..Garbage::default() });
    let tenures = "SELECT toUInt128(sum(tenure)) FROM claims WHERE topic = 'busy'";
    assert_eq!(number(&client, tenures).await, 7 + 9, "two that claimed the lane with one token");
    assert_eq!(number(&client, "SELECT toUInt128(count()) FROM claims WHERE topic = 'quiet'").await, 100);
    assert_eq!(store.history(&busy).await.unwrap().greatest_token, 100);
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage::default());
}

#[tokio::test]
async fn what_was_prepared_stays_until_the_lane_is_past_it() {
    let (store, settings) = servers::new_store("waiting").await;
    let store = store.with_spans(QUICK);
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    writer.live(&[calls("acme", 1)]).await;
    let counts = [calls("acme", 2)];
    let row = writer.row(10, &counts);
    // An insert whose answer was lost, then the same under another id.
    let torn = LedgerRow { block: odometer::aggregate::BlockId(rand::random()), ..row.clone() };
    store.insert_block(&torn, &counts, &[]).await.unwrap();
    store.insert_block(&row, &counts, &[]).await.unwrap();
    tokio::time::sleep(CLOSED).await;
    store.collect_garbage().await.unwrap();
    assert_eq!(store.prepared(row.block).await.unwrap().as_ref(), Some(&row), "it may have been committed");
    store.publish(&row).await.unwrap();
    assert_eq!(total(&client).await, 3);
    // Published, it has the torn one's rank; the lane is past that one only with the next block.
    writer.live(&[calls("acme", 4)]).await;
    let roll = LedgerRow { block: odometer::aggregate::BlockId(rand::random()), ..row.clone() };
    assert!(store.publish(&roll).await.is_err());
    tokio::time::sleep(CLOSED).await;
    store.collect_garbage().await.unwrap();
    assert_eq!(total(&client).await, 7);
    assert_eq!(store.history(&writer.lane).await.unwrap().rows.len(), 3);
}

/// An owner that wakes up after its roll was given up must not hide what that roll covered.
#[tokio::test]
async fn a_block_that_was_given_up_can_not_be_published() {
    let (store, settings) = servers::new_store("zombie").await;
    let store = store.with_spans(QUICK);
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let covered = [writer.live(&[calls("acme", 1)]).await, writer.live(&[calls("acme", 2)]).await];
    // Its partition must hold nothing that counts.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let roll = writer.unpublished_roll(&covered).await;
    tokio::time::sleep(CLOSED).await;
    writer.token = 2;
    writer.live(&[calls("acme", 4)]).await;
    assert_eq!(store.collect_garbage().await.unwrap().partitions, 1);
    let error = store.publish(&roll).await.unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(total(&client).await, 7);
}

/// A publish that found its prepared row just before that went is in the ledger when the ledger is
/// read again, and keeps its rows.
#[tokio::test]
async fn a_publish_that_overtakes_the_collection_keeps_its_rows() {
    let (store, settings) = servers::new_store("overtake").await;
    let store = store.with_spans(Spans { publish: 4, ..QUICK });
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let covered = [writer.live(&[calls("acme", 1)]).await, writer.live(&[calls("acme", 2)]).await];
    tokio::time::sleep(Duration::from_secs(2)).await;
    let roll = writer.unpublished_roll(&covered).await;
    tokio::time::sleep(CLOSED).await;
    writer.token = 2;
    writer.live(&[calls("acme", 4)]).await;
    let collection = tokio::spawn({
        let store = store.clone();
        async move { store.collect_garbage().await.unwrap() }
    });
    // As a statement that has read the prepared row: it writes what it read.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(store.prepared(roll.block).await.unwrap(), None);
    let sql = format!(
        "INSERT INTO published (topic, topic_id, partition, consumer_group, token, tenure, sequence, block, kind,
            level, bucket, first_offset, next_offset, quantity)
        SELECT topic, topic_id, partition, consumer_group, 1, toUInt128('{}'), {}, toUInt128('{}'), 'roll', 1,
            (SELECT max(bucket) FROM counts WHERE level = 1), 0, 20, 3
        FROM published WHERE sequence = 1 LIMIT 1",
        roll.tenure, roll.sequence, roll.block.0
    );
    client.query_raw(&sql).execute().await.unwrap();
    assert_eq!(collection.await.unwrap().blocks, 0);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(total(&client).await, 7);
    assert_eq!(number(&client, "SELECT count() FROM ledger").await, 2);
}

#[tokio::test]
async fn garbage_beside_what_still_counts_goes_too() {
    let (store, settings) = servers::new_store("beside").await;
    let store = store.with_spans(Spans { buckets: [3600; 4], leftover: 0, ..QUICK });
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let covered = [writer.live(&[calls("acme", 1)]).await, writer.live(&[calls("acme", 2)]).await];
    let alone = writer.live(&[calls("acme", 4)]).await;
    let roll = writer.roll(&covered).await;
    tokio::time::sleep(CLOSED).await;
    // With buckets of an hour all live blocks share one; taken as one of a second it ended long ago.
    let store = store.with_spans(Spans { leftover: 0, ..QUICK });
    let collected = store.collect_garbage().await.unwrap();
    assert_eq!(collected, Garbage { partitions: 1, blocks: 2, claims: 0 });
    assert_eq!(stored_blocks(&client).await, (2, 2, 2));
    assert_eq!(total(&client).await, 7);
    let history = store.history(&writer.lane).await.unwrap();
    assert_eq!(history.rows, [roll, alone]);
    assert_eq!(store.collect_garbage().await.unwrap(), Garbage::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_notice_nothing() {
    let (store, settings) = servers::new_store("unnoticed").await;
    let store = store.with_spans(QUICK);
    let client = user(&settings);
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (client, done) = (client.clone(), done.clone());
        async move {
            let mut greatest = 0;
            while !done.load(Ordering::SeqCst) {
                let read = total(&client).await;
                assert!(greatest <= read, "fell from {greatest} to {read}");
                greatest = read;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let collector = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut blocks = 0;
            while !done.load(Ordering::SeqCst) {
                blocks += store.collect_garbage().await.unwrap().blocks;
            }
            blocks
        }
    });
    let mut writer = Writer::new(&store, "topic", 0);
    let (started, mut rows, mut written) = (std::time::Instant::now(), Vec::new(), 0);
    while started.elapsed() < Duration::from_secs(12) {
        rows.push(writer.live(&[calls("acme", 1)]).await);
        written += 1;
        if rows.len() % 5 == 0 {
            rows = vec![writer.roll(&rows).await];
        }
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    assert!(collector.await.unwrap() > 0, "nothing was collected");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(total(&client).await, written);
    assert_eq!(store.history(&writer.lane).await.unwrap().end(), Some(writer.end));
}
