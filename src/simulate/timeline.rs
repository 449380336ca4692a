//! When events happen: spread over a span of time, more by day than by night.

use crate::event::HOUR_MS;

#[cfg(test)]
mod tests;

/// Traffic by UTC hour of the day, in parts: a business API, busiest from ten to five.
const HOUR_OF_DAY: [u64; 24] =
    [3, 2, 2, 2, 2, 3, 5, 8, 11, 13, 14, 14, 13, 14, 14, 13, 12, 10, 8, 7, 6, 5, 4, 3];

/// A span [start, end) of epoch milliseconds, walked through in a number of steps.
#[derive(Debug)]
pub(super) struct Timeline {
    start_ms: i64,
    end_ms: i64,
    steps: u64,
    /// For each UTC hour that the span touches: where its part begins, and the weight before it.
    hours: Vec<(i64, u64)>,
    weight: u64,
}

impl Timeline {
    /// Needs start < end, not before 1970.
    pub fn new(start_ms: i64, end_ms: i64, steps: u64) -> Self {
        let mut hours = Vec::new();
        let mut weight = 0;
        let mut at = start_ms;
        while at < end_ms {
            hours.push((at, weight));
            let next = ((at.div_euclid(HOUR_MS) + 1) * HOUR_MS).min(end_ms);
            weight += rate(at) * (next - at) as u64;
            at = next;
        }
        Self { start_ms, end_ms, steps, hours, weight }
    }

    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The instant of a step: the first step is at the span's first millisecond, the last at its
    /// last; steps never go back.
    pub fn at(&self, step: u64) -> i64 {
        if step == 0 {
            return self.start_ms;
        }
        let passed =
            u128::from(self.weight) * u128::from(step) / u128::from(self.steps.saturating_sub(1).max(1));
        let passed = u64::try_from(passed).expect("a part is at most the whole");
        let hour = self.hours.partition_point(|&(_, before)| before <= passed) - 1;
        let (from, before) = self.hours[hour];
        (from + ((passed - before) / rate(from)) as i64).min(self.end_ms - 1)
    }
}

fn rate(at_ms: i64) -> u64 {
    HOUR_OF_DAY[at_ms.div_euclid(HOUR_MS).rem_euclid(24) as usize]
}
