//! The names of a block, numbered as they come.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::counts::{Bucket, Counts};
use crate::aggregate::Fold;

/// A hash that nobody outside can foresee, so that nobody can choose names that collide. It decides
/// nothing but places in tables.
#[derive(Clone, Copy)]
pub(super) struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(std::hash::RandomState::new().hash_one(0))
    }
}

impl Seed {
    pub fn number(self) -> u64 {
        self.0
    }

    fn hash(self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.0)
    }
}

/// One organization of the block, with the count that its events add to most: its latest hour's.
pub(super) struct Organization {
    pub name: Box<str>,
    number: u32,
    pub bucket: Bucket,
    pub value: u128,
}

impl Organization {
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Buckets of later hours take the place of the current one. So the current one is never among
    /// `others`, whose hours are none later than its own.
    pub fn add(&mut self, bucket: Bucket, quantity: u64, fold: impl Fn() -> Fold, others: &mut Counts) {
        let quantity = u128::from(quantity);
        if bucket == self.bucket {
            self.value = fold().join(self.value, quantity);
        } else if bucket.hour > self.bucket.hour {
            others.add(self.number, self.bucket, self.value, Fold::Sum);
            (self.bucket, self.value) = (bucket, quantity);
        } else {
            others.add(self.number, bucket, quantity, fold());
        }
    }
}

#[derive(Default)]
pub(super) struct Organizations {
    seed: Seed,
    all: HashTable<Organization>,
    name_bytes: usize,
}

impl Organizations {
    pub fn with_room_for(others: &Self) -> Self {
        Self { seed: others.seed, all: HashTable::with_capacity(others.all.len() / 2), name_bytes: 0 }
    }

    /// Adds to a bucket of the organization.
    pub fn add(
        &mut self,
        name: &str,
        bucket: Bucket,
        quantity: u64,
        fold: impl Fn() -> Fold,
        others: &mut Counts,
    ) {
        let hash = self.seed.hash(name);
        if let Some(known) = self.all.find_mut(hash, |known| *known.name == *name) {
            return known.add(bucket, quantity, fold, others);
        }
        let number = u32::try_from(self.all.len()).expect("a block is cut long before 2^32 names");
        let new = Organization { name: name.into(), number, bucket, value: u128::from(quantity) };
        self.name_bytes += name.len();
        let seed = self.seed;
        self.all.insert_unique(hash, new, |known| seed.hash(&known.name));
    }

    pub fn each(&self) -> impl Iterator<Item = &Organization> {
        self.all.iter()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// In memory, empty places included; 16 bytes are the allocator's share of a name.
    pub fn bytes(&self) -> usize {
        self.all.allocation_size() + self.name_bytes + self.all.len() * 16
    }
}

#[derive(Default)]
pub(super) struct Regions {
    seed: Seed,
    names: Vec<Box<str>>,
    numbers: HashTable<u32>,
    /// Most events are of the region that the one before was of.
    latest: u32,
}

impl Regions {
    /// A new name gets the next number.
    pub fn number(&mut self, name: &str) -> u32 {
        if self.name(self.latest) != Some(name) {
            self.latest = self.look_up(name);
        }
        self.latest
    }

    pub fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize).map(AsRef::as_ref)
    }

    fn look_up(&mut self, name: &str) -> u32 {
        let Self { seed, names, numbers, .. } = self;
        let hash = seed.hash(name);
        if let Some(number) = numbers.find(hash, |number| *names[*number as usize] == *name) {
            return *number;
        }
        let number = u32::try_from(names.len()).expect("a block is cut long before 2^32 names");
        names.push(name.into());
        numbers.insert_unique(hash, number, |number| seed.hash(&names[*number as usize]));
        number
    }

    /// In memory; a name has at most 16 bytes and as much of the allocator's.
    pub fn bytes(&self) -> usize {
        self.numbers.allocation_size() + self.names.capacity() * (size_of::<Box<str>>() + 32)
    }
}
