use proptest::prelude::*;

use super::*;
use crate::event::Format;
use crate::simulate::traffic::tests::settings;

fn draft(ordinal: u64, time_ms: i64, change: Change) -> Draft {
    Draft {
        ordinal,
        organization: 1,
        region: RegionIndex(0),
        time_ms,
        kind: Kind::Catalog(change),
        fault: None,
    }
}

proptest! {
    #[test]
    fn the_order_of_events_does_not_matter(seed: u64, order in Just((0..30_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let run = Run::new(settings(Format::Cloudevents), 1).unwrap();
        let mut random = Random::new(seed);
        let mut ahead = Catalog::new(vec![50, 200]);
        let drafts: Vec<Draft> = (0..30_u64)
            .map(|at| draft(at, at as i64 / 2 * 7, ahead.next_change(1, RegionIndex(0), &mut random)))
            .collect();
        drafts.iter().for_each(|draft| ahead.apply(&run, draft));
        let mut shuffled = Catalog::new(vec![50, 200]);
        let mut random = Random::new(seed);
        for _ in 0..30 {
            shuffled.next_change(1, RegionIndex(0), &mut random);
        }
        order.iter().for_each(|&at| shuffled.apply(&run, &drafts[at]));
        prop_assert_eq!(ahead.counts(0), shuffled.counts(0));
        prop_assert_eq!(ahead.counts(1), shuffled.counts(1));
    }
}

#[test]
fn a_deleted_service_is_not_counted_as_published() {
    let run = Run::new(settings(Format::Cloudevents), 1).unwrap();
    let mut catalog = Catalog::new(vec![100]);
    let change =
        |action, version| Change { slot: 0, action, published: None, version: Some(version), name: None };
    catalog.services.insert(
        (1, RegionIndex(0), 0),
        State { exists: false, published: false, changes: 0, registers: vec![Register::default()] },
    );
    let of = |catalog: &Catalog| catalog.counts(0).get(&(1, RegionIndex(0))).copied();
    for (action, version, expected) in [
        (ServiceAction::Unpublished, 1, None),
        (ServiceAction::Created, 2, Some((1, 0))),
        (ServiceAction::Published, 3, Some((1, 1))),
        (ServiceAction::Unpublished, 1, Some((1, 1))),
        (ServiceAction::Deleted, 4, None),
        (ServiceAction::Updated, 5, Some((1, 1))),
        (ServiceAction::Created, 6, Some((1, 0))),
    ] {
        catalog.apply(&run, &draft(version as u64, 10, change(action, version)));
        assert_eq!(of(&catalog), expected, "{action:?} version {version}");
    }
}
