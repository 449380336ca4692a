use super::constants::{Constants, MOST_CONSTANT_BYTES};
use super::places::Places;
use super::shape::{Hole, Mark, Place, Shape, Step, short};
use crate::decode::fields::{Edge, Node, Tree, Watch};
use crate::decode::json::{Kind, Value};

/// Bytes of literal runs in one shape, bytes of values that are kept beside them, and its holes. They
/// bound what a shape takes to some 30 KiB.
pub(super) const MOST_LITERAL_BYTES: usize = 8 << 10;
const MOST_VALUE_BYTES: usize = 8 << 10;
pub(super) const MOST_STEPS: usize = 256;

/// Puts a shape together, step by step.
#[derive(Default)]
pub(super) struct Draft {
    sample: Vec<u8>,
    steps: Vec<Step>,
    marks: Vec<Mark>,
    varies: Vec<bool>,
    literal_bytes: usize,
    /// Whether it is too large to be kept.
    is_too_large: bool,
}

/// What a hole has in a text.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub hole: Hole,
    pub node: Option<Node>,
    pub place: Place,
    pub value: Value,
    /// The value's own text.
    pub text: &'a [u8],
}

impl Draft {
    /// The run, its edges, each with its distance from the run's start, and what the hole has.
    pub fn step(&mut self, run: &[u8], edges: impl IntoIterator<Item = (Edge, usize)>, filling: Filling<'_>) {
        self.literal_bytes += run.len();
        self.is_too_large |= self.literal_bytes > MOST_LITERAL_BYTES || self.steps.len() >= MOST_STEPS;
        if self.is_too_large {
            return;
        }
        let Filling { hole, node, place, value, text } = filling;
        let start = self.sample.len();
        let marks = short(self.marks.len());
        let edges = edges.into_iter().map(|(edge, distance)| Mark::Edge(edge, short(start + distance)));
        self.marks.extend(edges);
        let marks_end = short(self.marks.len());
        self.sample.extend_from_slice(run);
        let value_start = self.sample.len();
        let is_kept = text.len() <= MOST_CONSTANT_BYTES
            && value_start - self.literal_bytes + text.len() < MOST_VALUE_BYTES;
        if is_kept {
            self.sample.extend_from_slice(text);
        }
        let (value_start, value_end) = (short(value_start), short(self.sample.len()));
        if is_kept && hole == Hole::Text {
            self.sample.push(b'"');
        }
        if let Some(node) = node {
            self.marks.push(Mark::Field { node, kind: value.kind, start: value_start, end: value_end });
        }
        // What is unescaped has to be read.
        self.varies.push(!is_kept || (value.escaped && node.is_some()));
        self.steps.push(Step {
            run: short(start),
            start: value_start,
            end: value_end,
            marks,
            marks_end,
            hole,
            node,
            place,
        });
    }

    pub fn finish(self) -> Option<Shape> {
        if self.is_too_large {
            return None;
        }
        let mut shape = Shape {
            sample: self.sample.into(),
            steps: self.steps.into(),
            marks: self.marks.into(),
            leaps: Box::default(),
            constants: Constants::new(self.varies.into()),
            hits: 1,
        };
        shape.take_steps_alone();
        Some(shape)
    }
}

impl Shape {
    /// The same shape with the values of another text that has it.
    pub fn take_sample(&mut self, text: &[u8], values: &[Value]) {
        let mut draft = Draft::default();
        for (at, value) in values.iter().enumerate() {
            let Step { hole, node, place, .. } = self.steps[at];
            let filling = Filling { hole, node, place, value: *value, text: &text[value.start..value.end] };
            draft.step(self.run(at), self.edges(at), filling);
        }
        if let Some(again) = draft.finish() {
            *self = Self { hits: self.hits, ..again };
        }
    }
}

/// Takes a text's shape down while it is read in full.
pub(super) struct Lesson<'a> {
    text: &'a [u8],
    /// Up to here the text is in `draft`.
    at: usize,
    draft: Draft,
    /// Edges since then.
    edges: Vec<(Edge, usize)>,
    looks: Looks<'a>,
}

/// What the full reading looks into.
pub(super) enum Looks<'a> {
    /// Objects at these nodes; other containers have their places.
    Into(&'a Tree, &'a mut Places),
    /// Everything: no value that it tells of is a container.
    IntoAll,
}

impl<'a> Lesson<'a> {
    /// Of the text from `start` on.
    pub fn new(text: &'a [u8], start: usize, looks: Looks<'a>) -> Self {
        Self { text, at: start, draft: Draft::default(), edges: Vec::new(), looks }
    }

    /// Of a text that was read to its end and is sound.
    pub fn into_shape(mut self, end: usize) -> Option<Shape> {
        let nothing = Value { kind: Kind::Null, start: end, end, escaped: false };
        self.step(nothing, end, Hole::End, None);
        self.draft.finish()
    }

    /// The run goes up to the value, and what fills the hole up to `next`.
    fn step(&mut self, value: Value, next: usize, hole: Hole, node: Option<Node>) {
        let run = &self.text[self.at..value.start];
        let place = match (&mut self.looks, hole) {
            (Looks::Into(_, places), Hole::Value) => places.behind(run),
            _ => Place::NONE,
        };
        let filling = Filling { hole, node, place, value, text: &self.text[value.start..value.end] };
        let edges = self.edges.drain(..).map(|(edge, at)| (edge, at - self.at));
        self.draft.step(run, edges, filling);
        self.at = next;
    }
}

impl Watch for Lesson<'_> {
    fn value(&mut self, node: Option<Node>, value: Value) {
        let is_flat = |node| matches!(&self.looks, Looks::Into(tree, _) if !tree.is_leaf(node));
        match value.kind {
            // Its place is that of what is between the quotes.
            Kind::String => self.step(value, value.end + 1, Hole::Text, node),
            _ if node.is_some_and(is_flat) => self.step(value, value.end, Hole::Flat, node),
            _ => self.step(value, value.end, Hole::Value, node),
        }
    }

    fn edge(&mut self, edge: Edge, at: usize) {
        if self.edges.len() < MOST_STEPS {
            self.edges.push((edge, at));
        } else {
            self.draft.is_too_large = true;
        }
    }
}
