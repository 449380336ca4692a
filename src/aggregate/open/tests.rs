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
    count_event(block, &event, usage.id);
}

fn count_event(block: &mut OpenBlock, event: &Event<'_>, id: u32) {
    let trace = Trace::Keyed(EventKey(u128::from(id)), Content(1));
    let organization = block.prefetch(event.organization);
    block.approach(organization);
    block.count(event, organization, trace, fold);
}

/// Some names have room where their counts are, some don't.
fn name_of(number: u16) -> String {
    let length = [0, 36, 37, 38, 39, 200][usize::from(number) % 6];
    format!("{number:x<length$}")
}

/// One call of an organization in an hour.
fn call(block: &mut OpenBlock, organization: &str, hour: u32) {
    let event = Event {
        organization,
        source: "s",
        id: EventId::Text("i"),
        time_ms: i64::from(hour) * HOUR_MS,
        region: "us",
        body: Body::Usage(&[Charge { meter: MeterIndex(0), quantity: 1 }]),
    };
    count_event(block, &event, 0);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also in the block that follows one, which is made with room.
    #[test]
    fn organizations_are_told_apart_however_many_and_however_long_their_names(
        calls in prop::collection::vec((0u16..3_000, 480_000u32..480_002), 0..4_000), cut in 0usize..4_000,
    ) {
        let (first, second) = calls.split_at(cut.min(calls.len()));
        let mut block = OpenBlock::default();
        for part in [first, second] {
            let mut expected: BTreeMap<(String, u32), u128> = BTreeMap::new();
            for (number, hour) in part {
                call(&mut block, &name_of(*number), *hour);
                *expected.entry((name_of(*number), *hour)).or_default() += 1;
            }
            let next = block.successor();
            let counted = std::mem::replace(&mut block, next).finish(&meters());
            let counted = counted.counts.into_iter().map(|row| ((row.organization, row.hour), row.value));
            prop_assert_eq!(counted.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_block_after_a_small_one_grows_as_it_must() {
    for before in 0..40 {
        let mut block = OpenBlock::default();
        (0..before).for_each(|number| call(&mut block, &name_of(number), 480_000));
        let mut block = block.successor();
        (0..100).for_each(|number| call(&mut block, &name_of(number), 480_000));
        assert_eq!(block.finish(&meters()).counts.len(), 100);
    }
}

/// The goal is 128 for each organization, meter, region and hour.
#[test]
fn an_organization_takes_few_bytes() {
    for count in [2_000u32, 10_000, 13_000, 100_000] {
        let mut block = OpenBlock::default();
        for number in 0..count {
            call(&mut block, &format!("{number:036}"), 480_000);
        }
        let bytes = block.organizations.bytes();
        assert!(bytes < 96 * count as usize, "{count} organizations take {bytes} bytes");
    }
}
