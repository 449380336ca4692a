use super::fields::{Field, Node, Tree, View};
use super::rules::Locator;
use crate::event::Record;

/// A locator and, where it is a path, its node in the tree of wanted fields.
#[derive(Debug)]
pub(super) struct Place {
    locator: Locator,
    node: Option<Node>,
}

impl Place {
    pub fn new(locator: Locator, tree: &mut Tree) -> Self {
        let node = locator.path().map(|path| tree.want(path));
        Self { locator, node }
    }

    pub fn read<'a>(&'a self, record: &Record<'a>, view: View<'a>) -> Field<&'a str> {
        match self.node {
            Some(node) => view.text(node),
            None => self.locator.of_record(record).unwrap_or(Field::Absent),
        }
    }

    /// Where the event has it, if it is there and not in the record.
    pub fn node(&self) -> Option<Node> {
        self.node
    }

    /// Whether it is `data` or a part of it.
    pub fn is_in_data(&self) -> bool {
        self.locator.path().is_some_and(|path| path == "data" || path.starts_with("data."))
    }
}
