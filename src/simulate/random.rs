//! Random numbers that are the same on every machine and in every version: SplitMix64 (Steele,
//! Lea, Flood 2014), integers only.

#[cfg(test)]
mod tests;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in [0, `bound`), `bound` > 0. The bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// Uniform in [`least`, `greatest`].
    pub fn between(&mut self, least: u64, greatest: u64) -> u64 {
        least + self.below(greatest - least + 1)
    }

    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// One of `choices`, each as likely as its weight. Needs a weight above 0.
    pub fn weighted<'a, T>(&mut self, choices: &'a [(T, u64)]) -> &'a T {
        let total = choices.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total);
        for (choice, weight) in choices {
            if left < *weight {
                return choice;
            }
            left -= weight;
        }
        unreachable!("a number below the sum of the weights falls on one of them")
    }
}

/// Spreads the bits of a number; a bijection.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// How large each of `count` organizations is: the one of rank i has a weight of 1 / (i + 2), as
/// tenants' traffic is spread in practice (Zipf with exponent 1). Of 2,000 organizations the
/// greatest has 7 % of the traffic.
#[derive(Debug)]
pub(super) struct Zipf {
    /// Sums of the weights of all ranks up to and with this one.
    sums: Vec<u64>,
}

impl Zipf {
    /// `count` > 0. A weight is at least 2^40 / 2^32, so none is 0.
    pub fn new(count: u32) -> Self {
        let mut sum = 0;
        let sums = (0..u64::from(count))
            .map(|rank| {
                sum += (1 << 40) / (rank + 2);
                sum
            })
            .collect();
        Self { sums }
    }

    pub fn draw(&self, random: &mut Random) -> u32 {
        let total = *self.sums.last().expect("there is at least one organization");
        let point = random.below(total);
        self.sums.partition_point(|&sum| sum <= point) as u32
    }
}
