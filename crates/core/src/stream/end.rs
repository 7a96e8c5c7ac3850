//! [`End`]: why a byte stream ends, by name.

use crate::lost::Lost;

/// Why a stream ends. Few ends have more to say than their name, and what they say is the driver's to keep: every stream
/// has a place for the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// [`Lost::Closed`].
    Closed,
    /// [`Lost::Eof`].
    Eof,
    /// [`Lost::Aborted`].
    Aborted,
    /// [`Lost::TimedOut`].
    TimedOut,
    /// [`Lost::Overflow`].
    Overflow,
    /// [`Lost::Truncated`].
    Truncated,
    /// One that has more to say: an error of the system or of the user, or a fault.
    Other,
}

impl End {
    /// The name of a cause.
    #[must_use]
    pub const fn of(cause: &Lost) -> Self {
        match cause {
            Lost::Closed => Self::Closed,
            Lost::Eof => Self::Eof,
            Lost::Aborted => Self::Aborted,
            Lost::TimedOut => Self::TimedOut,
            Lost::Overflow => Self::Overflow,
            Lost::Truncated => Self::Truncated,
            Lost::Io(_) | Lost::Failed(_) | Lost::Fault(_) => Self::Other,
        }
    }

    /// The cause with this name, if the name says it all.
    #[must_use]
    pub const fn cause(self) -> Option<Lost> {
        match self {
            Self::Closed => Some(Lost::Closed),
            Self::Eof => Some(Lost::Eof),
            Self::Aborted => Some(Lost::Aborted),
            Self::TimedOut => Some(Lost::TimedOut),
            Self::Overflow => Some(Lost::Overflow),
            Self::Truncated => Some(Lost::Truncated),
            Self::Other => None,
        }
    }
}
