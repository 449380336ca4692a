//! `ODOMETER__SECTION__KEY`: environment variables laid over the file.

use std::ffi::OsString;
use std::sync::Arc;

use super::Problem;
use super::yaml::{Entry, Node, Place, Value};

#[cfg(test)]
mod tests;

const PREFIX: &str = "ODOMETER__";
const SEPARATOR: &str = "__";
/// Librdkafka's properties have dots, which a shell allows in no name: below this key `_` says `.`.
const DOTTED: &[&str] = &["kafka", "properties"];

/// One variable: the path of the key that it sets, and its text.
struct Override {
    path: Vec<String>,
    place: Place,
    text: String,
}

/// Lays the variables over `root`: maps are merged, everything else is replaced. The shortest path
/// goes first, so that `ODOMETER__KAFKA__BROKERS` wins over `ODOMETER__KAFKA`.
pub fn overlay(
    root: &mut Node,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) {
    let mut overrides = Vec::new();
    for (name, text) in variables {
        match read(name, text) {
            Ok(Some(found)) => overrides.push(found),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    overrides.sort_by(|a, b| (a.path.len(), &a.path).cmp(&(b.path.len(), &b.path)));
    for found in overrides {
        let node = Node { place: found.place, value: Value::Raw(found.text) };
        if let Err(problem) = set(root, &found.path, node) {
            problems.push(problem);
        }
    }
}

fn read(name: OsString, text: OsString) -> Result<Option<Override>, Problem> {
    let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
        return Ok(None);
    };
    let place = Place::Variable(Arc::from(name));
    let path: Vec<String> = name[PREFIX.len()..].split(SEPARATOR).map(str::to_lowercase).collect();
    let text =
        text.into_string().map_err(|_| Problem::new(place.clone(), &path.join("."), "is not UTF-8"))?;
    Ok(Some(Override { path: dotted(path), place, text }))
}

fn dotted(mut path: Vec<String>) -> Vec<String> {
    if path.len() > DOTTED.len() && path.iter().zip(DOTTED).all(|(a, b)| a == b) {
        let property = path.split_off(DOTTED.len()).join(".").replace('_', ".");
        path.push(property);
    }
    path
}

fn set(target: &mut Node, path: &[String], node: Node) -> Result<(), Problem> {
    let Some((key, rest)) = path.split_first() else {
        return merge(target, node);
    };
    if matches!(target.value, Value::Raw(_)) {
        *target = target.clone().parsed()?;
    }
    if target.value == Value::Null {
        target.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut target.value else {
        let message =
            format!("sets {key:?} below a value that has no keys: give the whole value as inline YAML");
        return Err(Problem::new(node.place, "", message));
    };
    let at = match entries.iter().position(|entry| entry.key == *key) {
        Some(at) => at,
        None => {
            let place = node.place.clone();
            entries.push(Entry { key: key.clone(), place: place.clone(), node: Node::null(place) });
            entries.len() - 1
        }
    };
    set(&mut entries[at].node, rest, node)
}

/// A map over a map adds and replaces keys; anything else replaces what was there.
fn merge(target: &mut Node, node: Node) -> Result<(), Problem> {
    if !matches!(target.value, Value::Map(_)) {
        *target = node;
        return Ok(());
    }
    let node = node.parsed()?;
    match node.value {
        Value::Map(entries) => {
            entries.into_iter().try_for_each(|entry| set(target, &[entry.key], entry.node))
        }
        value => {
            *target = Node { place: node.place, value };
            Ok(())
        }
    }
}
