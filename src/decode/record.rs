//! A record of the JSON formats: one object, or an array of them.

use std::ops::Range;

use super::fields::{FoundFields, Tree};
use super::json::{Invalid, Scanner};
use super::shapes::Shapes;
use super::{Decoded, Raw};
use crate::event::{Ignored, Reason};

/// Slots of fields that are kept while an array is read to its end, some 24 bytes each. Elements
/// beyond are read again.
const MOST_KEPT_SLOTS: usize = 16 << 10;
/// Elements of an array whose room is kept for the next one.
const MOST_KEPT_ELEMENTS: usize = 4 << 10;

/// Reads the events of records; its buffers are used again.
#[derive(Debug)]
pub(super) struct Events {
    shapes: Shapes,
    fields: FoundFields,
    elements: Vec<Element>,
    /// The fields of an array's first elements.
    kept: Vec<FoundFields>,
}

/// An element of an array.
#[derive(Debug)]
struct Element {
    text: Range<usize>,
    /// Whether its fields are kept.
    is_read: bool,
}

/// What an event has in the places that are wanted.
pub(super) struct Found<'f> {
    pub fields: &'f mut FoundFields,
    /// The part of the record's value that the fields lie in.
    pub source: Range<usize>,
    /// The event's own, from `{` to `}`.
    pub text: Range<usize>,
}

impl Events {
    pub fn new(shapes: Shapes) -> Self {
        Self { shapes, fields: FoundFields::default(), elements: Vec::new(), kept: Vec::new() }
    }

    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Gives each event's position, its part of the record, and what is in it or became of it without
    /// another look. No event of an array is given before all of it is known to be JSON.
    #[inline]
    pub fn each(
        &mut self,
        tree: &Tree,
        value: Option<&[u8]>,
        mut one: impl FnMut(u32, Raw<'_>, Result<Found<'_>, Decoded<'static>>),
    ) {
        let Some(value) = value else { return one(0, Raw::Whole, Err(malformed("the record has no value"))) };
        let mut scanner = Scanner::new(value);
        match scanner.next_byte() {
            Some(b'{') => {
                let text = scanner.position()..without_trailing_space(value);
                let found = read(&mut self.shapes, &mut self.fields, tree, value, text);
                one(0, Raw::Whole, found);
            }
            Some(b'[') => {
                self.each_element(tree, value, scanner, one);
                self.trim();
            }
            _ => one(0, Raw::Whole, Err(malformed("neither a JSON object nor an array of them"))),
        }
    }

    fn each_element(
        &mut self,
        tree: &Tree,
        value: &[u8],
        scanner: Scanner<'_>,
        mut one: impl FnMut(u32, Raw<'_>, Result<Found<'_>, Decoded<'static>>),
    ) {
        if let Err(invalid) = self.split(tree, value, scanner) {
            return one(0, Raw::Whole, Err(malformed(format!("not JSON: {invalid}"))));
        }
        if self.elements.is_empty() {
            return one(0, Raw::Whole, Err(Decoded::Ignored(Ignored::Empty)));
        }
        let Self { shapes, fields, elements, kept } = self;
        for (at, Element { text, is_read }) in elements.iter().enumerate() {
            let raw = &value[text.clone()];
            let found = match raw {
                _ if *is_read => {
                    Ok(Found { fields: &mut kept[at], source: 0..value.len(), text: text.clone() })
                }
                [b'{', ..] => read(shapes, fields, tree, value, text.clone()),
                _ => Err(malformed("an element of the array is no JSON object")),
            };
            let index = u32::try_from(at).expect("a record has fewer than 2^32 bytes");
            one(index, Raw::Slice(raw), found);
        }
    }

    /// What an array needed beyond what most do is given back.
    fn trim(&mut self) {
        // The element at which a broken one ended may have copies too.
        let touched = self.elements.len() + 1;
        self.kept.iter_mut().take(touched).for_each(FoundFields::trim);
        self.elements.clear();
        self.elements.shrink_to(MOST_KEPT_ELEMENTS);
    }

    /// Finds the elements of an array, and the fields of those that have a known shape.
    fn split(&mut self, tree: &Tree, value: &[u8], mut scanner: Scanner<'_>) -> Result<(), Invalid> {
        let Self { shapes, elements, kept, .. } = self;
        elements.clear();
        scanner.elements(|scanner| {
            scanner.next_byte();
            let (start, at) = (scanner.position(), elements.len());
            if at == kept.len() && (at + 1) * tree.len() <= MOST_KEPT_SLOTS {
                kept.push(FoundFields::default());
            }
            let end = kept.get_mut(at).and_then(|fields| shapes.read_known(tree, fields, value, start));
            match end {
                Some(end) => scanner.go_to(end),
                None => drop(scanner.value()?),
            }
            elements.push(Element { text: start..scanner.position(), is_read: end.is_some() });
            Ok(())
        })?;
        scanner.end()
    }
}

/// Reads an event that stands alone in its part of the value.
#[inline]
fn read<'f>(
    shapes: &mut Shapes,
    fields: &'f mut FoundFields,
    tree: &Tree,
    value: &[u8],
    text: Range<usize>,
) -> Result<Found<'f>, Decoded<'static>> {
    match shapes.read_event(tree, fields, &value[text.clone()]) {
        Ok(()) => Ok(Found { fields, source: text.clone(), text }),
        Err(invalid) => Err(malformed(format!("not JSON: {invalid}"))),
    }
}

/// Where the text ends before white space as JSON has it: ASCII has more, which is no part of any
/// JSON text.
fn without_trailing_space(text: &[u8]) -> usize {
    let spaces = text.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    text.len() - spaces
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Decoded<'static> {
    Decoded::Rejected { reason: Reason::Malformed, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_leaves_little_behind() {
        let mut tree = Tree::default();
        tree.want("id");
        let mut events = Events::new(Shapes::default());
        let mut read = |value: &[u8]| {
            let mut found = 0;
            events.each(&tree, Some(value), |_, _, event| found += usize::from(event.is_ok()));
            let kept = events.kept.iter().map(FoundFields::kept_bytes).sum::<usize>();
            (found, kept, events.elements.capacity())
        };
        for known in (0..200).rev() {
            let short = r#"{"id":"x"},"#.repeat(known);
            // Escaped, so that it is copied.
            let long = format!(r#"{{"id":"\n{}"}}"#, "x".repeat(100_000));
            assert_eq!(read(format!("[{short}{long}]").as_bytes()).0, known + 1);
            let (found, kept, _) = read(format!("[{short}{long},").as_bytes());
            assert_eq!(found, 0, "it is broken");
            assert!(kept < 200_000, "{kept}");
        }
        let (found, _, elements) = read(format!("[{}0]", "0,".repeat(100_000)).as_bytes());
        assert_eq!(found, 0);
        assert!(elements <= MOST_KEPT_ELEMENTS, "{elements}");
    }
}
