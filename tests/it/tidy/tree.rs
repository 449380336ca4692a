//! The repository's files, read from the folder that the tests were built in.

use std::path::{Path, PathBuf};

use regex::Regex;

/// What is no part of the source: results of builds and runs.
const NOT_SOURCE: &[&str] = &[".git", ".stack", "target", "odometer-cache", "node_modules"];

/// A Rust file.
pub struct File {
    /// From the repository's root, with slashes.
    pub path: String,
    pub text: String,
    /// The text with comments emptied, line by line.
    pub code: String,
    /// Whether it is compiled for tests alone.
    pub is_test: bool,
}

impl File {
    /// The room that the file belongs to: the first part of its path within `src`.
    pub fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let end = inside.find(['/', '.']).unwrap_or(inside.len());
        &inside[..end]
    }

    /// `src/dedup/window/tests.rs` → `src::dedup::window::tests`.
    pub fn module(&self) -> String {
        self.path.trim_end_matches(".rs").replace('/', "::")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// The text of a file, if it is one.
pub fn text_of(path: &str) -> Option<String> {
    std::fs::read(root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Every file of the repository, from its root.
pub fn tracked() -> Vec<String> {
    let mut files = Vec::new();
    walk(root(), &mut files);
    let relative =
        |path: PathBuf| path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    let mut files: Vec<String> = files.into_iter().map(relative).collect();
    files.sort();
    files
}

/// The Rust files below a folder; none where there is no such folder.
pub fn rust(folder: &str) -> Vec<File> {
    let mut files = Vec::new();
    let prefix = format!("{folder}/");
    for path in tracked().into_iter().filter(|path| path.starts_with(&prefix) && path.ends_with(".rs")) {
        let text = read(&path);
        let code = without_comments(&text);
        files.push(File { path, text, code, is_test: false });
    }
    let test_modules: Vec<String> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        let path = file.path.trim_end_matches(".rs");
        let is_below = |module: &String| path == module || path.starts_with(&format!("{module}/"));
        file.is_test = test_modules.iter().any(is_below);
    }
    files
}

/// The modules that a file declares under `#[cfg(test)]`, as paths without their ending.
fn test_modules(file: &File) -> Vec<String> {
    let declaration = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))? )?mod ([a-z_0-9]+);").unwrap();
    let folder = match file.path.as_str() {
        "src/lib.rs" => "src",
        path => path.trim_end_matches(".rs"),
    };
    declaration.captures_iter(&file.code).map(|found| format!("{folder}/{}", &found[1])).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name();
        if NOT_SOURCE.iter().any(|not| name.to_str() == Some(*not)) {
            continue;
        }
        let kind = entry.file_type().expect("the type of an entry");
        if kind.is_dir() {
            walk(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// Lines that are comments become empty; the repository has no block comments.
fn without_comments(text: &str) -> String {
    let code = |line: &str| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}
