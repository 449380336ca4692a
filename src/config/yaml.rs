//! YAML as a tree whose every value knows where it stands, so that a complaint can name the line.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

use super::Problem;

#[cfg(test)]
mod tests;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, from 1.
    Line(Arc<str>, usize),
    /// A file as a whole.
    File(Arc<str>),
    /// An environment variable.
    Variable(Arc<str>),
    /// Nowhere in particular: the built-in default, or the configuration as a whole.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    /// As written, after YAML's escapes: `0123` stays `0123` where text is wanted.
    Scalar(String),
    /// An environment variable's text: taken as it is where text is wanted, read as YAML elsewhere.
    Raw(String),
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    pub fn null(place: Place) -> Self {
        Self { place, value: Value::Null }
    }

    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The node with an environment variable's text read as YAML.
    pub fn parsed(self) -> Result<Self, Problem> {
        match self.value {
            Value::Raw(text) => parse(&text, &|_| self.place.clone()),
            value => Ok(Self { place: self.place, value }),
        }
    }
}

/// Reads one YAML document; an empty one is null. `place` tells where a line of it stands.
pub fn parse(text: &str, place: &dyn Fn(usize) -> Place) -> Result<Node, Problem> {
    let mut builder = Builder { place, open: Vec::new(), anchors: HashMap::new(), root: None };
    for step in Parser::new_from_str(text) {
        let (event, span) = step.map_err(|error| scan_problem(&error, place))?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.root.unwrap_or_else(|| Node::null(place(1))))
}

fn scan_problem(error: &ScanError, place: &dyn Fn(usize) -> Place) -> Problem {
    Problem::new(place(error.marker().line()), "", format!("read YAML: {}", error.info()))
}

/// A list or map whose end has not come yet.
enum Open {
    List { place: Place, anchor: usize, items: Vec<Node> },
    Map { place: Place, anchor: usize, entries: Vec<Entry>, key: Option<(String, Place)> },
}

struct Builder<'a> {
    place: &'a dyn Fn(usize) -> Place,
    open: Vec<Open>,
    /// Nodes that an alias may name, by the parser's number of their anchor.
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        let place = (self.place)(line);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = scalar(&text, style);
                self.finish(Node { place, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open::List { place, anchor, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open::Map { place, anchor, entries: Vec::new(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| Problem::new(place, "", "an alias stands inside its own anchor"))?;
                self.finish(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Problem::new(place, "", "a second YAML document: a configuration is one document"))
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Problem> {
        match self.open.pop() {
            Some(Open::List { place, anchor, items }) => {
                self.finish(Node { place, value: Value::List(items) }, anchor)
            }
            Some(Open::Map { place, anchor, entries, .. }) => {
                self.finish(Node { place, value: Value::Map(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    /// Puts a finished node where it belongs: into the list or map around it, or at the root.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, node }),
                None => *key = Some(as_key(node, entries)?),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node, entries: &[Entry]) -> Result<(String, Place), Problem> {
    let key = match node.value {
        Value::Scalar(text) => text,
        _ => return Err(Problem::new(node.place, "", "a key is not a text")),
    };
    match entries.iter().find(|entry| entry.key == key) {
        Some(_) => Err(Problem::new(node.place, &key, "is given twice: keep one")),
        None => Ok((key, node.place)),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    if is_null { Value::Null } else { Value::Scalar(text.to_owned()) }
}
