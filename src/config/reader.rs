//! Reads the tree by key, collects every problem, and takes defaults from the table of keys.

use std::cell::RefCell;

use super::Problem;
use super::keys;
use super::values::Read;
use super::yaml::{self, Node, Place, Value};

#[derive(Default)]
pub struct Reader {
    problems: RefCell<Vec<Problem>>,
}

impl Reader {
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    pub fn root(&self, node: Node) -> Scope<'_> {
        let scope = Scope { reader: self, node, path: String::new(), pattern: String::new() };
        scope.refuse_unknown_keys();
        scope
    }
}

/// A place in the tree: a map whose keys are read one by one.
pub struct Scope<'r> {
    reader: &'r Reader,
    node: Node,
    /// The place's name for people: `kafka.topics[0]`.
    path: String,
    /// The same as the table of keys has it: `kafka.topics[]`.
    pattern: String,
}

impl<'r> Scope<'r> {
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn place(&self) -> Place {
        self.node.place.clone()
    }

    /// The map under `name`; its unknown keys are reported.
    pub fn section(&self, name: &str) -> Scope<'r> {
        let scope =
            self.enter(self.take(name), keys::join(&self.path, name), keys::join(&self.pattern, name));
        scope.refuse_unknown_keys();
        scope
    }

    /// The maps of the list under `name`; `None` where something else stands there.
    pub fn list(&self, name: &str) -> Option<Vec<Scope<'r>>> {
        let path = keys::join(&self.path, name);
        let pattern = keys::join(&self.pattern, name) + "[]";
        let node = self.take(name);
        let place = node.place.clone();
        match self.parse(node, &path).value {
            Value::Null => Some(Vec::new()),
            Value::List(items) => {
                let items = items.into_iter().enumerate();
                let scopes = items.map(|(i, item)| self.enter(item, format!("{path}[{i}]"), pattern.clone()));
                Some(scopes.inspect(Scope::refuse_unknown_keys).collect())
            }
            _ => {
                self.reader.report(Problem::new(
                    place,
                    &path,
                    "is not a list: write [ … ] or one item a line with `- `",
                ));
                None
            }
        }
    }

    /// The entries of this map, each a map itself, by name.
    pub fn entries(&self) -> Vec<(String, Scope<'r>)> {
        let pattern = keys::join(&self.pattern, "*");
        let scope = |name: &String, node: &Node| {
            let scope = self.enter(node.clone(), keys::join(&self.path, name), pattern.clone());
            scope.refuse_unknown_keys();
            scope
        };
        match &self.node.value {
            Value::Map(entries) => entries.iter().map(|e| (e.key.clone(), scope(&e.key, &e.node))).collect(),
            _ => Vec::new(),
        }
    }

    /// The names in this map.
    pub fn names(&self) -> Vec<String> {
        match &self.node.value {
            Value::Map(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// The value of a key that has a default.
    pub fn get<T>(&self, name: &str, read: impl Fn(&str) -> Read<T>) -> T {
        self.optional(name, &read).unwrap_or_else(|| {
            let node = default_of(&keys::join(&self.pattern, name))
                .expect("a key that is read by `get` has a default");
            match node.value {
                Value::Scalar(text) => read(&text).expect("built-in defaults are sound"),
                _ => unreachable!("a key that is read by `get` has a scalar default"),
            }
        })
    }

    /// The value of a key that must be given; reported where it is not.
    pub fn required<T>(&self, name: &str, read: impl Fn(&str) -> Read<T>) -> Option<T> {
        if self.is_absent(name) {
            self.report(name, "is missing: give it a value");
        }
        self.optional(name, read)
    }

    /// The value of a key that may be absent. A value that can't be read is reported and counts as
    /// absent.
    pub fn optional<T>(&self, name: &str, read: impl Fn(&str) -> Read<T>) -> Option<T> {
        let node = self.node.child(name)?;
        let problem = |message| Problem::new(node.place.clone(), &keys::join(&self.path, name), message);
        let text = match &node.value {
            Value::Null => return None,
            Value::Scalar(text) | Value::Raw(text) => text,
            Value::List(_) | Value::Map(_) => {
                self.reader.report(problem("is not a single value".to_owned()));
                return None;
            }
        };
        let is_secret = keys::below(&self.pattern, name)
            .and_then(|at| keys::find(&at))
            .is_some_and(|key| key.kind == "secret");
        let shown = if is_secret { String::new() } else { format!("{text:?} ") };
        read(text).map_err(|message| self.reader.report(problem(shown + &message))).ok()
    }

    pub fn is_absent(&self, name: &str) -> bool {
        self.node.child(name).is_none_or(|node| node.value == Value::Null)
    }

    /// Reports a problem with the key `name` of this map, at its own place where it has one.
    pub fn report(&self, name: &str, message: impl Into<String>) {
        let place = self.node.child(name).map_or_else(|| self.place(), |node| node.place.clone());
        self.reader.report(Problem::new(place, &keys::join(&self.path, name), message));
    }

    /// What stands under `name`, else its default.
    fn take(&self, name: &str) -> Node {
        let given = self.node.child(name).filter(|node| node.value != Value::Null).cloned();
        given
            .or_else(|| default_of(&keys::join(&self.pattern, name)))
            .unwrap_or_else(|| Node::null(self.place()))
    }

    fn parse(&self, node: Node, path: &str) -> Node {
        let place = node.place.clone();
        node.parsed().unwrap_or_else(|problem| {
            self.reader.report(Problem::new(place.clone(), path, problem.message));
            Node::null(place)
        })
    }

    fn enter(&self, node: Node, path: String, pattern: String) -> Scope<'r> {
        let mut node = self.parse(node, &path);
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            self.reader.report(Problem::new(
                node.place.clone(),
                &path,
                "is not a map: write keys and values",
            ));
            node.value = Value::Null;
        }
        Scope { reader: self.reader, node, path, pattern }
    }

    fn refuse_unknown_keys(&self) {
        let Value::Map(entries) = &self.node.value else { return };
        for entry in entries {
            if keys::below(&self.pattern, &entry.key).is_some() {
                continue;
            }
            let hint = match keys::suggest(&self.pattern, &entry.key) {
                Some(key) => format!("unknown key: did you mean {key}?"),
                None => "unknown key: docs/configuration.md lists all".to_owned(),
            };
            let path = keys::join(&self.path, &entry.key);
            self.reader.report(Problem::new(entry.place.clone(), &path, hint));
        }
    }
}

fn default_of(pattern: &str) -> Option<Node> {
    let text = keys::find(pattern)?.default?;
    Some(yaml::parse(text, &|_| Place::Default).expect("built-in defaults are YAML"))
}
