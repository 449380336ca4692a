//! A deterministic simulation of everything around the product's core: log, consumer group,
//! database, dead letters, processes that stop, wake and die at every await. The decoding, the
//! de-duplication, the counting, the publishing, taking over, the gate, rolls and recounts are the
//! product's own code; docs/reliability.md says what is simulated and how a history is replayed.

mod chance;
mod check;
mod client;
mod facts;
mod fault;
mod group;
mod history;
mod lane_task;
mod log;
mod oracle;
mod ports;
mod room;
mod servers;
mod settings;
mod store;
mod trouble;
mod worker;
mod world;

pub use fault::Tally;
pub use history::{Failure, Outcome, run};

use std::fmt;

/// What many histories came to.
#[derive(Default)]
pub struct Summary {
    pub histories: u64,
    pub steps: u64,
    pub least_steps: Option<u64>,
    pub simulated_ms: u64,
    pub checks: u64,
    pub uncertain_blocks: u64,
    pub tally: Tally,
}

impl Summary {
    pub fn add(&mut self, outcome: &Outcome) {
        self.histories += 1;
        self.steps += outcome.steps;
        self.least_steps = Some(self.least_steps.map_or(outcome.steps, |least| least.min(outcome.steps)));
        self.simulated_ms += outcome.simulated_ms;
        self.checks += outcome.checks;
        self.uncertain_blocks += outcome.uncertain_blocks;
        self.tally.add(&outcome.tally);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} histories, {} steps (at least {} each), {} simulated hours, {} looks at the ledger, {} blocks \
             that hang on what was lost\n",
            self.histories,
            self.steps,
            self.least_steps.unwrap_or(0),
            self.simulated_ms / 3_600_000,
            self.checks,
            self.uncertain_blocks
        )?;
        writeln!(f, "| fault | times |\n|---|---|")?;
        self.tally.fmt(f)
    }
}

/// The failure and the command that replays it.
pub fn explain(failure: &Failure) -> String {
    let Failure { seed, step, what, .. } = failure;
    format!(
        "seed {seed}, step {step}: {what}\nreplay it: cargo run --release --example simulate-faults -- --seed \
         {seed}"
    )
}
