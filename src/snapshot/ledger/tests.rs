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
        acts in prop::collection::vec((any_act(), prop::option::of(any::<bool>())), 0..80),
    ) {
        let mut world = World::default();
        let mut view = LedgerView::default();
        for (act, look) in acts {
            world.act(act);
            let Some(looks_back) = look else { continue };
            let rows = stored(&world);
            view = looked(view, &rows, looks_back);
            let whole = LedgerView::of(gate::counting(rows));
            prop_assert_eq!(view.counting(), whole.counting());
            prop_assert_eq!(view.ends(), whole.ends());
        }
    }

    /// Some become visible only when all others are.
    #[test]
    fn what_became_visible_late_is_found_by_looking_back(
        acts in prop::collection::vec((any_act(), any::<bool>(), any::<bool>()), 0..40),
    ) {
        let mut world = World::default();
        let mut view = LedgerView::default();
        let mut late = HashSet::new();
        for (act, is_late, look) in acts {
            let before = world.ledger.len();
            world.act(act);
            let new = world.ledger.iter().skip(before).map(|row| row.block);
            late.extend(new.filter(|_| is_late));
            if look {
                let rows = stored(&world);
                let is_visible = |row: &&Published| !late.contains(&row.row.block);
                let visible: Vec<_> = rows.iter().filter(is_visible).cloned().collect();
                let newer = looked(LedgerView::of(view.counting().to_vec()), &visible, false);
                let missed = |view: &LedgerView| gaps(view.counting());
                if missed(&newer) > missed(&view) {
                    prop_assert!(!newer.goes_on_from(&view), "what lies between is missed");
                }
                view = newer;
            }
        }
        let rows = stored(&world);
        view = looked(view, &rows, true);
        let whole = LedgerView::of(gate::counting(rows));
        let blocks = |view: &LedgerView| view.rows().iter().map(|row| row.block).collect::<HashSet<_>>();
        prop_assert_eq!(blocks(&view), blocks(&whole));
        prop_assert_eq!(view.ends(), whole.ends());
    }
}

/// Offsets that no row covers, of all lanes.
fn gaps(rows: &[Published]) -> i64 {
    let mut lanes: BTreeMap<&Lane, Vec<(i64, i64)>> = BTreeMap::new();
    for Published { row, .. } in rows {
        lanes.entry(&row.lane).or_default().push((row.first_offset, row.next_offset));
    }
    let missed = |mut ranges: Vec<(i64, i64)>| {
        ranges.sort_unstable();
        let (mut end, mut missed) = (ranges[0].0, 0);
        for (first, next) in ranges {
            missed += (first - end).max(0);
            end = next.max(end);
        }
        missed
    };
    lanes.into_values().map(missed).sum()
}

/// The view after a look at what is visible now.
fn looked(view: LedgerView, rows: &[Published], looks_back: bool) -> LedgerView {
    let since = view.read_from_ms(looks_back);
    let recent: Vec<_> = rows.iter().filter(|row| row.published_at_ms >= since).cloned().collect();
    view.with(recent).unwrap_or(view)
}

#[test]
fn nothing_new_gives_nothing() {
    let mut world = World::default();
    world.act(crate::snapshot::progress::tests::Act::Live { partition: 0, events: vec![(0, 1)] });
    let view = LedgerView::default().with(stored(&world)).unwrap();
    assert!(view.with(stored(&world)).is_none());
    assert!(view.with(Vec::<Published>::new()).is_none());
}
