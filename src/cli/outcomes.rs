//! How events ended, as every command that counts some prints it.

use std::collections::BTreeMap;

use comfy_table::Table;
use serde::Serialize;

use super::screen::{Tone, cell, number, table};

#[derive(Debug, Default, Serialize)]
pub struct OutcomeReport {
    pub received: u64,
    pub counted: u64,
    pub duplicate: u64,
    /// By reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// By what they are.
    pub ignored: BTreeMap<&'static str, u64>,
}

impl OutcomeReport {
    /// A row an outcome and reason; how many there are in all only where `with_received`.
    pub fn table(&self, with_received: bool) -> Table {
        let mut ends = table(["OUTCOME", "REASON", "EVENTS"]);
        let mut add = |outcome: &str, reason: &str, events: u64, tone| {
            ends.add_row([cell(outcome, tone), cell(reason, Tone::Plain), number(events)]);
        };
        if with_received {
            add("received", "", self.received, Tone::Plain);
        }
        add("counted", "", self.counted, Tone::Good);
        add("duplicate", "", self.duplicate, Tone::Plain);
        for (reason, events) in &self.rejected {
            add("rejected", reason, *events, Tone::Bad);
        }
        for (what, events) in &self.ignored {
            add("ignored", what, *events, Tone::Doubtful);
        }
        ends
    }
}
