use std::error::Error;
use std::fmt::Write;

/// What went wrong, as "verb object: cause".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server could not be reached, or the connection broke: whether it did what was asked is
    /// not known.
    #[error("{action}: {cause}")]
    Unreachable { action: String, cause: String },
    /// Whether the server did what was asked is not known.
    #[error("{action}: no answer within {seconds} s")]
    TimedOut { action: String, seconds: u64 },
    /// The server answered that it won't, or with what can't be read.
    #[error("{action}: {cause}")]
    Refused { action: String, cause: String },
    /// What is stored contradicts itself.
    #[error("{action}: {problem}")]
    Damaged { action: String, problem: String },
}

impl StoreError {
    pub(super) fn new(action: impl Into<String>, error: &clickhouse::error::Error) -> Self {
        let (action, cause) = (action.into(), with_sources(error));
        match error {
            clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut => {
                Self::Unreachable { action, cause }
            }
            _ => Self::Refused { action, cause },
        }
    }

    pub(super) fn damaged(action: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { action: action.into(), problem: problem.into() }
    }

    /// Whether the server did not answer at all, as opposed to answering with an error.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

/// The client's errors name their causes only as sources: "network error" alone helps nobody.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}
