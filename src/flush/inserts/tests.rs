use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::aggregate::BlockId;
use crate::event::{Lane, Rules, RulesHash};
use crate::flush::FinishedBlock;
use crate::source::Tenure;
use crate::store::History;
use crate::store::Uncounted;

/// Knows only inserts: an error of any other call is the test's own.
#[derive(Default)]
struct Blocks {
    /// The blocks of each insert, in the order of the calls.
    inserts: Mutex<Vec<Vec<u128>>>,
    /// The same for ledger rows.
    published: Mutex<Vec<Vec<u128>>>,
    /// Inserts, and statements of ledger rows, that hold one of these fail.
    refused: Vec<u128>,
    /// Inserts that hold one of these never end.
    stuck: Vec<u128>,
}

const NOT_ASKED_FOR: &str = "only inserts are asked for";

impl Stores for Blocks {
    type Error = &'static str;

    async fn insert_blocks(&self, blocks: &[NewBlock<'_>]) -> Result<(), &'static str> {
        let ids: Vec<u128> = blocks.iter().map(|block| block.row.block.0).collect();
        self.inserts.lock().unwrap().push(ids.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let holds = |some: &[u128]| ids.iter().any(|id| some.contains(id));
        if holds(&self.stuck) {
            pending::<()>().await;
        }
        if holds(&self.refused) { Err("refused") } else { Ok(()) }
    }

    async fn insert_roll(&self, _: &LedgerRow, _: &[LedgerRow]) -> Result<u128, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn claim(&self, _: &Tenure) -> Result<(), &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn publish(&self, _: &LedgerRow, _: &Tenure) -> Result<bool, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn publish_all(&self, rows: &[(LedgerRow, Tenure)]) -> Result<(), &'static str> {
        let ids: Vec<u128> = rows.iter().map(|(row, _)| row.block.0).collect();
        self.published.lock().unwrap().push(ids.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
        if ids.iter().any(|id| self.refused.contains(id)) { Err("refused") } else { Ok(()) }
    }

    async fn history(&self, _: &Lane) -> Result<History, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn prepared(&self, _: BlockId) -> Result<Option<LedgerRow>, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn first_partitions(&self, _: &Lane, _: i32) -> Result<i32, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn uncounted_before(&self, _: &Lane) -> Result<Option<Uncounted>, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn closed_offsets(&self, _: &Lane) -> Result<Vec<i64>, &'static str> {
        Err(NOT_ASKED_FOR)
    }

    async fn rules(&self, _: RulesHash) -> Result<Option<Rules>, &'static str> {
        Err(NOT_ASKED_FOR)
    }
}

fn row(block: u128) -> LedgerRow {
    let lane = Lane { topic: "events".into(), topic_id: "id".into(), partition: 0 };
    let tenure = Tenure { lane, token: 1, id: 1 };
    let empty = FinishedBlock::empty(0, 1, 0, RulesHash(0), String::new());
    empty.ledger_row(&tenure, "odometer", 0, BlockId(block))
}

/// One lane's task each, which begins after so many milliseconds.
fn start(
    inserts: &Arc<Inserts<Blocks>>,
    blocks: &[(u128, u64)],
) -> Vec<tokio::task::JoinHandle<Result<(), String>>> {
    let start = |&(block, after_ms): &(u128, u64)| {
        let inserts = Arc::clone(inserts);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let inserted = inserts.insert_together(row(block), Arc::default()).await;
            inserted.map_err(|error| error.to_string())
        })
    };
    blocks.iter().map(start).collect()
}

fn inserts(refused: &[u128], stuck: &[u128]) -> Arc<Inserts<Blocks>> {
    let store = Blocks { refused: refused.to_vec(), stuck: stuck.to_vec(), ..Blocks::default() };
    Arc::new(Inserts::new(store))
}

fn calls(inserts: &Inserts<Blocks>) -> Vec<Vec<u128>> {
    inserts.store().inserts.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_at_about_the_same_time_is_one_insert() {
    let inserts = inserts(&[], &[]);
    // The last two come while the first three are being inserted.
    for task in start(&inserts, &[(1, 0), (2, 3), (3, 8), (4, 20), (5, 55)]) {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(calls(&inserts), [vec![1, 2, 3], vec![4, 5]]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_together_fails_for_each_and_alone_each_shows_whose_it_is() {
    let inserts = inserts(&[2, 12], &[]);
    for task in start(&inserts, &[(1, 0), (2, 0), (3, 0)]) {
        assert_eq!(task.await.unwrap(), Err("refused".into()));
    }
    for (block, expected) in [(11, Ok(())), (12, Err("refused".to_owned())), (13, Ok(()))] {
        let inserted = inserts.insert(&row(block), &Contents::default()).await;
        assert_eq!(inserted.map_err(|error| error.to_string()), expected);
    }
    assert_eq!(calls(&inserts), [vec![1, 2, 3], vec![11], vec![12], vec![13]]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_given_up_while_it_inserts_for_others_fails_them_and_blocks_nobody() {
    let inserts = inserts(&[], &[1]);
    let mut tasks = start(&inserts, &[(1, 0), (2, 1), (3, 2), (4, 30)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Its turn came first; the fourth waits for it.
    tasks.remove(0).abort();
    let [second, third, fourth] = tasks.try_into().unwrap();
    for task in [second, third] {
        assert_eq!(task.await.unwrap(), Err("the insert was given up".into()));
    }
    assert_eq!(fourth.await.unwrap(), Ok(()));
    assert_eq!(calls(&inserts), [vec![1, 2, 3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_given_up_while_it_waits_is_left_out() {
    let inserts = inserts(&[], &[]);
    let mut tasks = start(&inserts, &[(1, 0), (2, 1), (3, 2)]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    tasks.remove(0).abort();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(calls(&inserts), [vec![2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn ledger_rows_are_written_together_and_one_that_is_refused_fails_all() {
    let inserts = inserts(&[13], &[]);
    let publish = |block: u128| {
        let (inserts, row) = (Arc::clone(&inserts), row(block));
        let owner = Tenure { lane: row.lane.clone(), token: 1, id: 1 };
        tokio::spawn(async move { inserts.publish_together(row, owner).await })
    };
    for (blocks, is_written) in [([1, 2, 3], true), ([11, 12, 13], false)] {
        for task in blocks.map(&publish) {
            assert_eq!(task.await.unwrap(), is_written);
        }
    }
    assert_eq!(*inserts.store().published.lock().unwrap(), [[1, 2, 3], [11, 12, 13]]);
}
