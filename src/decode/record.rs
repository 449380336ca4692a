//! A record of the JSON formats: one object, or an array of them.

use std::ops::Range;

use super::json::Scanner;
use super::shapes::Shapes;
use super::{Decoded, Raw};
use crate::event::{Ignored, Reason};

/// Gets each event's position, its part of the record, and where in the value its JSON text is, or
/// what became of it.
type One<'o> = &'o mut dyn FnMut(u32, Raw<'_>, Result<Range<usize>, Decoded<'static>>);

/// What a record's value is, seen from outside.
pub(super) enum Value<'v> {
    /// A single object, which is not checked any further.
    Object(Range<usize>),
    /// Valid JSON to its end; the elements are in the buffer.
    Array(&'v [u8]),
}

/// Looks at the value from outside. `elements` is a buffer; `shapes` help to find where they end.
pub(super) fn open<'v>(
    value: Option<&'v [u8]>,
    shapes: &mut Shapes,
    elements: &mut Vec<Range<usize>>,
) -> Result<Value<'v>, Decoded<'static>> {
    let value = value.ok_or_else(|| malformed("the record has no value"))?;
    let mut scanner = Scanner::new(value);
    match scanner.next_byte() {
        Some(b'{') => Ok(Value::Object(scanner.position()..without_trailing_space(value))),
        Some(b'[') => {
            split(value, scanner, shapes, elements)
                .map_err(|invalid| malformed(format!("not JSON: {invalid}")))?;
            if elements.is_empty() { Err(Decoded::Ignored(Ignored::Empty)) } else { Ok(Value::Array(value)) }
        }
        _ => Err(malformed("neither a JSON object nor an array of them")),
    }
}

/// Gives each event's own JSON text, from `{` to `}`, or what became of it without a look inside.
pub(super) fn each_object(
    value: Result<Value<'_>, Decoded<'static>>,
    elements: &[Range<usize>],
    one: One<'_>,
) {
    match value {
        Err(decoded) => one(0, Raw::Whole, Err(decoded)),
        Ok(Value::Object(text)) => one(0, Raw::Whole, Ok(text)),
        Ok(Value::Array(value)) => each_element(value, elements, one),
    }
}

fn split(
    value: &[u8],
    mut scanner: Scanner<'_>,
    shapes: &mut Shapes,
    elements: &mut Vec<Range<usize>>,
) -> Result<(), super::json::Invalid> {
    elements.clear();
    scanner.elements(|scanner| {
        scanner.next_byte();
        let start = scanner.position();
        match shapes.end_of(value, start) {
            Some(end) => scanner.go_on_at(end),
            None => drop(scanner.value()?),
        }
        elements.push(start..scanner.position());
        Ok(())
    })?;
    scanner.end()
}

fn each_element(value: &[u8], elements: &[Range<usize>], one: One<'_>) {
    for (index, element) in (0_u32..).zip(elements) {
        let text = &value[element.clone()];
        let event = match text {
            [b'{', ..] => Ok(element.clone()),
            _ => Err(malformed("an element of the array is no JSON object")),
        };
        one(index, Raw::Slice(text), event);
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
