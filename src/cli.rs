//! The command line: one file per command; this one knows them all.
//!
//! A command is a struct of its flags with `async fn run(self, &Context) -> Result<(), Failure>`,
//! and one line in [`Command`].

mod accounts;
mod audit;
mod bill;
mod count;
mod dead_letters;
mod doctor;
mod export;
mod failure;
pub mod ingest;
mod kafka;
mod outcomes;
pub mod process;
mod recount;
mod repartition;
pub mod screen;
mod run;
mod serve;
mod setup;
mod simulate;
#[cfg(test)]
mod tests;
mod usage;
mod validate;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::telemetry::{self, vital_task};

pub use failure::{Exit, Failure};
use screen::{OutputMode, Screen};

const EXAMPLES: &str = "\
Examples:
  odometer count sample.ndjson --format kafka-log --organization konnect.org_id
                                       is the mapping right? no servers needed
  odometer validate                    check the configuration and that every server answers
  odometer run                         count and serve in one process
  odometer usage acme --month 2026-11  what an organization used

Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a server is unreachable, 78 bad configuration.";

/// Exact usage metering for API platforms: Kafka in, ClickHouse and a usage snapshot out
#[derive(Debug, Parser)]
#[command(name = "odometer", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Debug, Args)]
struct Everywhere {
    /// The configuration; without it odometer.yaml where there is one, else the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to print on standard output
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "table")]
    output: OutputMode,
}

/// In the order of the help: what one runs first stands first.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Ingest(ingest::Ingest),
    Serve(serve::Serve),
    Setup(setup::Setup),
    Validate(validate::Validate),
    Doctor(doctor::Doctor),
    Usage(usage::Usage),
    Export(export::Export),
    Bill(bill::Bill),
    Audit(audit::Audit),
    Count(count::Count),
    DeadLetters(dead_letters::DeadLetters),
    Recount(recount::Recount),
    Repartition(repartition::Repartition),
    Simulate(simulate::Simulate),
}

/// What every command is given.
pub struct Context {
    pub config: Config,
    pub screen: Screen,
}

impl Command {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Run(command) => command.run(context).await,
            Self::Ingest(command) => command.run(context).await,
            Self::Serve(command) => command.run(context).await,
            Self::Setup(command) => command.run(context).await,
            Self::Validate(command) => command.run(context).await,
            Self::Doctor(command) => command.run(context).await,
            Self::Usage(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
            Self::Bill(command) => command.run(context).await,
            Self::Audit(command) => command.run(context).await,
            Self::Count(command) => command.run(context).await,
            Self::DeadLetters(command) => command.run(context).await,
            Self::Recount(command) => command.run(context).await,
            Self::Repartition(command) => command.run(context).await,
            Self::Simulate(command) => command.run(context).await,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.message.lines() {
                screen::tell(&format!("error: {line}"));
            }
            if let Some(hint) = &failure.hint {
                screen::tell(&format!("hint: {hint}"));
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    telemetry::start_logs().map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let config = Config::load(arguments.everywhere.config.as_deref())?;
    let context = Context { config, screen: Screen::new(arguments.everywhere.output) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("start threads: {error}")))?;
    let command = AssertUnwindSafe(|| runtime.block_on(vital_task(arguments.command.run(&context))));
    let result = panic::catch_unwind(command);
    // A thread that still waits for a server must not hold up the end.
    runtime.shutdown_background();
    // Of a task that the command waited for, which has told of it.
    result.unwrap_or_else(|_| {
        Err(Failure::failed("a task has panicked, see above: this is a bug, please report it"))
    })
}
