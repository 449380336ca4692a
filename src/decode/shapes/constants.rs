use super::shape::{Containers, Shape, Walk};
use crate::decode::fields::{Edge, Node, Watch};
use crate::decode::json::{Kind, Value};

/// Which of a shape's values are the same in all texts. They are told by some texts one after the
/// other; where they are compared as parts of the runs, and one is another after all, the text is
/// walked on from there as if it were none.
#[derive(Debug)]
pub(super) struct Constants {
    /// Texts that are still looked at.
    watched: u32,
    /// Texts until the values are looked at again; fewer where constants break.
    until_watched: u32,
    /// For each step, whether its value is not the sample's in all of those.
    varies: Box<[bool]>,
}

/// Texts that tell the constants.
const WATCHED: u32 = 64;
/// Texts between two looks at them. With this many a look is at one text in 512.
const UNTIL_WATCHED: u32 = 1 << 15;
/// Texts that a constant that breaks counts for: a value that changed for good is found out within 512.
const BROKEN_COUNTS: u32 = 64;
/// Bytes of a value that may be one; longer ones are not kept.
pub(super) const MOST_CONSTANT_BYTES: usize = 256;

impl Constants {
    /// `varies` tells of the values that can't be constants whatever comes.
    pub fn new(varies: Box<[bool]>) -> Self {
        Self { watched: WATCHED, until_watched: 0, varies }
    }
}

/// All values of a text, in order.
#[derive(Default)]
struct Values(Vec<Value>);

impl Watch for Values {
    fn value(&mut self, _: Option<Node>, value: Value) {
        self.0.push(value);
    }

    fn edge(&mut self, _: Edge, _: usize) {}
}

impl Shape {
    /// After a text that had the shape, from `start` on.
    #[inline]
    pub fn note_hit(&mut self, text: &[u8], start: usize, broken: u32, containers: &mut impl Containers) {
        self.hits = self.hits.saturating_add(1);
        let counted = 1 + broken * BROKEN_COUNTS;
        self.constants.until_watched = self.constants.until_watched.saturating_sub(counted);
        if self.constants.until_watched == 0 {
            self.look_at_values(text, start, containers);
        }
    }

    #[cold]
    fn look_at_values(&mut self, text: &[u8], start: usize, containers: &mut impl Containers) {
        if self.constants.watched == 0 {
            self.take_steps_alone();
            self.take_sample(text, &self.values(text, start, containers));
            return;
        }
        for (at, value) in self.values(text, start, containers).into_iter().enumerate() {
            let step = &self.steps[at];
            let sample = &self.sample[usize::from(step.start)..usize::from(step.end)];
            self.constants.varies[at] |= text[value.start..value.end] != *sample;
        }
        self.constants.watched -= 1;
        if self.constants.watched == 0 {
            self.constants.until_watched = UNTIL_WATCHED;
            self.leap_over_constants();
        }
    }

    /// Of a text that has the shape, while every step is taken alone.
    fn values(&self, text: &[u8], start: usize, containers: &mut impl Containers) -> Vec<Value> {
        let mut values = Values::default();
        let mut walk = Walk { step: 0, at: start, broken: 0 };
        let walked = self.walk(text, &mut walk, containers, &mut values);
        values.0.push(Value { kind: Kind::Null, start: walk.at, end: walk.at, escaped: false });
        debug_assert_eq!((walked, values.0.len()), (Ok(true), self.steps.len()), "it had the shape just now");
        values.0
    }

    pub fn take_steps_alone(&mut self) {
        self.leaps = (0..self.steps.len()).map(|step| self.leap(step, step)).collect();
    }

    fn leap_over_constants(&mut self) {
        let mut last = self.steps.len() - 1;
        let leaps = (0..self.steps.len()).rev().map(|step| {
            if self.constants.varies[step] {
                last = step;
            }
            self.leap(step, last)
        });
        let mut leaps: Vec<_> = leaps.collect();
        leaps.reverse();
        self.leaps = leaps.into();
    }

    /// Values that are no constants.
    #[cfg(test)]
    pub fn holes(&self) -> usize {
        let stops = self.leaps.iter().enumerate().filter(|(at, leap)| usize::from(leap.last) == *at);
        stops.count() - 1
    }
}
