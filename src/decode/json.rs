//! Finds values in JSON without building them: every byte is checked against RFC 8259's grammar,
//! and what is found are positions. Only UTF-8 is not checked here: gateways send strings that are
//! not, and nobody reads those.

use std::fmt;

mod nesting;
mod number;
mod text;
mod vector;

#[cfg(test)]
mod tests;

use nesting::{Container, Nesting};

pub(super) use number::{Whole, digits_alone, whole};
pub(super) use text::{same_length, unescape};
pub(super) use vector::ascii;

/// A byte-by-byte reader of one JSON text.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The text, if it is UTF-8.
#[inline]
pub(super) fn utf8(text: &[u8]) -> Option<&str> {
    ascii(text).or_else(|| std::str::from_utf8(text).ok())
}

/// Whether the text is one JSON number and nothing else.
pub(super) fn is_number(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    let value = scanner.value();
    value.is_ok_and(|value| value.kind == Kind::Number && value.start == 0 && value.end == text.len())
}

/// Where in the text the grammar was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub at: usize,
    pub expected: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

/// One value's place; a string's is that of its content, without the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// A string that holds `\`.
    pub escaped: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::starting_at(bytes, 0)
    }

    pub fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The first byte of what comes next, after white space.
    pub fn next_byte(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Goes on at another place of the text, up to which it is known to be sound.
    pub fn go_to(&mut self, at: usize) {
        debug_assert!(at <= self.bytes.len(), "never beyond the end");
        self.at = at;
    }

    /// Skips one value, however deep.
    pub fn value(&mut self) -> Result<Value, Invalid> {
        match self.next_byte() {
            Some(b'{' | b'[') => self.container(|_| ()),
            _ => self.scalar(),
        }
    }

    /// Goes through the members of an object. `each` gets the key and must read the value.
    pub fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, Value) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.expect(b'{', "an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, key)?;
            if !self.take(b',') {
                return self.expect(b'}', "',' or '}'");
            }
        }
    }

    /// Goes through the elements of an array. `each` must read the value.
    pub fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        self.expect(b'[', "an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.expect(b']', "',' or ']'");
            }
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Invalid> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.invalid("the end")),
        }
    }

    /// All of the text.
    pub fn text(&self) -> &'a [u8] {
        self.bytes
    }

    /// The byte that comes next, also if it is white space.
    #[inline]
    pub fn byte_ahead(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over exactly these bytes, if they are what comes next.
    #[inline]
    pub fn pass(&mut self, run: &[u8]) -> bool {
        let found = self.bytes[self.at..].get(..run.len()).is_some_and(|next| text::same(next, run));
        self.at += if found { run.len() } else { 0 };
        found
    }

    /// Where the reader stands.
    pub fn position(&self) -> usize {
        self.at
    }

    /// For a search that has found what it wanted: nothing is wrong, but nothing more is read.
    pub fn stopped(&self) -> Invalid {
        self.invalid("nothing more")
    }

    fn invalid(&self, expected: &'static str) -> Invalid {
        Invalid { at: self.at, expected }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next_byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Invalid> {
        if self.take(byte) { Ok(()) } else { Err(self.invalid(expected)) }
    }

    /// A member's name and the colon.
    fn key(&mut self) -> Result<Value, Invalid> {
        if self.next_byte() != Some(b'"') {
            return Err(self.invalid("a member's name"));
        }
        let key = self.string()?;
        self.expect(b':', "':'")?;
        Ok(key)
    }

    /// An array or an object, whose scalar values are all shown to `each`. Without recursion, so that
    /// no record can exhaust the stack.
    pub fn container(&mut self, mut each: impl FnMut(Value)) -> Result<Value, Invalid> {
        let start = self.at;
        let kind = if self.bytes.get(start) == Some(&b'{') { Kind::Object } else { Kind::Array };
        let mut open = Nesting::default();
        loop {
            match self.next_byte() {
                Some(b'{') => {
                    self.at += 1;
                    if !self.take(b'}') {
                        open.push(Container::Object);
                        self.key()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if !self.take(b']') {
                        open.push(Container::Array);
                        continue;
                    }
                }
                _ => each(self.scalar()?),
            }
            if self.close(&mut open)? {
                return Ok(Value { kind, start, end: self.at, escaped: false });
            }
        }
    }

    /// After a value: closes what ends here. Whether everything is closed; else another value
    /// follows.
    fn close(&mut self, open: &mut Nesting) -> Result<bool, Invalid> {
        while let Some(container) = open.last() {
            let (end, expected) = match container {
                Container::Object => (b'}', "',' or '}'"),
                Container::Array => (b']', "',' or ']'"),
            };
            if self.take(b',') {
                if container == Container::Object {
                    self.key()?;
                }
                return Ok(false);
            }
            self.expect(end, expected)?;
            open.pop();
        }
        Ok(true)
    }

    /// `next_byte` was called before.
    fn scalar(&mut self) -> Result<Value, Invalid> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true", Kind::True),
            Some(b'f') => self.literal(b"false", Kind::False),
            Some(b'n') => self.literal(b"null", Kind::Null),
            _ => Err(self.invalid("a value")),
        }
    }

    fn literal(&mut self, word: &'static [u8], kind: Kind) -> Result<Value, Invalid> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return Err(self.invalid("a value"));
        }
        self.at += word.len();
        Ok(Value { kind, start, end: self.at, escaped: false })
    }

    /// Stands on a digit or on `-`.
    #[inline]
    pub fn number(&mut self) -> Result<Value, Invalid> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value { kind: Kind::Number, start, end: self.at, escaped: false })
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), Invalid> {
        let end = text::digits_end(self.bytes, self.at);
        if end == self.at {
            return Err(self.invalid("a digit"));
        }
        self.at = end;
        Ok(())
    }

    /// Stands on the opening quote.
    fn string(&mut self) -> Result<Value, Invalid> {
        self.at += 1;
        let start = self.at;
        match self.rest_of_plain_string() {
            Some(end) => Ok(Value { kind: Kind::String, start, end, escaped: false }),
            None => self.rest_of_string(),
        }
    }

    /// Stands behind the opening quote; reads to behind the closing one, if nothing is escaped before.
    /// Gives the place of the closing one.
    #[inline(always)]
    pub fn rest_of_plain_string(&mut self) -> Option<usize> {
        let end = text::plain_end(self.bytes, self.at);
        let is_closed = self.bytes.get(end) == Some(&b'"');
        is_closed.then(|| {
            self.at = end + 1;
            end
        })
    }

    /// Stands behind the opening quote; reads to behind the closing one.
    pub fn rest_of_string(&mut self) -> Result<Value, Invalid> {
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = text::plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Value { kind: Kind::String, start, end, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.invalid("no control character in a string")),
                None => return Err(self.invalid("the string's closing quote")),
            }
        }
    }

    #[inline]
    fn escape(&mut self) -> Result<(), Invalid> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.invalid("four hex digits after \\u"));
                }
                self.at += 5;
                Ok(())
            }
            _ => Err(self.invalid("an escape")),
        }
    }
}
