//! Logs on stderr: text for people, or JSON by `ODOMETER_LOG_FORMAT=json`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged: directives of `tracing`, e.g. `debug` or `odometer::source=debug`.
const FILTER: &str = "ODOMETER_LOG";
/// `text` or `json`.
const FORMAT: &str = "ODOMETER_LOG_FORMAT";
/// Librdkafka tells of every broker connection by itself; what matters of it reaches us as errors.
const DEFAULT_FILTER: &str = "info,librdkafka=off,rdkafka=off";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{FILTER}: {0}: write a level (error, warn, info, debug, trace), or directives as module=level")]
    Filter(String),
    #[error("{FORMAT}: {0:?} is neither text nor json")]
    Format(String),
    #[error("start logs: {0}")]
    Start(String),
}

/// Starts logging for the whole process; once.
pub fn start() -> Result<(), LogError> {
    let filter = match std::env::var(FILTER) {
        Ok(text) if !text.trim().is_empty() => {
            EnvFilter::try_new(text).map_err(|error| LogError::Filter(error.to_string()))?
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // It would say so on the same stderr, and panic where that can't be written to.
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match std::env::var(FORMAT).as_deref() {
        Ok("json") => logs.json().flatten_event(true).try_init(),
        Ok("text" | "") | Err(_) => logs.with_ansi(std::io::stderr().is_terminal() && !is_plain).try_init(),
        Ok(other) => return Err(LogError::Format(other.to_owned())),
    };
    started.map_err(|error| LogError::Start(error.to_string()))
}
