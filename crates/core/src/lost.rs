//! How a connection ended: [`Lost`], and [`Fault`], a bug in user code that we survived.
//!
//! asyncio passes `None` or an exception to `connection_lost`.
//! `None` there means three things (we closed, we aborted, the peer ended), and no exception tells an overflow from a
//! time-out, so here the end has a name.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why a connection was lost: the argument of every `connection_lost`.
///
/// The variant says who ended it.
/// [`Lost::error`] gives what asyncio would have passed: nothing for a wanted end, the error otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// We closed it with `close()`, and everything that was queued has gone out.
    #[error("closed by us")]
    Closed,
    /// The peer ended it, and `eof_received` did not keep it open.
    #[error("ended by the peer")]
    Eof,
    /// We aborted it with `abort()`, or its loop was dropped; what was queued is gone.
    #[error("aborted by us")]
    Aborted,
    /// A deadline passed: `close()` made no progress for the whole close timeout.
    #[error("timed out")]
    TimedOut,
    /// The protocol went on writing although more than `Limits::max` bytes were already queued.
    #[error("more was written than the limits allow")]
    Overflow,
    /// The system reported an error on the descriptor; it is passed on unchanged.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The user ended it with `fail(error)`.
    #[error("{0}")]
    Failed(Box<dyn StdError>),
    /// A callback panicked.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The peer's bytes ended without the goodbye that its protocol has for this, a TLS `close_notify`: what came may not
    /// be all. `eof_received` is not told.
    #[error("the peer's bytes ended without a goodbye")]
    Truncated,
}

impl Lost {
    /// Whether the connection ended the way one of its two ends wanted, with nothing lost: [`Lost::Closed`] or
    /// [`Lost::Eof`].
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed | Self::Eof)
    }

    /// What asyncio would have passed to `connection_lost`: `None` after a close, an abort and the peer's end, the
    /// error otherwise.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Closed | Self::Eof | Self::Aborted => None,
            Self::Io(error) => Some(error),
            Self::Failed(error) => Some(&**error),
            Self::Fault(fault) => Some(fault),
            Self::TimedOut | Self::Overflow | Self::Truncated => Some(self),
        }
    }

    /// The place of this cause in [`Lost::NAMES`], for counters by cause.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Closed => 0,
            Self::Eof => 1,
            Self::Aborted => 2,
            Self::TimedOut => 3,
            Self::Overflow => 4,
            Self::Io(_) => 5,
            Self::Failed(_) => 6,
            Self::Fault(_) => 7,
            Self::Truncated => 8,
        }
    }

    /// The causes' names, in the order of [`Lost::index`].
    pub const NAMES: [&'static str; 9] =
        ["closed", "eof", "aborted", "timed out", "overflow", "io", "failed", "fault", "truncated"];
}

/// A panic of user code that was caught: which callback it was, and the panic's message.
///
/// The payload itself goes to the fault policy of the loop, once; this is what remains readable.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault(Box<FaultParts>);

#[derive(Clone, PartialEq, Eq)]
struct FaultParts {
    callback: &'static str,
    message: String,
}

impl Fault {
    /// A fault of `callback` with a message of its own, for a rule that a callback broke without panicking.
    #[must_use]
    pub fn new(callback: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(FaultParts { callback, message: message.into() }))
    }

    /// The name of the callback that failed, such as `"data_received"`.
    #[must_use]
    pub fn callback(&self) -> &'static str {
        self.0.callback
    }

    /// The panic's message, or a note that it carried none.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("callback", &self.callback())
            .field("message", &self.message())
            .finish()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.callback(), self.message())
    }
}

impl StdError for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_cause() -> [Lost; 9] {
        [
            Lost::Closed,
            Lost::Eof,
            Lost::Aborted,
            Lost::TimedOut,
            Lost::Overflow,
            Lost::Io(io::ErrorKind::BrokenPipe.into()),
            Lost::Failed("mine".into()),
            Lost::Fault(Fault::new("data_received", "boom")),
            Lost::Truncated,
        ]
    }

    #[test]
    fn only_a_close_and_the_peers_end_are_clean() {
        let clean: Vec<bool> = every_cause().iter().map(Lost::is_clean).collect();
        assert_eq!(clean, [true, true, false, false, false, false, false, false, false]);
    }

    #[test]
    fn asyncios_none_is_a_close_an_end_or_an_abort() {
        let none: Vec<bool> = every_cause().iter().map(|lost| lost.error().is_none()).collect();
        assert_eq!(none, [true, true, true, false, false, false, false, false, false]);
    }

    #[test]
    fn indexes_follow_the_names() {
        for (place, lost) in every_cause().iter().enumerate() {
            assert_eq!(lost.index(), place, "{}", Lost::NAMES[place]);
        }
    }

    #[test]
    fn a_fault_names_its_callback() {
        assert_eq!(Fault::new("get_buffer", "empty").to_string(), "get_buffer failed: empty");
    }
}
