//! Floors: which room may import which. They go up only, so there are no circles.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{hold, product, tree};

/// A room and those that it may import. The order of lib.rs holds besides: none below it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("month", &["event"]),
    ("clock", &[]),
    ("processor", &[]),
    ("telemetry", &["clock"]),
    ("decode", &["event"]),
    ("dedup", &["event", "processor"]),
    ("aggregate", &["event", "processor"]),
    ("rating", &["event", "month"]),
    ("accounts", &["event", "month", "clock", "rating"]),
    ("source", &["event", "clock", "processor", "telemetry"]),
    ("store", &["event", "month", "clock", "aggregate"]),
    ("flush", &["event", "clock", "dedup", "aggregate", "source", "store"]),
    (
        "snapshot",
        &["event", "month", "clock", "telemetry", "aggregate", "rating", "accounts", "source", "store"],
    ),
    (
        "billing",
        &["event", "month", "clock", "telemetry", "aggregate", "rating", "accounts", "store", "snapshot"],
    ),
    ("pdf", &["clock", "billing"]),
    ("audit", &["event", "month", "clock", "telemetry", "aggregate", "source", "store"]),
    ("simulate", &["event", "month", "clock"]),
    (
        "pipeline",
        &[
            "event",
            "month",
            "clock",
            "processor",
            "telemetry",
            "decode",
            "dedup",
            "aggregate",
            "source",
            "store",
            "flush",
        ],
    ),
    (
        "http",
        &[
            "event",
            "month",
            "clock",
            "telemetry",
            "rating",
            "accounts",
            "store",
            "snapshot",
            "billing",
            "pdf",
            "audit",
        ],
    ),
    (
        "web",
        &[
            "event",
            "month",
            "clock",
            "telemetry",
            "rating",
            "accounts",
            "source",
            "snapshot",
            "billing",
            "pdf",
            "audit",
            "http",
        ],
    ),
];
/// The top floor, which may import all rooms.
const TOP: &[&str] = &["config", "cli"];

/// The rooms in the order of the contents page.
fn rooms() -> Vec<String> {
    let page = tree::read("src/lib.rs");
    let rooms = page.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    rooms.map(str::to_owned).collect()
}

/// The first names of every path that starts at `crate`, those in braces too.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let word = Regex::new(r"^[a-z_][a-z0-9_]*").unwrap();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        let paths = if rest.starts_with('{') { in_braces(rest) } else { vec![rest] };
        found.extend(paths.iter().filter_map(|path| word.find(path)).map(|room| room.as_str().to_owned()));
    }
    found
}

/// The paths of `{a::b, c::{d, e}, f}`, each from its start.
fn in_braces(text: &str) -> Vec<&str> {
    let (mut depth, mut paths) = (0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(character, '{' | ',') {
            paths.push(text[at + 1..].trim_start());
        }
        if depth == 0 {
            break;
        }
    }
    paths
}

#[test]
fn imports_are_read_in_every_form() {
    let code =
        "use crate::{clock, event::{Lane, Record}, store::Store};\nlet x = crate::month::Month::new();";
    let found = imports(code);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["clock", "event", "month", "store"]);
}

#[test]
fn rooms_import_only_what_lies_above_them() {
    let rooms = rooms();
    let floors: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut findings = Vec::new();
    for file in product() {
        let room = file.room().to_owned();
        if matches!(room.as_str(), "lib" | "main") || TOP.contains(&room.as_str()) {
            continue;
        }
        let Some(allowed) = floors.get(room.as_str()) else {
            findings.push(format!(
                "{}: room {room} has no floor: add it to this test and docs/architecture.md",
                file.path
            ));
            continue;
        };
        for import in imports(&file.code) {
            let is_room = rooms.contains(&import) && import != room;
            if is_room && !allowed.contains(&import.as_str()) {
                findings.push(format!("{}: {room} may not import {import}", file.path));
            }
        }
    }
    hold(&findings);
}

#[test]
fn floors_go_up_only() {
    let rooms = rooms();
    let place = |room: &str| rooms.iter().position(|other| other == room);
    let mut findings = Vec::new();
    for (room, allowed) in MAY_IMPORT {
        for import in *allowed {
            if let (Some(own), Some(other)) = (place(room), place(import))
                && other >= own
            {
                findings
                    .push(format!("src/lib.rs: {import} must be listed above {room}, which may import it"));
            }
        }
    }
    hold(&findings);
}
