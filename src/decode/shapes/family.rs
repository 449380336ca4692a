use super::shape::{Containers, Shape, Walk};
use super::trust::Trust;
use crate::decode::fields::Watch;

/// The shapes that texts of one kind had lately.
#[derive(Debug, Default)]
pub(super) struct Family {
    known: Vec<Shape>,
    /// How many steps two shapes begin with alike, by both their positions in `known`.
    common: Vec<Vec<usize>>,
    /// The shape of the text before.
    latest: usize,
    pub trust: Trust,
}

impl Family {
    /// Never knows any shape.
    pub fn none() -> Self {
        Self { trust: Trust::never(), ..Self::default() }
    }

    pub fn shapes(&self) -> usize {
        self.known.len()
    }

    /// Values that were looked at one by one in the text before, and the end.
    #[cfg(test)]
    pub fn holes_of_latest(&self) -> usize {
        self.known.get(self.latest).map_or(0, Shape::holes)
    }

    #[cfg(test)]
    pub fn is_compared(&self) -> bool {
        let alike = |one: &Shape| self.known.iter().map(|other| one.steps_alike(other)).collect::<Vec<_>>();
        self.known.len() > 1 && self.common == self.known.iter().map(alike).collect::<Vec<_>>()
    }

    /// Where the text ends that starts here, if it has a known shape. One that left a shape can only have
    /// another that begins with the same steps, and goes on from there: each value is read once. One
    /// that holds no JSON there has none, whatever others begin with.
    pub fn walk(
        &mut self,
        text: &[u8],
        start: usize,
        containers: &mut impl Containers,
        watch: &mut impl Watch,
    ) -> Option<usize> {
        let mut walk = Walk { step: 0, at: start, broken: 0 };
        let (mut current, mut untried) = (self.latest, 0);
        while !self.known.get(current)?.walk(text, &mut walk, containers, watch).ok()? {
            let alike = &self.common[current];
            let is_next = |other: &usize| *other != self.latest && alike[*other] >= walk.step;
            current = (untried..self.known.len()).find(is_next)?;
            untried = current + 1;
        }
        self.latest = current;
        self.known[current].note_hit(text, start, walk.broken, containers);
        Some(walk.at)
    }

    /// In the place of the rarest one where there are `most` already. Whether there is one more then.
    pub fn keep(&mut self, shape: Shape, most: usize) -> bool {
        for known in &mut self.known {
            known.hits /= 2;
        }
        let is_one_more = self.known.len() < most;
        if is_one_more {
            self.known.push(shape);
            self.compare(self.known.len() - 1);
        } else if let Some(rarest) = (0..self.known.len()).min_by_key(|at| self.known[*at].hits) {
            self.known[rarest] = shape;
            self.compare(rarest);
        }
        if self.known.len() < most {
            self.trust.want_lesson();
        }
        is_one_more
    }

    /// The shape at a position, which is new, with all others.
    fn compare(&mut self, position: usize) {
        let alike: Vec<usize> =
            self.known.iter().map(|other| self.known[position].steps_alike(other)).collect();
        self.common.resize(self.known.len(), Vec::new());
        for (row, alike) in self.common.iter_mut().zip(&alike) {
            row.resize(self.known.len(), 0);
            row[position] = *alike;
        }
        self.common[position] = alike;
    }
}
