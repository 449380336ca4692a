//! A record of the JSON formats: one object, or an array of them.

use std::ops::Range;

use super::json::Scanner;
use super::{Decoded, Raw};
use crate::event::{Ignored, Reason};

/// Gets each event's position, its part of the record, and its JSON text or what became of it.
type One<'o> = &'o mut dyn FnMut(u32, Raw<'_>, Result<&[u8], Decoded<'static>>);

/// Gives each event's own JSON text, from `{` to `}`, or what became of it without a look inside.
/// A single object is not checked any further; an array is valid JSON to its end. `elements` is
/// a buffer.
pub(super) fn each_object(value: Option<&[u8]>, elements: &mut Vec<Range<usize>>, one: One<'_>) {
    let Some(value) = value else {
        return one(0, Raw::Whole, Err(malformed("the record has no value")));
    };
    let mut scanner = Scanner::new(value);
    match scanner.next_byte() {
        Some(b'{') => one(0, Raw::Whole, Ok(without_trailing_space(&value[scanner.position()..]))),
        Some(b'[') => match split(scanner, elements) {
            Err(invalid) => one(0, Raw::Whole, Err(malformed(format!("not JSON: {invalid}")))),
            Ok(()) if elements.is_empty() => one(0, Raw::Whole, Err(Decoded::Ignored(Ignored::Empty))),
            Ok(()) => each_element(value, elements, one),
        },
        _ => one(0, Raw::Whole, Err(malformed("neither a JSON object nor an array of them"))),
    }
}

fn split(mut scanner: Scanner<'_>, elements: &mut Vec<Range<usize>>) -> Result<(), super::json::Invalid> {
    elements.clear();
    scanner.elements(|scanner| {
        scanner.next_byte();
        let start = scanner.position();
        scanner.value()?;
        elements.push(start..scanner.position());
        Ok(())
    })?;
    scanner.end()
}

fn each_element(value: &[u8], elements: &[Range<usize>], one: One<'_>) {
    for (index, element) in (0_u32..).zip(elements) {
        let element = &value[element.clone()];
        let event = match element {
            [b'{', ..] => Ok(element),
            _ => Err(malformed("an element of the array is no JSON object")),
        };
        one(index, Raw::Slice(element), event);
    }
}

/// White space as JSON has it: ASCII has more, which is no part of any JSON text.
fn without_trailing_space(text: &[u8]) -> &[u8] {
    let spaces = text.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    &text[..text.len() - spaces]
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Decoded<'static> {
    Decoded::Rejected { reason: Reason::Malformed, detail: detail.into() }
}
