//! How a command fails: an exit code that programs rely on, and words for people.

use std::fmt;

use crate::config::ConfigError;

/// Exit codes, as in sysexits.h where it has one. 0 is done; 2, wrong usage, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    /// A server did not answer at start.
    Unreachable = 69,
    /// The configuration is wrong, or a secret that the command needs is missing.
    Config = 78,
}

/// A command's failure. Printed once, by `cli::main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// One or more lines, each a message of its own; none where the command has printed its finding.
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// For a finding that the command has already printed, such as an audit that does not balance.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

/// A failure or a configuration's error anywhere in the chain keeps its exit code.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if let Some(failure) = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()) {
            return failure.clone();
        }
        let is_config = error.chain().any(|cause| cause.is::<ConfigError>());
        Self::new(if is_config { Exit::Config } else { Exit::Failed }, format!("{error:#}"))
    }
}
