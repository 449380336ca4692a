//! The names of a block's regions, numbered as they come.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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

    pub fn hash(self, name: &str) -> u64 {
        xxh3_64_with_seed(name.as_bytes(), self.0)
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
