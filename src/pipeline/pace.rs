use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How fast a lane goes on in its log, over the last minutes.
#[derive(Default)]
pub(super) struct Pace {
    /// Offsets and when they were reached, some seconds apart, ascending.
    reached: VecDeque<(Instant, i64)>,
}

/// Over less a rate says little.
const LEAST_SPAN: Duration = Duration::from_secs(10);
/// What is older is no rate of now.
const GREATEST_SPAN: Duration = Duration::from_secs(300);

impl Pace {
    pub fn reach(&mut self, offset: i64, now: Instant) {
        if self.reached.back().is_some_and(|(then, _)| now - *then < LEAST_SPAN / 2) {
            return;
        }
        self.reached.push_back((now, offset));
        while self.reached.front().is_some_and(|(then, _)| now - *then > GREATEST_SPAN) {
            self.reached.pop_front();
        }
    }

    /// Hours that `width` offsets last at this rate; `None` where there is none.
    pub fn hours(&self, width: u64) -> Option<f64> {
        let ((began, from), (ended, to)) = (self.reached.front()?, self.reached.back()?);
        let (span, offsets) = (*ended - *began, to - from);
        (span >= LEAST_SPAN && offsets > 0)
            .then(|| width as f64 * span.as_secs_f64() / offsets as f64 / SECONDS_AN_HOUR)
    }
}

const SECONDS_AN_HOUR: f64 = 3_600.0;

/// What all lanes of a process publish in step with: a block that was opened before the latest beat is
/// due, so that none waits longer than an interval.
#[derive(Clone, Copy)]
pub(super) struct Beat {
    began: Instant,
    interval: Duration,
}

impl Beat {
    pub fn new(interval: Duration, began: Instant) -> Self {
        Self { began, interval }
    }

    /// Of beats so far.
    pub fn number(&self, at: Instant) -> u128 {
        (at - self.began).as_nanos() / self.interval.as_nanos().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_lasts_as_long_as_the_offsets_of_the_last_minutes_say() {
        let start = crate::clock::instant();
        let mut pace = Pace::default();
        let mut reach = |second: u64, offset| {
            pace.reach(offset, start + Duration::from_secs(second));
            pace.hours(36_000_000)
        };
        assert_eq!(reach(0, 0), None);
        assert_eq!(reach(1, 1_000), None, "too soon");
        assert_eq!(reach(9, 9_000), None, "too little");
        assert_eq!(reach(20, 20_000), Some(10.0));
        assert_eq!(reach(1_020, 20_000), None, "nothing came for long");
        // A quarter of the rate.
        assert_eq!(reach(1_220, 70_000), Some(40.0));
    }

    #[test]
    fn beats_are_an_interval_apart() {
        let start = crate::clock::instant();
        let beat = Beat::new(Duration::from_millis(500), start);
        let number = |ms| beat.number(start + Duration::from_millis(ms));
        assert_eq!([0, 499, 500, 1_499, 1_500].map(number), [0, 0, 1, 2, 3]);
    }
}
