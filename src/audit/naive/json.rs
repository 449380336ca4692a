//! A whole JSON text as a flat list of nodes: members that are there twice stay two, numbers keep
//! their digits, strings their bytes, and no nesting is too deep.

use std::ops::Range;

use super::Field;

/// A node's place in the list.
pub type Node = usize;

/// The text's own value.
pub const ROOT: Node = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool(bool),
    Number,
    String,
    Array,
    Object,
}

struct Entry {
    kind: Kind,
    /// Of the whole value: with a string's quotes, with a container's brackets.
    place: Range<usize>,
    /// Of an object: the places of the members' names, quotes included.
    names: Vec<Range<usize>>,
    children: Vec<Node>,
}

pub struct Document<'a> {
    text: &'a [u8],
    entries: Vec<Entry>,
}

/// `None` where the text is not JSON (RFC 8259). Whether strings are UTF-8 shows when they are read.
pub fn parse(text: &[u8]) -> Option<Document<'_>> {
    let mut parser = Parser { text, at: 0 };
    let mut document = Document { text, entries: Vec::new() };
    let mut open: Vec<Node> = Vec::new();
    loop {
        parser.skip_space();
        let node = document.entries.len();
        let start = parser.at;
        let kind = parser.begin_value()?;
        document.entries.push(Entry {
            kind,
            place: start..parser.at,
            names: Vec::new(),
            children: Vec::new(),
        });
        if let Some(&parent) = open.last() {
            document.entries[parent].children.push(node);
        }
        if matches!(kind, Kind::Array | Kind::Object) {
            parser.skip_space();
            if parser.take(closing(kind)) {
                document.entries[node].place.end = parser.at;
            } else {
                open.push(node);
                if kind == Kind::Object {
                    let name = parser.name()?;
                    document.entries[node].names.push(name);
                }
                continue;
            }
        }
        // A value has ended here: close what ends with it, go on behind a comma.
        loop {
            parser.skip_space();
            let Some(&parent) = open.last() else { return (parser.at == text.len()).then_some(document) };
            let entry = &mut document.entries[parent];
            if parser.take(b',') {
                if entry.kind == Kind::Object {
                    parser.skip_space();
                    entry.names.push(parser.name()?);
                }
                break;
            }
            if !parser.take(closing(entry.kind)) {
                return None;
            }
            entry.place.end = parser.at;
            open.pop();
        }
    }
}

fn closing(kind: Kind) -> u8 {
    if kind == Kind::Object { b'}' } else { b']' }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A whole scalar, or a container's opening bracket.
    fn begin_value(&mut self) -> Option<Kind> {
        match self.peek()? {
            b'{' => self.word(b"{", Kind::Object),
            b'[' => self.word(b"[", Kind::Array),
            b'n' => self.word(b"null", Kind::Null),
            b't' => self.word(b"true", Kind::Bool(true)),
            b'f' => self.word(b"false", Kind::Bool(false)),
            b'"' => self.string(),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Option<Kind> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(kind)
    }

    fn name(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.string()?;
        let name = start..self.at;
        self.skip_space();
        self.take(b':').then_some(name)
    }

    fn string(&mut self) -> Option<Kind> {
        if !self.take(b'"') {
            return None;
        }
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(Kind::String),
                b'\\' => {
                    let escape = self.peek()?;
                    self.at += 1;
                    match escape {
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return None;
                            }
                            self.at += 4;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<Kind> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Some(Kind::Number)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

impl<'a> Document<'a> {
    pub fn kind(&self, node: Node) -> Kind {
        self.entries[node].kind
    }

    pub fn children(&self, node: Node) -> &[Node] {
        &self.entries[node].children
    }

    pub fn raw(&self, node: Node) -> &'a [u8] {
        &self.text[self.entries[node].place.clone()]
    }

    /// The value at the end of a path of member names, from `node` on.
    pub fn find<S: AsRef<str>>(&self, node: Node, path: &[S]) -> Field<Node> {
        let mut node = node;
        for name in path {
            if self.kind(node) != Kind::Object {
                return Field::Absent;
            }
            let entry = &self.entries[node];
            let mut found = entry.names.iter().zip(&entry.children).filter_map(|(place, child)| {
                (unescape(&self.text[place.clone()])? == name.as_ref()).then_some(*child)
            });
            let Some(child) = found.next() else { return Field::Absent };
            if found.next().is_some() {
                return Field::Twice;
            }
            node = child;
        }
        if self.kind(node) == Kind::Null { Field::Absent } else { Field::Found(node) }
    }

    /// A string's text; `None` where it is no string, or none of Unicode characters.
    pub fn text(&self, node: Node) -> Option<String> {
        (self.kind(node) == Kind::String).then(|| unescape(self.raw(node))).flatten()
    }
}

/// What a string, given with its quotes, says.
fn unescape(quoted: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(&quoted[1..quoted.len() - 1]).ok()?;
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match characters.next()? {
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => {
                let digits: String = characters.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).ok()?
            }
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    String::from_utf16(&units).ok()
}
