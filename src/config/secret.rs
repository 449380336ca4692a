//! Values that must not be printed, and that are fetched only when a command needs them.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// A value given as it is, as `file:PATH`, or as `env:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Reference);

#[derive(Clone, PartialEq, Eq)]
enum Reference {
    Literal(String),
    File(PathBuf),
    Variable(String),
}

/// Why a secret can't be had, to be read after its key.
#[derive(Debug, thiserror::Error)]
pub enum MissingSecret {
    #[error("is env:{0}, but the environment variable {0} is not set: set it, or name another place")]
    Variable(String),
    #[error("is env:{0}, but the environment variable {0} is not UTF-8")]
    VariableText(String),
    #[error("is file:{path}, but that file can't be read: {error}", path = .path.display())]
    File { path: PathBuf, error: std::io::Error },
}

impl Secret {
    pub fn literal(text: &str) -> Self {
        Self(Reference::Literal(text.to_owned()))
    }

    /// The value where it is given as it is.
    pub fn as_literal(&self) -> Option<&str> {
        match &self.0 {
            Reference::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// Fetches the value. One line break at the end of a file is not part of it.
    pub fn resolve(&self) -> Result<String, MissingSecret> {
        match &self.0 {
            Reference::Literal(text) => Ok(text.clone()),
            Reference::Variable(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => MissingSecret::Variable(name.clone()),
                std::env::VarError::NotUnicode(_) => MissingSecret::VariableText(name.clone()),
            }),
            Reference::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| MissingSecret::File { path: path.clone(), error })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
        }
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let reference = if let Some(path) = text.strip_prefix("file:") {
            Reference::File(PathBuf::from(path))
        } else if let Some(name) = text.strip_prefix("env:") {
            Reference::Variable(name.to_owned())
        } else {
            Reference::Literal(text.to_owned())
        };
        Ok(Self(reference))
    }
}

/// Says where the secret is, never what it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reference::Literal(_) => f.write_str("***"),
            Reference::File(path) => write!(f, "file:{}", path.display()),
            Reference::Variable(name) => write!(f, "env:{name}"),
        }
    }
}
