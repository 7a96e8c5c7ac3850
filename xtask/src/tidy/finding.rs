//! What a check reports: where, how bad, and a sentence.

use std::fmt;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Weight {
    Warning,
    Error,
}

/// Ordered as they are printed: warnings first, so that errors stand last on the screen.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) path: String,
    /// Counted from 1; 0 stands for the whole file.
    pub(super) line: usize,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { weight: Weight::Error, path: path.to_owned(), line, message: message.into() }
    }

    pub(super) fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, ..Self::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        match self.line {
            0 => write!(f, "{weight}: {}: {}", self.path, self.message),
            line => write!(f, "{weight}: {}:{line}: {}", self.path, self.message),
        }
    }
}
