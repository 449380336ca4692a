//! Inserting, publishing, rolling up, counting again: what readers see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use odometer::aggregate::{BlockId, BlockKind, Fold, LedgerRow};
use odometer::event::Lane;
use odometer::store::{Claim, Store};

use crate::support::clickhouse;
use crate::support::servers::is_cluster;

use super::{NOVEMBER_HOUR, Writer, calls, count, greatest, monthly, number, servers, total, user};

/// Longer than the second from which on the views use a roll.
const VIEWS_SWITCHED: Duration = Duration::from_millis(1500);

async fn sum_of_blocks(store: &Store, rows: &[LedgerRow]) -> u128 {
    let mut counts = store.counts_of(rows).unwrap();
    let mut sum = 0;
    while let Some((_, row)) = counts.next().await.unwrap() {
        sum += row.value;
    }
    sum
}

/// As a reader in two statements: the gate, then the rows that it lets through.
async fn sum_in_two_statements(store: &Store) -> u128 {
    let counting: Vec<LedgerRow> =
        store.counting_rows().await.unwrap().into_iter().map(|row| row.row).collect();
    sum_of_blocks(store, &counting).await
}

#[tokio::test]
async fn a_block_counts_from_its_publication_on() {
    let (store, settings) = servers::new_store("publish").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let counts = [calls("acme", 7), calls("globex", 5)];
    let row = writer.row(10, &counts);
    store.insert_block(&row, &counts, &[]).await.unwrap();
    assert_eq!(total(&client).await, 0);
    assert_eq!(sum_in_two_statements(&store).await, 0);
    assert_eq!(number(&client, "SELECT count() FROM ledger").await, 0);
    assert_eq!(store.prepared(row.block).await.unwrap().as_ref(), Some(&row));
    for _ in 0..2 {
        store.publish(&row).await.unwrap();
        assert_eq!(total(&client).await, 12);
        assert_eq!(sum_in_two_statements(&store).await, 12);
        assert_eq!(number(&client, "SELECT count() FROM ledger").await, 1);
    }
    let history = store.history(&writer.lane).await.unwrap();
    assert_eq!(history.rows, [row]);
    assert_eq!((history.greatest_token, history.group.as_deref()), (1, Some("odometer")));
}

#[tokio::test]
async fn what_was_never_prepared_is_never_published() {
    let (store, _) = servers::new_store("unprepared").await;
    let row = Writer::new(&store, "topic", 0).row(10, &[]);
    let error = store.publish(&row).await.unwrap_err();
    assert!(error.to_string().contains("not prepared"), "{error}");
    assert!(store.history(&row.lane).await.unwrap().rows.is_empty());
    assert_eq!(store.prepared(row.block).await.unwrap(), None);
}

#[tokio::test]
async fn a_ledger_row_comes_back_as_it_was_written() {
    let (store, settings) = servers::new_store("ledger").await;
    let mut writer = Writer::new(&store, "topic", 3);
    let mut row = writer.row(1 << 40, &[]);
    row.tally.duplicate = u64::MAX >> 2;
    row.tally.rejected = 2;
    row.tally.ignored = 3;
    row.quantity = u128::MAX;
    row.digest = u128::MAX - 1;
    row.tenure = u128::MAX;
    row.token = u64::MAX;
    row.loss = "records 3 to 5 'are' \\ gone".to_owned();
    store.insert_block(&row, &[], &[]).await.unwrap();
    store.publish(&row).await.unwrap();
    let published = store.counting_rows().await.unwrap();
    assert_eq!(published[0].row, row);
    assert_eq!(published[0].received, row.tally.received());
    let empty = LedgerRow { times: None, sequence: 9, ..writer.row(0, &[]) };
    store.insert_block(&empty, &[], &[]).await.unwrap();
    store.publish(&empty).await.unwrap();
    assert_eq!(store.history(&row.lane).await.unwrap().rows, [row.clone(), empty]);
    let text: String = user(&settings)
        .query(
            "SELECT concat(toString(topic), ' ', topic_id, ' ', toString(partition), ' ', block, ' ', kind, ' ', digest, ' ',
                config, ' ', toString(assumeNotNull(min_time)), ' ', toString(assumeNotNull(max_time)), ' ', toString(quantity))
            FROM ledger WHERE received > 0",
        )
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(
        text,
        format!(
            "topic AAAAAAAAAAAAAAAAAAAAAA 3 {} live {:032x} {} 2026-11-01 00:00:00.000 2026-11-01 00:00:00.001 {}",
            row.block, row.digest, row.rules, row.quantity
        )
    );
}

#[tokio::test]
async fn a_roll_sums_sums_and_keeps_the_greatest_of_maxima() {
    let (store, settings) = servers::new_store("roll").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let mut covered = Vec::new();
    for value in [3, 9, 4] {
        covered.push(writer.live(&[calls("acme", value), calls("globex", 1), greatest("acme", value)]).await);
    }
    let before = monthly(&client).await;
    let roll = writer.roll(&covered).await;
    assert_eq!(roll.quantity, 3 + 9 + 4 + 3 + 9);
    tokio::time::sleep(VIEWS_SWITCHED).await;
    assert_eq!(monthly(&client).await, before);
    assert_eq!(before[&("acme".to_owned(), "peak_size".to_owned())], 9);
    assert_eq!(before[&("acme".to_owned(), "api_calls".to_owned())], 16);
    let counting = store.history(&writer.lane).await.unwrap();
    assert_eq!(counting.rows, std::slice::from_ref(&roll));
    let mut counts = store.counts_of(&[roll]).unwrap();
    let mut rows = Vec::new();
    while let Some((_, row)) = counts.next().await.unwrap() {
        rows.push(row);
    }
    rows.sort();
    let mut expected = [calls("acme", 16), calls("globex", 3), greatest("acme", 9)];
    expected.sort();
    assert_eq!(rows, expected);
    assert_eq!(rows.iter().filter(|row| row.fold == Fold::Max).count(), 1);
}

#[tokio::test]
async fn a_roll_refuses_rows_that_are_not_what_their_ledger_row_says() {
    let (store, settings) = servers::new_store("damaged").await;
    let mut writer = Writer::new(&store, "topic", 0);
    let sound = writer.live(&[calls("acme", 3)]).await;
    let damaged = writer.live(&[calls("acme", 4)]).await;
    let database = settings.database;
    tokio::task::spawn_blocking(move || {
        clickhouse::change_rows(&database, "counts", "UPDATE value = 5 WHERE value = 4");
    })
    .await
    .unwrap();
    let roll = writer.row_over(BlockKind::Roll, 1, 0..20, &[]);
    let error = store.insert_roll(&roll, &[sound, damaged.clone()]).await.unwrap_err();
    assert!(error.to_string().contains(&damaged.block.to_string()), "{error}");
    assert!(error.to_string().contains("sum to 5, its ledger row says 4"), "{error}");
    assert_eq!(store.prepared(roll.block).await.unwrap(), None);
}

/// Rolls up 200 times (on a cluster a third of that), three levels deep, while readers of both kinds look on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_up_never_changes_a_total() {
    let blocks: usize = if is_cluster() { 90 } else { 270 };
    let (store, settings) = servers::new_store("rolling").await;
    let client = user(&settings);
    let done = Arc::new(AtomicBool::new(false));
    let published = Arc::new(AtomicU64::new(0));
    let started = Arc::new(AtomicU64::new(0));
    let reader = |two_statements: bool| {
        let (client, store) = (client.clone(), store.clone());
        let (done, published, started) = (done.clone(), published.clone(), started.clone());
        tokio::spawn(async move {
            let (mut reads, mut greatest) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let least = u128::from(published.load(Ordering::SeqCst));
                let read =
                    if two_statements { sum_in_two_statements(&store).await } else { total(&client).await };
                let most = u128::from(started.load(Ordering::SeqCst));
                assert!(least <= read && read <= most, "{read} is not in {least} ..= {most}");
                assert!(greatest <= read, "fell from {greatest} to {read}");
                greatest = read;
                reads += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            reads
        })
    };
    let readers = [reader(true), reader(false)];
    let mut writer = Writer::new(&store, "topic", 0);
    let (mut rows, mut rolls): (Vec<LedgerRow>, usize) = (Vec::new(), 0);
    for block in 0..blocks {
        started.fetch_add(10, Ordering::SeqCst);
        let hour = NOVEMBER_HOUR + u32::try_from(block % 5).unwrap();
        rows.push(
            writer.live(&[count("acme", "api_calls", hour, 4), count("globex", "api_calls", hour, 6)]).await,
        );
        published.fetch_add(10, Ordering::SeqCst);
        // Two blocks of a level make one of the next, up to the third.
        for level in 0..3 {
            let first = rows.iter().position(|row| row.level == level).unwrap_or(rows.len());
            if rows.len() - first >= 2 {
                let covered = rows.split_off(first);
                rows.push(writer.roll(&covered).await);
                rolls += 1;
            }
        }
    }
    tokio::time::sleep(VIEWS_SWITCHED).await;
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() >= 20, "too few reads to tell");
    }
    assert!(rolls >= blocks * 20 / 27, "{rolls}");
    assert_eq!(total(&client).await, 10 * blocks as u128);
    assert_eq!(number(&client, "SELECT sum(quantity) FROM ledger").await, 10 * blocks as u128);
}

#[tokio::test]
async fn a_recount_replaces_what_it_covers_rolled_up_or_not() {
    let (store, settings) = servers::new_store("recount").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let first = writer.live(&[calls("acme", 1)]).await;
    let second = writer.live(&[calls("acme", 2)]).await;
    writer.roll(&[first, second]).await;
    writer.live(&[calls("acme", 4)]).await;
    writer.live(&[calls("acme", 8)]).await;
    let counts = [calls("acme", 100)];
    let recount = writer.row_over(BlockKind::Recount, 1, 0..30, &counts);
    store.insert_block(&recount, &counts, &[]).await.unwrap();
    assert_eq!(total(&client).await, 15);
    store.publish(&recount).await.unwrap();
    assert_eq!(sum_in_two_statements(&store).await, 108, "readers in two statements switch at once");
    tokio::time::sleep(VIEWS_SWITCHED).await;
    assert_eq!(total(&client).await, 108);
    assert_eq!(number(&client, "SELECT count() FROM ledger WHERE kind = 'recount'").await, 1);
    assert_eq!(number(&client, "SELECT count() FROM ledger").await, 2);
}

#[tokio::test]
async fn a_roll_that_a_greater_rank_overlaps_in_part_counts_nothing() {
    let (store, settings) = servers::new_store("partial").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let mut rows = Vec::new();
    for value in [1, 2, 4] {
        rows.push(writer.live(&[calls("acme", value)]).await);
    }
    let stale = writer.unpublished_roll(&rows[..2]).await;
    writer.token = 2;
    writer.roll(&rows[1..]).await;
    store.publish(&stale).await.unwrap();
    tokio::time::sleep(VIEWS_SWITCHED).await;
    assert_eq!(total(&client).await, 7);
    assert_eq!(sum_in_two_statements(&store).await, 7);
    assert_eq!(number(&client, "SELECT count() FROM ledger").await, 2);
}

#[tokio::test]
async fn sums_do_not_wrap() {
    const GREATEST: u128 = (1 << 53) - 1;
    let (store, settings) = servers::new_store("wrap").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let hours = 0..100u32;
    let counts: Vec<_> =
        hours.clone().map(|hour| count("acme", "tokens", NOVEMBER_HOUR + hour, GREATEST << 20)).collect();
    let mut blocks = Vec::new();
    for _ in 0..3 {
        blocks.push(writer.live(&counts).await);
    }
    let exact = 300 * (GREATEST << 20);
    assert!(exact > u128::from(u64::MAX));
    assert_eq!(total(&client).await, exact);
    assert_eq!(number(&client, "SELECT sum(quantity) FROM ledger").await, exact);
    assert_eq!(monthly(&client).await[&("acme".to_owned(), "tokens".to_owned())], u64::MAX, "saturates");
    assert_eq!(writer.roll(&blocks).await.quantity, exact);
}

#[tokio::test]
async fn a_lane_that_was_claimed_takes_no_row_of_an_earlier_owner() {
    let (store, _) = servers::new_store("claims").await;
    let mut writer = Writer::new(&store, "topic", 0);
    let listed = writer.live(&[calls("acme", 1)]).await;
    let late = writer.row_over(BlockKind::Live, 0, listed.next_offset..listed.next_offset + 5, &[]);
    store.insert_block(&late, &[], &[]).await.unwrap();
    let own = Claim { token: late.token, tenure: late.tenure };
    let later = Claim { token: late.token + 1, tenure: 7 };
    let at_once = Claim { tenure: 6, ..later };
    for claim in [later, own, at_once] {
        store.claim(&late.lane, claim).await.unwrap();
    }

    assert!(!store.publish_as(&late, own).await.unwrap(), "its owner comes too late");
    assert!(!store.publish_as(&late, at_once).await.unwrap(), "of two with one token one is the owner");
    assert_eq!(store.history(&late.lane).await.unwrap().rows, vec![listed.clone()]);
    assert_eq!(store.history(&late.lane).await.unwrap().greatest_token, later.token);
    let other = Lane { partition: 1, ..late.lane.clone() };
    assert_eq!(store.history(&other).await.unwrap().greatest_token, 0, "lanes are claimed one by one");

    assert!(store.publish_as(&late, later).await.unwrap(), "the later owner heals it");
    assert_eq!(store.history(&late.lane).await.unwrap().rows, vec![listed, late.clone()]);
    let unknown = LedgerRow { block: BlockId(1), ..late };
    assert!(store.publish_as(&unknown, later).await.is_err(), "nothing is prepared under that id");
}

/// Of two lanes, in one statement: both or, where one is refused, none.
#[tokio::test]
async fn ledger_rows_of_several_lanes_are_written_together_or_not_at_all() {
    let (store, settings) = servers::new_store("together").await;
    let client = user(&settings);
    let mut prepared = Vec::new();
    for partition in 0..2 {
        let mut writer = Writer::new(&store, "topic", partition);
        let counts = [calls("acme", 7)];
        let row = writer.row(10, &counts);
        store.insert_block(&row, &counts, &[]).await.unwrap();
        store.claim(&row.lane, claim_of(&row)).await.unwrap();
        prepared.push(row);
    }
    let [first, second] = &prepared[..] else { unreachable!("two lanes") };
    let both = [(first, claim_of(first)), (second, claim_of(second))];

    let unknown = LedgerRow { block: BlockId(1), ..second.clone() };
    let with_unknown = [both[0], (&unknown, claim_of(&unknown))];
    let error = store.publish_all(&with_unknown).await.unwrap_err().to_string();
    assert!(error.contains("not prepared"), "{error}");
    assert!(store.publish_all(&with_unknown[1..]).await.is_err(), "nothing at all is prepared");
    assert_eq!(total(&client).await, 0);

    let later = Claim { token: second.token + 1, tenure: 7 };
    store.claim(&second.lane, later).await.unwrap();
    let error = store.publish_all(&both).await.unwrap_err().to_string();
    assert!(error.contains("later owner"), "{error}");
    assert_eq!(total(&client).await, 0);

    for _ in 0..2 {
        store.publish_all(&[both[0], (second, later)]).await.unwrap();
        assert_eq!(total(&client).await, 14);
    }
    for row in &prepared {
        assert_eq!(store.history(&row.lane).await.unwrap().rows, std::slice::from_ref(row));
    }
}

fn claim_of(row: &LedgerRow) -> Claim {
    Claim { token: row.token, tenure: row.tenure }
}

#[tokio::test]
async fn views_use_a_roll_only_from_a_second_on() {
    let (store, settings) = servers::new_store("flip").await;
    let (client, mut writer) = (user(&settings), Writer::new(&store, "topic", 0));
    let rows = [writer.live(&[calls("acme", 1)]).await, writer.live(&[calls("acme", 2)]).await];
    writer.roll(&rows).await;
    let sql = "SELECT countIf(kind = 'live') FROM ledger";
    assert_eq!(number(&client, sql).await, 2, "the roll is a moment old");
    tokio::time::sleep(VIEWS_SWITCHED).await;
    assert_eq!(number(&client, sql).await, 0);
    assert_eq!(total(&client).await, 3);
}
