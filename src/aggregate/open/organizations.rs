//! The organizations of a block, numbered as they come, each with the count that it adds to most.

use super::counts::{Bucket, Counts};
use super::names::Seed;
use crate::aggregate::Fold;
use crate::event::MeterIndex;
use crate::processor::prefetch;

/// One organization of the block, with the count of its latest hour: a line of memory, so that an
/// event touches one in the ordinary case.
#[repr(C, align(64))]
struct Organization {
    value: u128,
    hour: u32,
    region: u32,
    meter: MeterIndex,
    name: Name,
}

/// Short names stand in it, others in a list beside.
#[derive(Clone, Copy)]
struct Name {
    /// Of the name, or [`ELSEWHERE`].
    length: u8,
    bytes: [u8; SHORT],
}

/// A UUID has 36 bytes.
const SHORT: usize = 37;
const ELSEWHERE: u8 = u8::MAX;
const _: () = assert!(size_of::<Organization>() == 64);

/// The hash of an organization's name, which says where to look for it in blocks of one lane.
#[derive(Clone, Copy, Debug)]
pub struct OrganizationHash(u64);

#[derive(Default)]
pub(super) struct Organizations {
    seed: Seed,
    index: Index,
    /// In pieces of one size, so that none is copied when they become more.
    pieces: Vec<Vec<Organization>>,
    count: usize,
    /// Names that are too long for their line.
    long: Vec<Box<str>>,
    long_bytes: usize,
}

/// Organizations of a piece.
const PIECE: usize = 1 << 6;

impl Organizations {
    pub fn with_room_for(others: &Self) -> Self {
        Self { seed: others.seed, index: Index::with_room_for(others.count / 2), ..Self::default() }
    }

    /// Asks for what a look at the organization needs first.
    #[inline]
    pub fn prefetch(&self, name: &str) -> OrganizationHash {
        let hash = self.seed.hash(name);
        self.index.prefetch(hash);
        OrganizationHash(hash)
    }

    /// Asks for what it needs next, once what it needs first is there.
    #[inline]
    pub fn approach(&self, hash: OrganizationHash) {
        if let Some(number) = self.index.tagged(hash.0).next() {
            prefetch(self.at(number));
        }
    }

    /// Adds to a bucket of the organization.
    pub fn add(
        &mut self,
        name: &str,
        OrganizationHash(hash): OrganizationHash,
        bucket: Bucket,
        quantity: u64,
        fold: impl Fn() -> Fold,
        others: &mut Counts,
    ) {
        let known = self.index.tagged(hash).find(|number| self.is_named(*number, name));
        match known {
            Some(number) => {
                let number = number as usize;
                self.pieces[number / PIECE][number % PIECE].add(
                    number as u32,
                    bucket,
                    u128::from(quantity),
                    fold,
                    others,
                );
            }
            None => self.put(name, hash, bucket, quantity),
        }
    }

    fn put(&mut self, name: &str, hash: u64, bucket: Bucket, quantity: u64) {
        if self.count.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let number = u32::try_from(self.count).expect("a block is cut long before 2^32 names");
        let name = self.keep(name);
        let Bucket { hour, region, meter } = bucket;
        let new = Organization { value: u128::from(quantity), hour, region, meter, name };
        self.pieces.last_mut().expect("pushed above").push(new);
        self.count += 1;
        if self.index.is_full() {
            let larger = self.index.len().max(Index::LEAST / 2) * 2;
            let mut index = Index::with_slots(larger);
            for (number, (name, ..)) in self.each().enumerate() {
                index.insert(self.seed.hash(name), number as u32);
            }
            self.index = index;
        } else {
            self.index.insert(hash, number);
        }
    }

    fn keep(&mut self, name: &str) -> Name {
        let mut bytes = [0; SHORT];
        if let Some(place) = bytes.get_mut(..name.len()) {
            place.copy_from_slice(name.as_bytes());
            return Name { length: name.len() as u8, bytes };
        }
        let number = u32::try_from(self.long.len()).expect("as many as organizations at most");
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        self.long.push(name.into());
        self.long_bytes += name.len();
        Name { length: ELSEWHERE, bytes }
    }

    #[inline]
    fn at(&self, number: u32) -> &Organization {
        &self.pieces[number as usize / PIECE][number as usize % PIECE]
    }

    #[inline]
    fn is_named(&self, number: u32, name: &str) -> bool {
        self.name_of(self.at(number)) == name.as_bytes()
    }

    #[inline]
    fn name_of<'a>(&'a self, organization: &'a Organization) -> &'a [u8] {
        let Name { length, bytes } = &organization.name;
        if *length != ELSEWHERE {
            return &bytes[..usize::from(*length)];
        }
        let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.long[number as usize].as_bytes()
    }

    /// Name, current bucket and its value, by number.
    pub fn each(&self) -> impl Iterator<Item = (&str, Bucket, u128)> {
        self.pieces
            .iter()
            .flatten()
            .map(|organization| (text(self.name_of(organization)), organization.bucket(), organization.value))
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// In memory, empty places included; 16 bytes are the allocator's share of a long name.
    pub fn bytes(&self) -> usize {
        let long = self.long_bytes + self.long.capacity() * (size_of::<Box<str>>() + 16);
        self.index.bytes() + self.pieces.len() * PIECE * size_of::<Organization>() + long
    }
}

fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).expect("the bytes of a text")
}

impl Organization {
    fn bucket(&self) -> Bucket {
        Bucket { hour: self.hour, region: self.region, meter: self.meter }
    }

    /// Buckets of later hours take the place of the current one. So the current one is never among
    /// `others`, whose hours are none later than its own.
    fn add(
        &mut self,
        number: u32,
        bucket: Bucket,
        quantity: u128,
        fold: impl Fn() -> Fold,
        others: &mut Counts,
    ) {
        if bucket == self.bucket() {
            self.value = fold().join(self.value, quantity);
        } else if bucket.hour > self.hour {
            others.add(number, self.bucket(), self.value, Fold::Sum);
            (self.hour, self.region, self.meter) = (bucket.hour, bucket.region, bucket.meter);
            self.value = quantity;
        } else {
            others.add(number, bucket, quantity, fold());
        }
    }
}

/// Where to look for numbers: 8 bytes each, half of a hash and the number, at the place that the other
/// half says or behind it.
#[derive(Default)]
struct Index {
    /// A power of two, or none; 0 where nothing is.
    slots: Vec<u64>,
    taken: usize,
}

impl Index {
    const LEAST: usize = 16;

    fn with_slots(slots: usize) -> Self {
        Self { slots: vec![0; slots], taken: 0 }
    }

    fn with_room_for(numbers: usize) -> Self {
        if numbers == 0 {
            Self::default()
        } else {
            Self::with_slots((numbers * 4 / 3 + 1).next_power_of_two())
        }
    }

    fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether one more would leave too few places empty: a search ends at the first of them.
    fn is_full(&self) -> bool {
        (self.taken + 1) * 4 > self.slots.len() * 3
    }

    fn first(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.first(hash)) {
            prefetch(slot);
        }
    }

    /// The numbers that may be of the hash.
    #[inline]
    fn tagged(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (mut at, mask) = (self.first(hash), self.slots.len().wrapping_sub(1));
        std::iter::from_fn(move || {
            loop {
                let slot = *self.slots.get(at)?;
                if slot == 0 {
                    return None;
                }
                at = (at + 1) & mask;
                if slot >> 32 == hash >> 32 {
                    return Some(slot as u32 - 1);
                }
            }
        })
    }

    /// There must be room.
    fn insert(&mut self, hash: u64, number: u32) {
        let mut at = self.first(hash);
        while self.slots[at] != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = hash & (u64::from(u32::MAX) << 32) | (u64::from(number) + 1);
        self.taken += 1;
    }

    fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }
}
