//! The one place where threads meet without a lock on the counting path, under every interleaving
//! that the memory model allows.

/// `dedup`'s own file, over loom's atomics in place of the standard library's.
#[allow(dead_code)]
#[path = "../../src/dedup/budget.rs"]
mod budget;

/// What that file takes its atomics from.
mod sync {
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

use budget::Budget;

#[test]
fn lanes_never_take_more_than_the_budget_and_what_is_given_back_is_there_again() {
    loom::model(|| {
        let budget = Budget::new(10);
        let lanes: Vec<_> = (0..2)
            .map(|_| {
                let budget = budget.clone();
                loom::thread::spawn(move || {
                    let first = budget.take(6);
                    assert!(budget.used() <= 10);
                    drop(first);
                    drop(budget.take(4));
                })
            })
            .collect();
        for lane in lanes {
            lane.join().expect("a lane");
        }
        assert_eq!(budget.used(), 0);
        assert!(budget.take(10).is_some_and(|_share| budget.take(1).is_none()));
    });
}
