use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Few groups and few tags, 0 among them, so that groups overflow and slots are looked at in vain.
fn key(number: u64) -> (u64, u64) {
    (((number % 2) << 51) | ((number % 7) << 8) | (number % 3), ((number % 5) << 61) | number)
}

fn grow(table: &mut Table) {
    let (groups, bytes) = table.next_size();
    *table = table.resized(groups);
    assert_eq!(table.bytes(), bytes);
}

proptest! {
    /// What was put in and not swept away is there, whatever overflowed and was freed before.
    #[test]
    fn a_table_holds_what_a_map_holds(
        shard_bits in prop::sample::select(vec![0u32, 2, 8, 12]),
        steps in prop::collection::vec((0u64..300, 0i64..3, 0u32..60), 1..1_500),
    ) {
        let layout = Layout::new(shard_bits, 0);
        let mut table = Table::empty(layout);
        let mut expected: HashMap<(u64, u64), Last> = HashMap::new();
        let mut offset = 5;
        for (number, step, chance) in steps {
            offset += step;
            let (high, low) = key(number);
            let high = high & (u64::MAX >> shard_bits);
            let last = Last { offset, content: chance };
            if chance == 0 {
                let oldest = offset - 40;
                table.sweep(oldest);
                expected.retain(|_, last| last.offset >= oldest);
            }
            let before = table.replace(high, low, last, 0);
            prop_assert_eq!(before, expected.get(&(high, low)).copied());
            if before.is_none() {
                if table.is_full() {
                    grow(&mut table);
                }
                table.insert(high, low, last, 0);
            }
            expected.insert((high, low), last);
            prop_assert_eq!(table.occupied(), expected.len());
        }
        let (entries, base) = table.sorted(i64::MIN / 2);
        let mut all: Vec<_> = expected.into_iter().collect();
        all.sort_by_key(|(key, _)| *key);
        let found: Vec<_> = entries
            .iter()
            .map(|entry| {
                let offset = base + i64::from(entry.position);
                ((entry.high, entry.low), Last { offset, content: entry.content })
            })
            .collect();
        prop_assert_eq!(found, all);
    }
}

/// All bits of a key count: those of its tag, those that its shard says, and the others.
#[test]
fn keys_that_differ_in_any_one_bit_are_two() {
    for shard_bits in [0u32, 7, 8, 12] {
        let shard = 0b1010_0101_1100 >> (12 - shard_bits);
        let layout = Layout::new(shard_bits, shard);
        let key = (u128::from(layout.shard) << 64) | 0x0123_4567_89AB_CDEF_0123_4567_89AB;
        let mut table = Table::empty(layout);
        grow(&mut table);
        let last = Last { offset: 3, content: 0 };
        table.insert((key >> 64) as u64, key as u64, last, 0);
        for bit in 0..128 - shard_bits {
            let other = key ^ (1 << bit);
            assert_eq!(table.replace((other >> 64) as u64, other as u64, last, 0), None, "bit {bit}");
        }
        let (entries, _) = table.sorted(0);
        assert_eq!((entries[0].high, entries[0].low), ((key >> 64) as u64, key as u64));
    }
}

/// The two groups that a key belongs into are nearly always all that is looked at.
#[test]
fn a_full_table_has_hardly_a_key_outside_of_its_two_groups() {
    let mut table = Table::empty(Layout::new(0, 0));
    let hash = |number: u64| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
    let mut number = 0;
    while number < 50_000 || !table.is_full() {
        if table.is_full() {
            grow(&mut table);
        }
        let key = hash(number);
        table.insert((key >> 64) as u64, key as u64, Last { offset: 1, content: 0 }, 0);
        number += 1;
    }
    let passed = (0..table.groups).filter(|group| table.header(*group)[PASSED] > 0).count();
    assert!(passed * 200 <= table.groups, "{passed} of {} groups were passed", table.groups);
}
