use super::family::Family;
use super::learn::{Lesson, Looks};
use super::shape::{Containers, Place};
use crate::decode::fields::Watch;
use crate::decode::json::{Invalid, Kind, Scanner, Value};

/// Places that are told apart; objects and arrays in others are read value by value.
const MOST_PLACES: usize = 64;
/// Shapes of containers, in all places and in one: with [`super::learn::MOST_LITERAL_BYTES`] they bound
/// the memory.
const MOST_SHAPES: usize = 64;
const MOST_IN_PLACE: usize = 16;
/// Bytes of a name; members of longer ones have no place.
const MOST_NAME_BYTES: usize = 64;

/// The shapes of objects and arrays that nobody looks into, by the names of the members that hold them.
/// They are no part of the event's shape, so that two that differ in some of them have one.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: Vec<(Box<[u8]>, Family)>,
    /// Shapes in all.
    shapes: usize,
}

impl Place {
    /// Of a hole that never has a container whose shape is learned.
    pub const NONE: Self = Self(u8::MAX);
}

impl Places {
    /// The place of the value that follows the run. Members of one name share it, wherever they are:
    /// it says what shapes are worth a try, and nothing else.
    pub fn behind(&mut self, run: &[u8]) -> Place {
        let mut quotes = run.iter().enumerate().rev().filter(|(_, byte)| **byte == b'"').map(|(at, _)| at);
        let name = &run[quotes.nth(1).unwrap_or(0)..];
        if name.len() > MOST_NAME_BYTES {
            return Place::NONE;
        }
        let known = self.known.iter().position(|(known, _)| **known == *name);
        let number = known.or_else(|| {
            (self.known.len() < MOST_PLACES).then(|| {
                self.known.push((name.into(), Family::default()));
                self.known.len() - 1
            })
        });
        number.and_then(|number| u8::try_from(number).ok()).map_or(Place::NONE, Place)
    }

    #[cfg(test)]
    pub fn shapes(&self) -> usize {
        self.shapes
    }

    #[cfg(test)]
    pub fn is_bounded(&self) -> bool {
        let shapes = || self.known.iter().map(|(_, family)| family.shapes());
        shapes().sum::<usize>() == self.shapes
            && self.shapes <= MOST_SHAPES
            && self.known.len() <= MOST_PLACES
            && self.known.iter().all(|(name, _)| name.len() <= MOST_NAME_BYTES)
            && shapes().all(|shapes| shapes <= MOST_IN_PLACE)
    }
}

impl Containers for Places {
    fn read(&mut self, place: Place, scanner: &mut Scanner<'_>) -> Result<Value, Invalid> {
        let start = scanner.position();
        let text = scanner.text();
        let Some((_, family)) = self.known.get_mut(usize::from(place.0)) else { return scanner.value() };
        if matches!(text.get(start..start + 2), Some(b"{}" | b"[]")) || !family.trust.take_turn() {
            return scanner.value();
        }
        if let Some(end) = family.walk(text, start, &mut (), &mut ()) {
            family.trust.note_hit();
            scanner.go_to(end);
            let kind = if text[start] == b'{' { Kind::Object } else { Kind::Array };
            return Ok(Value { kind, start, end, escaped: false });
        }
        if !family.trust.note_miss() {
            return scanner.value();
        }
        let mut lesson = Lesson::new(text, start, Looks::IntoAll);
        let value = scanner.container(|value| lesson.value(None, value))?;
        let room = family.shapes() + MOST_SHAPES - self.shapes;
        if let Some(shape) = lesson.into_shape(value.end) {
            self.shapes += usize::from(family.keep(shape, room.min(MOST_IN_PLACE)));
        }
        Ok(value)
    }
}
