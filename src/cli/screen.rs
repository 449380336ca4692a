//! What a command prints: a table for people or JSON for programs on stdout, progress on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// Tables for people
    Table,
    /// JSON for programs
    Json,
}

/// How strongly a cell speaks; colours are shown on terminals only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Doubtful,
    Bad,
}

#[derive(Clone, Copy, Debug)]
pub struct Screen {
    mode: OutputMode,
}

impl Screen {
    pub fn new(mode: OutputMode) -> Self {
        Self { mode }
    }

    pub fn is_json(self) -> bool {
        self.mode == OutputMode::Json
    }

    /// Prints one result on stdout: the value as JSON, or what `people` makes of it.
    pub fn print<T: Serialize>(self, value: &T, people: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let mut text = match self.mode {
            OutputMode::Json => serde_json::to_string_pretty(value)
                .map_err(|error| Failure::failed(format!("write result as JSON: {error}")))?,
            OutputMode::Table => people(value),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(text.as_bytes())
    }

    /// Writes bytes to stdout. A reader that has gone, as in `odometer usage acme | head -1`, has
    /// what it wanted.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// A line for people beside the result, on stderr; programs are not told.
    pub fn note(self, text: &str) {
        if !self.is_json() {
            tell(text);
        }
    }

    /// A progress bar of `total` steps, shown on a terminal only.
    pub fn progress(self, what: &'static str, total: u64) -> ProgressBar {
        if self.is_json() || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is sound");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Writes a line to stderr. Where nobody reads that any more there is nobody to tell.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A table without lines, easy to read and to cut; wrapped to the terminal's width.
pub fn table<'a>(headers: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        table.force_no_tty();
    }
    table.set_header(headers.into_iter().map(|header| Cell::new(header).add_attribute(Attribute::Bold)));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

pub fn cell(text: impl ToString, tone: Tone) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Doubtful => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

/// A number, grouped by thousands and set to the right.
pub fn number(value: impl Into<u128>) -> Cell {
    Cell::new(grouped(value.into())).set_alignment(CellAlignment::Right)
}

/// `1,200,345`.
pub fn grouped(value: u128) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
