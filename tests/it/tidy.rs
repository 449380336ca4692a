//! What a reader of the source may rely on, held by reading it: floors, time, floats, sizes, names,
//! and that the documentation knows every metric, configuration key and invariant. No servers.

mod documents;
mod floors;
mod tree;

use regex::Regex;
use tree::{File, tracked};

/// A file that is longer is no longer read as a whole.
const MAX_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 15;

/// One finding a line, so that a failure shows all of them.
fn hold(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Lines of code, without comments, that hold what `pattern` matches.
fn find(files: impl IntoIterator<Item = File>, pattern: &str, why: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let mut findings = Vec::new();
    for file in files {
        let lines = file.code.lines().enumerate().filter(|(_, line)| pattern.is_match(line));
        findings.extend(lines.map(|(i, line)| format!("{}:{}: {}: {why}", file.path, i + 1, line.trim())));
    }
    findings
}

fn product() -> impl Iterator<Item = File> {
    tree::rust("src").into_iter().filter(|file| !file.is_test)
}

#[test]
fn only_the_clock_reads_time() {
    let files = product().filter(|file| file.room() != "clock");
    let pattern = r"\b(SystemTime|(Instant|Timestamp|Utc|Local|Zoned|OffsetDateTime)::now)\b";
    hold(&find(files, pattern, "ask the clock"));
}

#[test]
fn money_is_never_a_float() {
    let rooms = ["rating", "accounts", "billing"];
    let files = tree::rust("src").into_iter().filter(|file| rooms.contains(&file.room()));
    hold(&find(files, r"\b(f32|f64)\b", "money and quantities are integers or exact decimals"));
}

#[test]
fn pure_rooms_do_no_io() {
    let rooms = ["event", "month", "decode", "aggregate", "rating"];
    let files = product().filter(|file| rooms.contains(&file.room()));
    hold(&find(files, r"\b(std::(fs|net|env|process|thread)|tokio)\b", "this room is pure"));
}

#[test]
fn queues_are_bounded() {
    let pattern = r"unbounded|UnboundedSender|mpsc::channel\(\)|mpsc::channel::<[^>]*>\(\)";
    hold(&find(product(), pattern, "a queue without a bound is memory without a bound"));
}

#[test]
fn nothing_is_unfinished_or_skipped() {
    let everywhere = ["src", "tests", "benches", "examples"].into_iter().flat_map(tree::rust);
    let files = everywhere.filter(|file| !file.path.starts_with("tests/it/tidy"));
    hold(&find(files, r"\b(todo|unimplemented|dbg)!|#\[ignore", "finish it"));
}

#[test]
fn data_can_not_panic_the_process() {
    let why = "say why it can't fail with `expect`, or handle it";
    hold(&find(product(), r"\.unwrap\(\)", why));
}

#[test]
fn a_closed_stderr_can_not_panic_the_process() {
    let why = "it panics where nobody reads any more: write with `cli::screen`, or log";
    hold(&find(product(), r"\be?print(ln)?!", why));
}

#[test]
fn unsafe_code_stays_in_its_places() {
    let places = [
        "src/source/ffi.rs",
        "src/source/ffi/list.rs",
        "src/source/ffi/message.rs",
        "src/processor.rs",
        "src/decode/json/vector.rs",
    ];
    let files = tree::rust("src").into_iter().filter(|file| !places.contains(&file.path.as_str()));
    hold(&find(files, r"\bunsafe\b", "unsafe code has few places, listed in this test"));
}

#[test]
fn files_are_short() {
    let long = |file: &File| {
        let lines = file.text.lines().count();
        (lines > MAX_LINES)
            .then(|| format!("{}: {lines} lines: split it by meaning, {MAX_LINES} at most", file.path))
    };
    let mut findings: Vec<String> = tree::rust("src").iter().filter_map(long).collect();
    let main = tree::read("src/main.rs");
    if main.lines().count() > MAX_MAIN_LINES {
        findings.push(format!("src/main.rs: {MAX_MAIN_LINES} lines at most: the program is in the library"));
    }
    hold(&findings);
}

#[test]
fn names_say_what_is_inside() {
    let vague = Regex::new(r"(^|[/_.-])(utils?|managers?|helpers?|common|misc)([/_.-]|$)").unwrap();
    let findings = tracked().into_iter().filter(|path| vague.is_match(path));
    hold(&findings.map(|path| format!("{path}: name it after what it does")).collect::<Vec<_>>());
}

#[test]
fn no_file_knows_a_machine() {
    let path = Regex::new(r"(^|[^A-Za-z0-9_./-])/(work|farm|root|home)/[A-Za-z0-9._-]").unwrap();
    let mut findings = Vec::new();
    for file in tracked() {
        let Some(text) = tree::text_of(&file) else { continue };
        let lines = text.lines().enumerate().filter(|(_, line)| path.is_match(line));
        findings.extend(lines.map(|(i, line)| format!("{file}:{}: {}", i + 1, line.trim())));
    }
    hold(&findings);
}

#[test]
fn the_contents_page_describes_every_room() {
    let page = tree::read("src/lib.rs");
    let lines: Vec<&str> = page.lines().collect();
    let undescribed = |pair: &[&str]| {
        (pair[1].starts_with("pub mod ") && !pair[0].starts_with("/// "))
            .then(|| format!("src/lib.rs: {}", pair[1]))
    };
    hold(&lines.windows(2).filter_map(undescribed).collect::<Vec<_>>());
}
