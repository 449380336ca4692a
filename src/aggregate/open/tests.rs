use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::event::{Charge, Content, EventKey, HOUR_MS};

fn meters() -> Vec<MeterName> {
    vec![
        MeterName { name: "api_calls".into(), fold: Fold::Sum },
        MeterName { name: "peak_bytes".into(), fold: Fold::Max },
    ]
}

fn fold(meter: MeterIndex) -> Fold {
    if meter.0 == 0 { Fold::Sum } else { Fold::Max }
}

#[derive(Clone, Debug)]
struct Usage {
    organization: u8,
    region: u8,
    hour: u32,
    meter: u16,
    quantity: u64,
    id: u32,
}

fn usage() -> impl Strategy<Value = Usage> {
    (0u8..5, 0u8..3, 480_000u32..480_004, 0u16..2, 0u64..=crate::event::MAX_QUANTITY, any::<u32>()).prop_map(
        |(organization, region, hour, meter, quantity, id)| Usage {
            organization,
            region,
            hour,
            meter,
            quantity,
            id,
        },
    )
}

fn count(block: &mut OpenBlock, usage: &Usage) {
    let charges = [Charge { meter: MeterIndex(usage.meter), quantity: usage.quantity }];
    let organization = format!("org-{}", usage.organization);
    let region = format!("r{}", usage.region);
    let event = Event {
        organization: &organization,
        source: "s",
        id: EventId::Text("i"),
        time_ms: i64::from(usage.hour) * HOUR_MS,
        region: &region,
        body: Body::Usage(&charges),
    };
    let trace = Trace::Keyed(EventKey(u128::from(usage.id)), Content(1));
    block.count(&event, trace, fold);
}

proptest! {
    #[test]
    fn cutting_a_run_into_blocks_changes_neither_counts_nor_digest(
        events in prop::collection::vec(usage(), 0..200), cut in 0usize..200,
    ) {
        let cut = cut.min(events.len());
        let mut expected: BTreeMap<(u8, u16, u8, u32), u128> = BTreeMap::new();
        let (mut whole, mut first, mut second) = (OpenBlock::default(), OpenBlock::default(), OpenBlock::default());
        for (index, event) in events.iter().enumerate() {
            count(&mut whole, event);
            count(if index < cut { &mut first } else { &mut second }, event);
            let value = expected.entry((event.organization, event.meter, event.region, event.hour)).or_default();
            *value = if event.meter == 0 { *value + u128::from(event.quantity) } else { (*value).max(u128::from(event.quantity)) };
        }
        let whole = whole.finish(&meters());
        let parts = [first.finish(&meters()), second.finish(&meters())];
        prop_assert_eq!(whole.digest, parts[0].digest.wrapping_add(parts[1].digest));
        prop_assert_eq!(whole.outcomes.received(), events.len() as u64);
        prop_assert_eq!(whole.counts.iter().map(|row| row.value).collect::<Vec<_>>(), expected.into_values().collect::<Vec<_>>());
        prop_assert!(whole.counts.is_sorted());
    }
}

#[test]
fn quantities_near_the_greatest_do_not_wrap() {
    let mut block = OpenBlock::default();
    for id in 0..5_000 {
        count(
            &mut block,
            &Usage {
                organization: 1,
                region: 0,
                hour: 480_000,
                meter: 0,
                quantity: crate::event::MAX_QUANTITY,
                id,
            },
        );
    }
    let contents = block.finish(&meters());
    assert_eq!(contents.quantity(), 5_000 * u128::from(crate::event::MAX_QUANTITY));
    assert!(contents.quantity() > u128::from(u64::MAX));
}
