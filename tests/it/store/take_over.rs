//! What a new owner lists of what an earlier one committed and did not list.

use odometer::aggregate::LedgerRow;
use odometer::flush::{CommitNote, take_over};
use odometer::source::Committed;
use odometer::store::Store;

use super::{Writer, calls, servers};

async fn end_after_take_over(store: &Store, row: &LedgerRow) -> Option<i64> {
    let metadata = CommitNote::of(row).to_string().into_bytes();
    let committed = Committed { offset: row.next_offset, metadata };
    take_over(store, &row.lane, "odometer", Some(&committed), 7).await.unwrap().end()
}

/// A second owner's first block follows the first owner's; its second one follows what only its first
/// block may have told, e.g. that the log was cut. A ledger that was restored may lack that, or all
/// that an owner in between has told.
#[tokio::test]
async fn a_block_is_listed_only_behind_what_its_owner_listed_first() {
    let (store, _) = servers::new_store("healing").await;
    for (topic, token, sequence, listed_first, end) in [
        ("first", 2, 0, false, 20),
        ("second", 2, 1, false, 10),
        ("second-of-two", 2, 1, true, 20),
        // Whether an owner in between told of a cut is not known.
        ("third", 3, 0, false, 10),
    ] {
        let mut first = Writer::new(&store, topic, 0);
        first.live(&[calls("acme", 1)]).await;
        let mut second = Writer { token, tenure: 5, end: 10, ..Writer::new(&store, topic, 0) };
        if listed_first {
            let row = LedgerRow { sequence: 0, loss: "the log was cut".into(), ..second.row(0, &[]) };
            store.insert_block(&row, &[], &[]).await.unwrap();
            store.publish(&row).await.unwrap();
        }
        let counts = [calls("acme", 2)];
        let row = LedgerRow { sequence, ..second.row(10, &counts) };
        store.insert_block(&row, &counts, &[]).await.unwrap();
        assert_eq!(end_after_take_over(&store, &row).await, Some(end), "{topic}");
    }
}
