use proptest::prelude::*;

use super::*;
use crate::snapshot::progress::tests::{World, any_act};

/// The world's ledger as stored: one row every second.
fn stored(world: &World) -> Vec<Published> {
    let second = |place: usize| i64::try_from(place).unwrap() * 1000;
    let published =
        |(place, row): (usize, &LedgerRow)| Published { row: row.clone(), published_at_ms: second(place) };
    world.ledger.iter().enumerate().map(published).collect()
}

proptest! {
    #[test]
    fn what_was_published_of_late_gives_what_the_whole_ledger_gives(
        acts in prop::collection::vec((any_act(), any::<bool>()), 0..80),
    ) {
        let mut world = World::default();
        let mut view = LedgerView::default();
        for (act, look) in acts {
            world.act(act);
            if !look {
                continue;
            }
            let rows = stored(&world);
            let since = view.read_from_ms();
            let recent = rows.iter().filter(|row| row.published_at_ms >= since).cloned().collect();
            if let Some(newer) = view.with(recent) {
                view = newer;
            }
            let whole = LedgerView::of(gate::counting(rows));
            prop_assert_eq!(view.counting(), whole.counting());
            prop_assert_eq!(view.ends(), whole.ends());
        }
    }
}

#[test]
fn nothing_new_gives_nothing() {
    let mut world = World::default();
    world.act(crate::snapshot::progress::tests::Act::Live { partition: 0, events: vec![(0, 1)] });
    let view = LedgerView::default().with(stored(&world)).unwrap();
    assert!(view.with(stored(&world)).is_none());
    assert!(view.with(Vec::<Published>::new()).is_none());
}
