//! Reads events that look like earlier ones without looking at their structure again.
//!
//! A *shape* is an event's text cut into literal runs (names, punctuation, white space) and holes
//! (values). The way through a text depends on nothing but its bytes, and after a value that is not
//! looked into it is the same whatever that value was; so where the runs are equal byte by byte and
//! each hole holds one whole value, read by the scanner itself, the full reading
//! ([`FoundFields::read_event`]) would have found the same fields in the same places. Everything else
//! goes to the full reading, which alone says what is valid and what it means.
//!
//! A value that is the same in event after event is compared as if it belonged to the runs around it
//! (`constants`). An object or array that nobody looks into is one hole, and where others of its name
//! had a shape, it is tried for that too (`places`).

use super::fields::{Edge, FoundFields, Node, Tree, Watch};
use super::json::{Invalid, Value};

mod constants;
mod family;
mod learn;
mod places;
mod shape;
mod trust;

#[cfg(test)]
mod tests;

use family::Family;
use learn::{Lesson, Looks};
use places::Places;

/// Shapes of events that are kept. A gateway's logs differ by route, consumer and retries; more than
/// this and the rarest go to the full reading. With those of [`Places`] they bound what a decoder
/// takes to 80 × 30 KiB.
const MOST_SHAPES: usize = 16;

/// The shapes that one topic's events had lately.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    events: Family,
    places: Places,
    /// Events that had a known shape.
    hits: u64,
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
        Self { events: Family::none(), ..Self::default() }
    }

    /// Whether it knows shapes, or will.
    pub fn are_learned(&self) -> bool {
        !self.events.trust.is_never()
    }

    /// Events that had a known shape.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Does what [`FoundFields::read_event`] does, faster where the event has a known shape.
    pub fn read_event(&mut self, tree: &Tree, fields: &mut FoundFields, event: &[u8]) -> Result<(), Invalid> {
        let Self { events, places, hits } = self;
        fields.clear(tree);
        if !events.trust.take_turn() {
            return fields.read_event(tree, event, &mut ());
        }
        if events.walk(event, 0, places, &mut Fill { fields, event }) == Some(event.len()) {
            *hits += 1;
            events.trust.note_hit();
            return Ok(());
        }
        fields.clear(tree);
        if !events.trust.note_miss() {
            return fields.read_event(tree, event, &mut ());
        }
        let mut lesson = Lesson::new(event, 0, Looks::Into(tree, places));
        fields.read_event(tree, event, &mut lesson)?;
        if let Some(shape) = lesson.into_shape(event.len()).filter(|_| !fields.any_twice()) {
            events.keep(shape, MOST_SHAPES);
        }
        Ok(())
    }

    /// Reads the event that starts here, if it has a known shape, and says where it ends.
    pub fn read_known(
        &mut self,
        tree: &Tree,
        fields: &mut FoundFields,
        text: &[u8],
        start: usize,
    ) -> Option<usize> {
        let Self { events, places, hits } = self;
        if events.trust.is_asleep() {
            return None;
        }
        fields.clear(tree);
        let end = events.walk(text, start, places, &mut Fill { fields, event: text });
        if end.is_some() {
            *hits += 1;
            events.trust.note_hit();
        } else {
            // An array that ends damaged gives no event that would be read, and tell of it.
            events.trust.note_tried();
        }
        end
    }
}
