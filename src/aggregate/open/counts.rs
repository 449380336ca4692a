use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::names::Seed;
use crate::aggregate::Fold;
use crate::event::MeterIndex;

/// What is counted apart of one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Hours since the epoch.
    pub hour: u32,
    pub region: u32,
    pub meter: MeterIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    organization: u32,
    bucket: Bucket,
}

/// The values of buckets that are not their organization's current one.
#[derive(Default)]
pub(super) struct Counts {
    seed: Seed,
    values: HashTable<(Key, u128)>,
}

impl Counts {
    pub fn with_room_for(others: &Self) -> Self {
        Self { seed: others.seed, values: HashTable::with_capacity(others.values.len() / 2) }
    }

    pub fn add(&mut self, organization: u32, bucket: Bucket, quantity: u128, fold: Fold) {
        let key = Key { organization, bucket };
        let (seed, values) = (self.seed, &mut self.values);
        match values.entry(hash(seed, &key), |(other, _)| *other == key, |(key, _)| hash(seed, key)) {
            Entry::Occupied(mut entry) => {
                let value = &mut entry.get_mut().1;
                *value = fold.join(*value, quantity);
            }
            Entry::Vacant(entry) => drop(entry.insert((key, quantity))),
        }
    }

    pub fn each(&self) -> impl Iterator<Item = (u32, Bucket, u128)> {
        self.values.iter().map(|(key, value)| (key.organization, key.bucket, *value))
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// In memory, empty places included.
    pub fn bytes(&self) -> usize {
        self.values.allocation_size()
    }
}

/// A product of both halves, folded, spreads them well. Hours are the sender's choice, hence the seed.
fn hash(seed: Seed, key: &Key) -> u64 {
    /// Digits of π without a meaning.
    const DIGITS: [u64; 2] = [0x2436_A88A_85A3_08D3, 0x1319_8A2E_0370_7344];
    let Bucket { hour, region, meter } = key.bucket;
    let first = u64::from(key.organization) << 32 | u64::from(hour);
    let second = u64::from(region) << 16 | u64::from(meter.0);
    let product = u128::from(first ^ DIGITS[0] ^ seed.number()) * u128::from(second ^ DIGITS[1]);
    (product >> 64) as u64 ^ product as u64
}
