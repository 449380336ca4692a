use super::{Hole, MOST_LITERAL_BYTES, MOST_STEPS, Shape, Step};
use crate::decode::fields::{Edge, Node, Tree, Watch};
use crate::decode::json::{Kind, Value};

/// Takes an event's shape down while it is read in full.
pub(super) struct Lesson<'a> {
    tree: &'a Tree,
    event: &'a [u8],
    /// Up to here the event is in `steps`.
    at: usize,
    literals: Vec<u8>,
    steps: Vec<Step>,
    edges: Vec<(Edge, u16)>,
    /// How many of the edges belong to the step under way.
    new_edges: u8,
    /// Whether it is too large to be kept.
    is_too_large: bool,
}

impl<'a> Lesson<'a> {
    pub fn new(tree: &'a Tree, event: &'a [u8]) -> Self {
        Self {
            tree,
            event,
            at: 0,
            literals: Vec::new(),
            steps: Vec::new(),
            edges: Vec::new(),
            new_edges: 0,
            is_too_large: false,
        }
    }

    /// Of an event that was read to its end and is sound.
    pub fn into_shape(mut self) -> Option<Shape> {
        let end = self.event.len();
        self.step(end, end, Hole::End, None);
        (!self.is_too_large).then(|| Shape {
            literals: self.literals.into(),
            steps: self.steps.into(),
            edges: self.edges.into(),
            hits: 1,
        })
    }

    /// The run goes up to `hole_start`, and what fills the hole up to `next`.
    fn step(&mut self, hole_start: usize, next: usize, hole: Hole, node: Option<Node>) {
        let run = &self.event[self.at..hole_start];
        self.is_too_large |=
            self.literals.len() + run.len() > MOST_LITERAL_BYTES || self.steps.len() >= MOST_STEPS;
        let Some(length) = u16::try_from(run.len()).ok().filter(|_| !self.is_too_large) else {
            self.is_too_large = true;
            return;
        };
        self.literals.extend_from_slice(run);
        self.steps.push(Step { length, edges: self.new_edges, hole, node });
        self.new_edges = 0;
        self.at = next;
    }
}

impl Watch for Lesson<'_> {
    fn value(&mut self, node: Option<Node>, value: Value) {
        match value.kind {
            // Its place is that of what is between the quotes.
            Kind::String => self.step(value.start, value.end + 1, Hole::Text, node),
            _ if node.is_some_and(|node| !self.tree.is_leaf(node)) => {
                self.step(value.start, value.end, Hole::Flat, node);
            }
            _ => self.step(value.start, value.end, Hole::Value, node),
        }
    }

    fn edge(&mut self, edge: Edge, at: usize) {
        let distance = u16::try_from(at - self.at).ok();
        match (distance, self.new_edges.checked_add(1)) {
            (Some(distance), Some(count)) if !self.is_too_large => {
                self.edges.push((edge, distance));
                self.new_edges = count;
            }
            _ => self.is_too_large = true,
        }
    }
}
