use super::constants::Constants;
use crate::decode::fields::{Edge, Node, Watch};
use crate::decode::json::{self, Invalid, Kind, Scanner, Value};

/// A text that was read, cut into literal runs and holes.
#[derive(Debug)]
pub(super) struct Shape {
    /// The text itself, but for values that are too long to be constants.
    pub sample: Box<[u8]>,
    pub steps: Box<[Step]>,
    /// What is told of the steps, in order.
    pub marks: Box<[Mark]>,
    /// From each step to the next one whose value is no constant.
    pub leaps: Box<[Leap]>,
    pub constants: Constants,
    /// Texts that had it; halved now and then, so that it tells of the recent ones.
    pub hits: u32,
}

/// A literal run and the hole behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Where in the sample the run begins.
    pub run: u16,
    /// The value that the sample has in the hole: it starts where the run ends.
    pub start: u16,
    pub end: u16,
    /// The first of the marks of its run, and behind the last of those.
    pub marks: u16,
    pub marks_end: u16,
    pub hole: Hole,
    /// The field that the hole's value is.
    pub node: Option<Node>,
    /// Whose containers the hole may have, if any are known there.
    pub place: Place,
}

/// What somebody wants to know of a text, by its place in the sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// An object that is looked into starts or ends in the run.
    Edge(Edge, u16),
    /// The hole's value is a field.
    Field { node: Node, kind: Kind, start: u16, end: u16 },
}

/// Steps that are taken at once, since all values but the last are constants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leap {
    /// What is compared, in the sample.
    pub start: u16,
    pub end: u16,
    /// What is told, of the marks.
    pub marks: u16,
    pub marks_end: u16,
    /// The last step, and what of it is needed.
    pub last: u16,
    pub hole: Hole,
    pub place: Place,
    pub node: Option<Node>,
}

/// The number of a member's name whose containers are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(pub u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// A string; its opening quote ends the run.
    Text,
    /// Anything but a string; it starts at once, since white space belongs to the run.
    Value,
    /// Likewise, but no object either: the full reading would look into it.
    Flat,
    /// The text ends with the run.
    End,
}

/// How far the steps of a shape were walked: up to which step, and where in the text that one begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub step: usize,
    pub at: usize,
    /// Constants that had another value.
    pub broken: u32,
}

/// Reads the objects and arrays that nobody looks into.
pub(super) trait Containers {
    fn read(&mut self, place: Place, scanner: &mut Scanner<'_>) -> Result<Value, Invalid>;
}

/// Value by value.
impl Containers for () {
    fn read(&mut self, _: Place, scanner: &mut Scanner<'_>) -> Result<Value, Invalid> {
        scanner.value()
    }
}

impl Hole {
    /// `None` where the text has something else, an error where it is no JSON. No text suits two holes,
    /// so that it has one shape at most.
    #[inline(never)]
    fn read(
        self,
        place: Place,
        scanner: &mut Scanner<'_>,
        containers: &mut impl Containers,
    ) -> Result<Option<Value>, Invalid> {
        match self {
            Self::Text => scanner.rest_of_string().map(Some),
            Self::Value | Self::Flat => match scanner.byte_ahead() {
                Some(b'0'..=b'9') => scanner.number().map(Some),
                None | Some(b'"' | b' ' | b'\n' | b'\r' | b'\t') => Ok(None),
                Some(b'{') if self == Self::Flat => Ok(None),
                Some(b'{' | b'[') => containers.read(place, scanner).map(Some),
                Some(_) => scanner.value().map(Some),
            },
            Self::End => Ok(None),
        }
    }
}

impl Shape {
    /// Whether the text goes on as the shape does, to its end; else `walk` stands before the first
    /// step that is another one.
    pub fn walk(
        &self,
        text: &[u8],
        walk: &mut Walk,
        containers: &mut impl Containers,
        watch: &mut impl Watch,
    ) -> Result<bool, Invalid> {
        let mut scanner = Scanner::starting_at(text, walk.at);
        loop {
            let mut leap = self.leaps[walk.step];
            // From a place in the sample to that in the text, until the hole.
            let shift = walk.at.wrapping_sub(usize::from(leap.start));
            if !scanner.pass(&self.sample[usize::from(leap.start)..usize::from(leap.end)]) {
                let (other, is_value) = self.first_other(walk.step, &leap, &text[walk.at..]);
                let step = &self.steps[other];
                if !is_value {
                    self.tell(leap.marks, step.marks, shift, watch);
                    (walk.step, walk.at) = (other, shift.wrapping_add(usize::from(step.run)));
                    return Ok(false);
                }
                walk.broken += 1;
                leap = self.leap(walk.step, other);
                scanner.go_to(shift.wrapping_add(usize::from(leap.end)));
            }
            self.tell(leap.marks, leap.marks_end, shift, watch);
            walk.step = usize::from(leap.last) + 1;
            if leap.hole == Hole::Text {
                let start = scanner.position();
                if let Some(end) = scanner.rest_of_plain_string() {
                    watch.value(leap.node, Value { kind: Kind::String, start, end, escaped: false });
                    walk.at = end + 1;
                    continue;
                }
            } else if leap.hole == Hole::End {
                walk.at = scanner.position();
                return Ok(true);
            }
            let Some(value) = leap.hole.read(leap.place, &mut scanner, containers)? else {
                walk.step = usize::from(leap.last);
                walk.at = shift.wrapping_add(usize::from(self.steps[walk.step].run));
                return Ok(false);
            };
            watch.value(leap.node, value);
            walk.at = scanner.position();
        }
    }

    #[inline(always)]
    fn tell(&self, from: u16, to: u16, shift: usize, watch: &mut impl Watch) {
        for mark in &self.marks[usize::from(from)..usize::from(to)] {
            match *mark {
                Mark::Edge(edge, at) => watch.edge(edge, shift.wrapping_add(usize::from(at))),
                Mark::Field { node, kind, start, end } => {
                    let [start, end] = [start, end].map(|at| shift.wrapping_add(usize::from(at)));
                    watch.value(Some(node), Value { kind, start, end, escaped: false });
                }
            }
        }
    }

    /// For a text that differs from the run of a leap: the first step that it differs in, and whether
    /// it does so in the hole alone. A number may end later than the sample's.
    #[cold]
    fn first_other(&self, first: usize, leap: &Leap, ahead: &[u8]) -> (usize, bool) {
        let run = &self.sample[usize::from(leap.start)..usize::from(leap.end)];
        let same = json::same_length(run, ahead);
        let at = usize::from(leap.start) + same;
        let steps = &self.steps[first..=usize::from(leap.last)];
        let other = first + steps.partition_point(|step| usize::from(step.run) <= at) - 1;
        let step = &self.steps[other];
        if other > first && at == usize::from(step.run) && self.steps[other - 1].hole != Hole::Text {
            return (other - 1, true);
        }
        (other, at >= usize::from(step.start))
    }

    /// All steps from one to another.
    pub fn leap(&self, first: usize, last: usize) -> Leap {
        let (first, step) = (&self.steps[first], &self.steps[last]);
        Leap {
            start: first.run,
            end: step.start,
            marks: first.marks,
            marks_end: step.marks_end,
            last: short(last),
            hole: step.hole,
            place: step.place,
            node: step.node,
        }
    }

    pub fn steps_alike(&self, other: &Self) -> usize {
        let alike = |at: &usize| {
            let (one, another) = (&self.steps[*at], &other.steps[*at]);
            (one.hole, one.node, one.place) == (another.hole, another.node, another.place)
                && self.run(*at) == other.run(*at)
                && self.edges(*at).eq(other.edges(*at))
        };
        (0..self.steps.len().min(other.steps.len())).take_while(alike).count()
    }

    pub fn run(&self, step: usize) -> &[u8] {
        let Step { run, start, .. } = self.steps[step];
        &self.sample[usize::from(run)..usize::from(start)]
    }

    /// The edges in a step's run, each with its distance from the run's start.
    pub fn edges(&self, step: usize) -> impl Iterator<Item = (Edge, usize)> {
        let Step { run, marks, marks_end, .. } = self.steps[step];
        self.marks[usize::from(marks)..usize::from(marks_end)].iter().filter_map(move |mark| match *mark {
            Mark::Edge(edge, at) => Some((edge, usize::from(at - run))),
            Mark::Field { .. } => None,
        })
    }
}

pub(super) fn short(number: usize) -> u16 {
    u16::try_from(number).expect("a shape's runs, values and steps are few")
}
