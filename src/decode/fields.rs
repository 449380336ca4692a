//! The few fields that are read of a JSON event, by their dotted paths: a tree of the wanted names,
//! and what one event has in their places.

use super::json::{self, Invalid, Kind, Scanner, Value};

#[cfg(test)]
mod tests;

/// A wanted path's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(u16);

/// The event itself.
pub(super) const ROOT: Node = Node(0);

/// The wanted names; a node is the member of that name of its parent's object.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Name>,
}

#[derive(Debug, Default)]
struct Name {
    text: Box<str>,
    children: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Name::default()] }
    }
}

impl Tree {
    /// The node of a path like `konnect.org_id`; it is made where it is new.
    pub fn want(&mut self, path: &str) -> Node {
        path.split('.').fold(ROOT, |parent, name| {
            self.child(parent, name.as_bytes()).unwrap_or_else(|| self.add(parent, name))
        })
    }

    fn add(&mut self, parent: Node, name: &str) -> Node {
        let node = Node(u16::try_from(self.nodes.len()).expect("rules hold far fewer than 65,536 names"));
        self.nodes.push(Name { text: name.into(), children: Vec::new() });
        self.nodes[usize::from(parent.0)].children.push(node);
        node
    }

    fn child(&self, parent: Node, name: &[u8]) -> Option<Node> {
        self.children(parent).find(|child| self.name(*child).as_bytes() == name)
    }

    /// The child of the root by a name whose case doesn't matter.
    pub fn top_ignoring_case(&self, name: &str) -> Option<Node> {
        self.children(ROOT).find(|child| self.name(*child).eq_ignore_ascii_case(name))
    }

    fn children(&self, parent: Node) -> impl Iterator<Item = Node> {
        self.nodes[usize::from(parent.0)].children.iter().copied()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_leaf(&self, node: Node) -> bool {
        self.nodes[usize::from(node.0)].children.is_empty()
    }

    fn name(&self, node: Node) -> &str {
        &self.nodes[usize::from(node.0)].text
    }
}

/// What an event has in one field's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<T> {
    /// Nothing, or null.
    Absent,
    Found(T),
    /// Something of another kind than the field wants.
    Wrong,
    /// The field, or an object around it, is there more than once.
    Twice,
}

impl<T> Field<T> {
    #[inline(always)]
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Option<U>) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Found(value) => f(value).map_or(Field::Wrong, Field::Found),
            Self::Wrong => Field::Wrong,
            Self::Twice => Field::Twice,
        }
    }
}

/// Where a found value's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The event's JSON text.
    Event,
    /// The decoded `data_base64`, or a binary record's value.
    Data,
    /// Our own copy of an unescaped string.
    Copy,
    /// Our own copy of a header, in which numbers are text.
    Header,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    start: usize,
    end: usize,
    kind: Kind,
    /// Strings are unescaped already; one that is still marked as escaped can't be read.
    escaped: bool,
    place: Place,
}

impl Found {
    #[inline(always)]
    fn new(value: Value, place: Place) -> Self {
        let Value { kind, start, end, escaped } = value;
        Self { start, end, kind, escaped, place }
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Empty,
    Once(Found),
    Twice,
}

/// The text that values are found in, and its name.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a [u8],
    place: Place,
}

/// Is told what an event is made of while it is read: every value that was not looked into, and the
/// edges of the objects that were.
pub(super) trait Watch {
    /// `node` is the field that it is, if it is a wanted one.
    fn value(&mut self, node: Option<Node>, value: Value);
    fn edge(&mut self, edge: Edge, at: usize);
}

/// Nobody watches.
impl Watch for () {
    fn value(&mut self, _: Option<Node>, _: Value) {}
    fn edge(&mut self, _: Edge, _: usize) {}
}

/// Where an object that is looked into starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Start(Node),
    End(Node),
}

/// Bytes of copies that are kept from event to event.
const MOST_KEPT_COPIES: usize = 4 << 10;

/// The wanted fields of one event at a time. The buffers are kept from event to event.
#[derive(Debug, Default)]
pub(super) struct FoundFields {
    slots: Vec<Slot>,
    copies: String,
    key: String,
}

impl FoundFields {
    /// Forgets the event before.
    pub fn clear(&mut self, tree: &Tree) {
        self.slots.resize(tree.nodes.len(), Slot::Empty);
        self.slots.fill(Slot::Empty);
        self.copies.clear();
        self.trim();
    }

    /// Gives the memory of long copies back, if there were any: what was found can't be read any more.
    pub fn trim(&mut self) {
        for buffer in [&mut self.copies, &mut self.key] {
            if buffer.capacity() > MOST_KEPT_COPIES {
                *buffer = String::new();
            }
        }
    }

    /// Bytes of the buffers.
    #[cfg(test)]
    pub fn kept_bytes(&self) -> usize {
        self.copies.capacity() + self.key.capacity()
    }

    /// Reads an event that is one JSON object. `watch` is told of every value on the way.
    pub fn read_event(&mut self, tree: &Tree, event: &[u8], watch: &mut impl Watch) -> Result<(), Invalid> {
        let mut scanner = Scanner::new(event);
        self.object(tree, ROOT, &mut scanner, Source { text: event, place: Place::Event }, watch)?;
        scanner.end()
    }

    /// Reads an object that came apart from its event as if it stood at `node`.
    pub fn read_data(&mut self, tree: &Tree, node: Node, data: &[u8]) -> Result<(), Invalid> {
        let mut scanner = Scanner::new(data);
        self.object(tree, node, &mut scanner, Source { text: data, place: Place::Data }, &mut ())?;
        scanner.end()
    }

    /// Whether any field is there more than once.
    pub fn any_twice(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Twice))
    }

    /// Forgets what was found below `node`.
    pub fn forget_below(&mut self, tree: &Tree, node: Node) {
        for child in tree.children(node) {
            self.slots[usize::from(child.0)] = Slot::Empty;
            self.forget_below(tree, child);
        }
    }

    /// Puts a header's value in the place of `node`.
    pub fn put_header(&mut self, tree: &Tree, node: Node, header: Option<&[u8]>) {
        if !matches!(self.slots[usize::from(node.0)], Slot::Empty) {
            return self.mark_twice(tree, node);
        }
        let start = self.copies.len();
        let text = header.map(std::str::from_utf8);
        if let Some(Ok(text)) = text {
            self.copies.push_str(text);
        }
        let kind = if header.is_some() { Kind::String } else { Kind::Null };
        let value = Value { kind, start, end: self.copies.len(), escaped: matches!(text, Some(Err(_))) };
        self.slots[usize::from(node.0)] = Slot::Once(Found::new(value, Place::Header));
    }

    /// Goes no deeper than the wanted paths: anything else is skipped without recursion.
    fn object(
        &mut self,
        tree: &Tree,
        parent: Node,
        scanner: &mut Scanner<'_>,
        source: Source<'_>,
        watch: &mut impl Watch,
    ) -> Result<(), Invalid> {
        scanner.members(|scanner, key| {
            let Some(node) = self.wanted(tree, parent, key, source.text) else {
                watch.value(None, scanner.value()?);
                return Ok(());
            };
            if !matches!(self.slots[usize::from(node.0)], Slot::Empty) {
                self.mark_twice(tree, node);
                return scanner.value().map(drop);
            }
            if scanner.next_byte() == Some(b'{') && !tree.is_leaf(node) {
                self.open(node, scanner.position(), source);
                watch.edge(Edge::Start(node), scanner.position());
                self.object(tree, node, scanner, source, watch)?;
                self.close(node, scanner.position());
                watch.edge(Edge::End(node), scanner.position());
            } else {
                let value = scanner.value()?;
                self.put(node, value, source);
                watch.value(Some(node), value);
            }
            Ok(())
        })
    }

    fn wanted(&mut self, tree: &Tree, parent: Node, key: Value, text: &[u8]) -> Option<Node> {
        let raw = &text[key.start..key.end];
        if !key.escaped {
            return tree.child(parent, raw);
        }
        self.key.clear();
        json::unescape(raw, &mut self.key)?;
        tree.child(parent, self.key.as_bytes())
    }

    /// Puts a value of the event's text in the place of `node`.
    #[inline]
    pub fn put_value(&mut self, node: Node, value: Value, event: &[u8]) {
        self.put(node, value, Source { text: event, place: Place::Event });
    }

    /// An object whose fields are wanted starts or ends at this place of the event's text.
    pub fn put_edge(&mut self, edge: Edge, at: usize, event: &[u8]) {
        match edge {
            Edge::Start(node) => self.open(node, at, Source { text: event, place: Place::Event }),
            Edge::End(node) => self.close(node, at),
        }
    }

    #[inline(always)]
    fn put(&mut self, node: Node, value: Value, source: Source<'_>) {
        let found =
            if value.escaped { self.unescaped(value, source) } else { Found::new(value, source.place) };
        self.slots[usize::from(node.0)] = Slot::Once(found);
    }

    #[cold]
    fn unescaped(&mut self, value: Value, source: Source<'_>) -> Found {
        let start = self.copies.len();
        match json::unescape(&source.text[value.start..value.end], &mut self.copies) {
            None => Found::new(value, source.place),
            Some(()) => Found {
                start,
                end: self.copies.len(),
                kind: Kind::String,
                escaped: false,
                place: Place::Copy,
            },
        }
    }

    /// Its end is known when it is closed.
    fn open(&mut self, node: Node, start: usize, source: Source<'_>) {
        let value = Value { kind: Kind::Object, start, end: start, escaped: false };
        self.slots[usize::from(node.0)] = Slot::Once(Found::new(value, source.place));
    }

    fn close(&mut self, node: Node, end: usize) {
        if let Slot::Once(found) = &mut self.slots[usize::from(node.0)] {
            found.end = end;
        }
    }

    /// Whatever is below a field that is there twice is there twice too.
    fn mark_twice(&mut self, tree: &Tree, node: Node) {
        self.slots[usize::from(node.0)] = Slot::Twice;
        for child in tree.children(node) {
            self.mark_twice(tree, child);
        }
    }
}

/// An event's JSON text, and whether all of it is known to be UTF-8.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    Utf8(&'a str),
    Bytes(&'a [u8]),
}

/// The found fields, with the texts that they lie in.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub fields: &'a FoundFields,
    pub event: Text<'a>,
    pub data: &'a [u8],
}

impl<'a> View<'a> {
    /// Any value but null; a string's bytes are without quotes and unescaped.
    pub fn value(&self, node: Node) -> Field<(Kind, &'a [u8])> {
        self.found(node).and_then(|found| Some((found.kind, self.bytes(found))))
    }

    /// Whether nothing is there, not even null.
    #[inline(always)]
    pub fn is_empty(&self, node: Node) -> bool {
        matches!(self.fields.slots[usize::from(node.0)], Slot::Empty)
    }

    #[inline(always)]
    pub fn is_object(&self, node: Node) -> bool {
        matches!(self.fields.slots[usize::from(node.0)], Slot::Once(Found { kind: Kind::Object, .. }))
    }

    /// A text that stands in the event's own as it is, as most do; `None` for all else, whatever it is.
    #[inline(always)]
    pub fn plain(&self, node: Node) -> Option<&'a str> {
        let Slot::Once(Found { start, end, kind: Kind::String, escaped: false, place: Place::Event }) =
            self.fields.slots[usize::from(node.0)]
        else {
            return None;
        };
        match self.event {
            Text::Utf8(event) => event.get(start..end),
            Text::Bytes(event) => json::ascii(&event[start..end]),
        }
    }

    /// Likewise, a number that is written in digits alone.
    #[inline(always)]
    pub fn plain_number(&self, node: Node) -> Option<u64> {
        match self.fields.slots[usize::from(node.0)] {
            Slot::Once(found) if found.kind == Kind::Number && found.place == Place::Event => {
                json::digits_alone(self.bytes(found))
            }
            _ => None,
        }
    }

    pub fn text(&self, node: Node) -> Field<&'a str> {
        self.found(node).and_then(|Found { start, end, kind, escaped, place }| {
            if kind != Kind::String || escaped {
                return None;
            }
            match (place, self.event) {
                (Place::Event, Text::Utf8(event)) => event.get(start..end),
                (Place::Event, Text::Bytes(event)) => json::utf8(&event[start..end]),
                (Place::Data, _) => json::utf8(&self.data[start..end]),
                (Place::Copy | Place::Header, _) => self.fields.copies.get(start..end),
            }
        })
    }

    pub fn number(&self, node: Node) -> Field<json::Whole> {
        self.found(node).and_then(|found| {
            let bytes = self.bytes(found);
            match (found.kind, found.place) {
                (Kind::Number, _) => Some(json::whole(bytes)),
                (Kind::String, Place::Header) => json::is_number(bytes).then(|| json::whole(bytes)),
                _ => None,
            }
        })
    }

    /// An integral number that fits.
    #[inline]
    pub fn integer<T: TryFrom<u64> + TryFrom<i128>>(&self, node: Node) -> Field<T> {
        if let Some(number) = self.plain_number(node) {
            return T::try_from(number).map_or(Field::Wrong, Field::Found);
        }
        self.number(node).and_then(|number| T::try_from(number.floor).ok().filter(|_| number.exact))
    }

    pub fn boolean(&self, node: Node) -> Field<bool> {
        self.found(node).and_then(|found| match found.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        })
    }

    #[inline(always)]
    fn found(&self, node: Node) -> Field<Found> {
        match self.fields.slots[usize::from(node.0)] {
            Slot::Empty => Field::Absent,
            Slot::Once(found) if found.kind == Kind::Null => Field::Absent,
            Slot::Once(found) => Field::Found(found),
            Slot::Twice => Field::Twice,
        }
    }

    #[inline]
    fn bytes(&self, found: Found) -> &'a [u8] {
        let text = match found.place {
            Place::Event => match self.event {
                Text::Utf8(event) => event.as_bytes(),
                Text::Bytes(event) => event,
            },
            Place::Data => self.data,
            Place::Copy | Place::Header => self.fields.copies.as_bytes(),
        };
        &text[found.start..found.end]
    }
}
