//! Reads events that look like earlier ones without looking at their structure again.
//!
//! A *shape* is an event's text cut into literal runs (names, punctuation, white space) and holes
//! (values). The way through a text depends on nothing but its bytes, and after a value that is not
//! looked into it is the same whatever that value was; so where the runs are equal byte by byte and
//! each hole holds one whole value, read by the scanner itself, the full reading
//! ([`FoundFields::read_event`]) would have found the same fields in the same places. Everything else
//! goes to the full reading, which alone says what is valid and what it means.

use super::fields::{Edge, FoundFields, Node, Tree, Watch};
use super::json::{Invalid, Kind, Scanner, Value};

mod learn;
mod trust;

#[cfg(test)]
mod tests;

use learn::Lesson;
use trust::Trust;

/// Shapes that are kept. A gateway's logs differ by route, consumer and retries; more than this and
/// the rarest go to the full reading.
const MOST_SHAPES: usize = 16;
/// Bytes of literal runs in one shape, and its holes: with [`MOST_SHAPES`] they bound a decoder's
/// memory to 16 × (8 KiB + 256 × 12 bytes), some 180 KiB.
const MOST_LITERAL_BYTES: usize = 8 << 10;
const MOST_STEPS: usize = 256;

/// The shapes that one topic's events had lately.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: Vec<Shape>,
    /// How many steps two shapes begin with alike, by both their positions in `known`.
    common: Vec<Vec<usize>>,
    /// The shape of the event before.
    latest: usize,
    trust: Trust,
    /// Events that had a known shape.
    hits: u64,
}

#[derive(Debug)]
struct Shape {
    /// All literal runs, one after the other.
    literals: Box<[u8]>,
    steps: Box<[Step]>,
    /// Where objects that are looked into start or end, in order.
    edges: Box<[(Edge, u16)]>,
    /// Events that had it; halved now and then, so that it tells of the recent ones.
    hits: u32,
}

/// What no field is.
const NOTHING: Value = Value { kind: Kind::Null, start: 0, end: 0, escaped: false };

/// A literal run and the hole behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// Bytes of the run.
    length: u16,
    /// Edges within the run; each has its distance from the run's start.
    edges: u8,
    hole: Hole,
    /// The field that the hole's value is.
    node: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    /// A string; its opening quote ends the run.
    Text,
    /// Anything but a string; it starts at once, since white space belongs to the run.
    Value,
    /// Likewise, but no object either: the full reading would look into it.
    Flat,
    /// The event ends with the run.
    End,
}

/// How far the steps of a shape were walked: up to which step, and where that one begins.
#[derive(Clone, Copy, Debug)]
struct Walk {
    steps: usize,
    /// In the text.
    at: usize,
    /// In the shape's literals.
    literals: usize,
    /// In the shape's edges.
    edges: usize,
}

/// Puts what is found in its place.
struct Fill<'a> {
    fields: &'a mut FoundFields,
    event: &'a [u8],
}

impl Watch for Fill<'_> {
    fn value(&mut self, node: Option<Node>, value: Value) {
        if let Some(node) = node {
            self.fields.put_value(node, value, self.event);
        }
    }

    fn edge(&mut self, edge: Edge, at: usize) {
        self.fields.put_edge(edge, at, self.event);
    }
}

impl Shapes {
    /// Never knows any shape, so that every event is read in full.
    pub fn none() -> Self {
        Self { trust: Trust::never(), ..Self::default() }
    }

    /// Events that had a known shape.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Does what [`FoundFields::read_event`] does, faster where the event has a known shape.
    pub fn read_event(&mut self, tree: &Tree, fields: &mut FoundFields, event: &[u8]) -> Result<(), Invalid> {
        fields.clear(tree);
        if !self.trust.take_turn() {
            return fields.read_event(tree, event, &mut ());
        }
        if self.walk(event, 0, &mut Fill { fields, event }) == Some(event.len()) {
            self.hits += 1;
            self.trust.note_hit();
            return Ok(());
        }
        fields.clear(tree);
        if !self.trust.note_miss() {
            return fields.read_event(tree, event, &mut ());
        }
        let mut lesson = Lesson::new(tree, event);
        fields.read_event(tree, event, &mut lesson)?;
        if let Some(shape) = lesson.into_shape().filter(|_| !fields.any_twice()) {
            self.keep(shape);
            if self.known.len() < MOST_SHAPES {
                self.trust.want_lesson();
            }
        }
        Ok(())
    }

    /// Where the event that starts here ends, if it has a known shape.
    pub fn end_of(&mut self, text: &[u8], start: usize) -> Option<usize> {
        if self.trust.is_asleep() {
            return None;
        }
        let end = self.walk(text, start, &mut ());
        if end.is_none() {
            // An array that ends damaged gives no event that would be read, and tell of it.
            self.trust.note_tried();
        }
        end
    }

    /// Where the event ends, if it has a known shape. A text that left one shape can only have
    /// another that begins with the same steps, and goes on from there: each value is read once. One
    /// that holds no JSON there has none, whatever others begin with.
    fn walk(&mut self, text: &[u8], start: usize, watch: &mut impl Watch) -> Option<usize> {
        let mut walk = Walk { steps: 0, at: start, literals: 0, edges: 0 };
        let (mut current, mut untried) = (self.latest, 0);
        while !self.known.get(current)?.walk(text, &mut walk, watch).ok()? {
            let alike = &self.common[current];
            let is_next = |other: &usize| *other != self.latest && alike[*other] >= walk.steps;
            current = (untried..self.known.len()).find(is_next)?;
            untried = current + 1;
        }
        self.latest = current;
        self.known[current].hits = self.known[current].hits.saturating_add(1);
        Some(walk.at)
    }

    /// In the place of the rarest one where there is no room.
    fn keep(&mut self, shape: Shape) {
        for known in &mut self.known {
            known.hits /= 2;
        }
        let rarest = (0..self.known.len()).min_by_key(|at| self.known[*at].hits);
        match rarest.filter(|_| self.known.len() >= MOST_SHAPES) {
            Some(rarest) => self.known[rarest] = shape,
            None => self.known.push(shape),
        }
        let alike = |one: &Shape| self.known.iter().map(|other| one.steps_alike(other)).collect();
        self.common = self.known.iter().map(alike).collect();
    }
}

impl Hole {
    /// `None` where the text has something else, an error where it is no JSON. No text suits two holes,
    /// so that it has one shape at most.
    #[inline]
    fn read(self, scanner: &mut Scanner<'_>) -> Result<Option<Value>, Invalid> {
        match self {
            Self::Text => scanner.rest_of_string().map(Some),
            Self::End => Ok(Some(NOTHING)),
            Self::Value | Self::Flat => match scanner.bytes_ahead().first() {
                None | Some(b'"' | b' ' | b'\n' | b'\r' | b'\t') => Ok(None),
                Some(b'{') if self == Self::Flat => Ok(None),
                Some(_) => scanner.value().map(Some),
            },
        }
    }
}

impl Shape {
    /// Whether the text goes on as the shape does, to its end; else `walk` stands before the first
    /// step that is another one.
    fn walk(&self, text: &[u8], walk: &mut Walk, watch: &mut impl Watch) -> Result<bool, Invalid> {
        let mut scanner = Scanner::starting_at(text, walk.at);
        for step in &self.steps[walk.steps..] {
            let length = usize::from(step.length);
            if !scanner.pass(&self.literals[walk.literals..walk.literals + length]) {
                return Ok(false);
            }
            let Some(value) = step.hole.read(&mut scanner)? else { return Ok(false) };
            for (edge, distance) in &self.edges[walk.edges..walk.edges + usize::from(step.edges)] {
                watch.edge(*edge, walk.at + usize::from(*distance));
            }
            watch.value(step.node, value);
            walk.steps += 1;
            walk.at = scanner.position();
            walk.literals += length;
            walk.edges += usize::from(step.edges);
        }
        Ok(true)
    }

    fn steps_alike(&self, other: &Self) -> usize {
        let (mut literals, mut edges) = (0, 0);
        let alike = |(one, another): &(&Step, &Step)| {
            let run = literals..literals + usize::from(one.length);
            let marks = edges..edges + usize::from(one.edges);
            (literals, edges) = (run.end, marks.end);
            one == another
                && self.literals[run.clone()] == other.literals[run]
                && self.edges[marks.clone()] == other.edges[marks]
        };
        self.steps.iter().zip(&other.steps).take_while(alike).count()
    }
}
