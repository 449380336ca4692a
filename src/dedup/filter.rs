use crate::processor::prefetch;

/// Which keys a run may hold: a Bloom filter whose bits for one key lie in one line of memory, one in
/// each of its eight words. At 18 bits a key, 1 of 2,000 to 4,000 keys that a run has not seems to be
/// there.
pub(super) struct Filter {
    lines: Vec<Line>,
}

#[derive(Clone, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

const LINE_BYTES: usize = size_of::<Line>();
/// 2.25 bytes. A run's fences take a twentieth of a byte besides.
const BITS_A_KEY: usize = 18;
/// Odd numbers whose upper bits have no pattern (of the fraction of the golden ratio and of roots).
const SALTS: [u64; 8] = [
    0x9E37_79B9_7F4A_7C15,
    0xBF58_476D_1CE4_E5B9,
    0x94D0_49BB_1331_11EB,
    0xD6E8_FEB8_6659_FD93,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0xFF51_AFD7_ED55_8CCD,
    0xC4CE_B9FE_1A85_EC53,
];

impl Filter {
    pub fn bytes_for(keys: usize) -> usize {
        Self::lines_for(keys) * LINE_BYTES
    }

    fn lines_for(keys: usize) -> usize {
        (keys * BITS_A_KEY).div_ceil(LINE_BYTES * 8).max(1)
    }

    pub fn with_room_for(keys: usize) -> Self {
        Self { lines: vec![Line::default(); Self::lines_for(keys)] }
    }

    pub fn bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    /// The upper half of `low` chooses the line; the bits within it depend on other bits.
    fn line(&self, low: u64) -> usize {
        (((low >> 32) * self.lines.len() as u64) >> 32) as usize
    }

    fn bits(high: u64, low: u64) -> [u64; 8] {
        let other = (high << 32) | (low & 0xFFFF_FFFF);
        SALTS.map(|salt| 1 << (other.wrapping_mul(salt) >> 58))
    }

    pub fn insert(&mut self, high: u64, low: u64) {
        let at = self.line(low);
        for (word, bit) in self.lines[at].0.iter_mut().zip(Self::bits(high, low)) {
            *word |= bit;
        }
    }

    #[inline]
    pub fn prefetch(&self, low: u64) {
        prefetch(&self.lines[self.line(low)]);
    }

    #[inline]
    pub fn may_hold(&self, high: u64, low: u64) -> bool {
        let line = &self.lines[self.line(low)].0;
        line.iter().zip(Self::bits(high, low)).all(|(word, bit)| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> (u64, u64) {
        let hash = xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        ((hash >> 64) as u64, hash as u64)
    }

    #[test]
    fn a_key_that_was_put_in_is_never_missed_and_few_others_seem_to_be_there() {
        const KEYS: u64 = 20_000;
        let mut filter = Filter::with_room_for(KEYS as usize);
        assert!(filter.bytes() as u64 * 10 <= KEYS * 25, "{} bytes", filter.bytes());
        for number in 0..KEYS {
            let (high, low) = key(number);
            filter.insert(high, low);
        }
        let holds = |number: &u64| {
            let (high, low) = key(*number);
            filter.may_hold(high, low)
        };
        assert_eq!((0..KEYS).filter(holds).count() as u64, KEYS);
        let wrong = (KEYS..KEYS + 200_000).filter(holds).count();
        assert!(wrong < 200, "{wrong} of 200,000 keys seem to be there");
    }

    /// Keys of one shard share their top bits.
    #[test]
    fn keys_that_share_their_high_half_are_told_apart() {
        let mut filter = Filter::with_room_for(1_000);
        for number in 0..1_000 {
            filter.insert(7, key(number).1);
        }
        let wrong = (1_000..101_000).filter(|number| filter.may_hold(7, key(*number).1)).count();
        assert!(wrong < 200, "{wrong} of 100,000");
    }
}
