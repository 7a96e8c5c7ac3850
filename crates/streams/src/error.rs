//! [`StreamError`]: why there is nothing to read, or no way to write.

use std::io;

use bytes::Bytes;
use wharf_core::Lost;

/// Why a read or a write of a stream failed. Converts into an [`io::Error`], so `?` works in functions that give one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream ended before what was asked for had come.
    #[doc(alias = "IncompleteReadError")]
    #[error("the stream ended after {} bytes of what was asked for", partial.len())]
    Incomplete {
        /// What came; it counts as read.
        partial: Bytes,
    },
    /// What was asked for is longer than the limit. Nothing counts as read.
    #[doc(alias = "LimitOverrunError")]
    #[error("more than {limit} bytes without an end")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// We have closed the stream, or our direction of it.
    #[error("the stream was closed by us")]
    Closed,
    /// The connection was lost.
    #[error("the connection was lost: {0}")]
    Lost(Lost),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            StreamError::TooLong { .. } => io::ErrorKind::InvalidData,
            StreamError::Closed | StreamError::Lost(Lost::Closed | Lost::Eof) => {
                io::ErrorKind::BrokenPipe
            }
            StreamError::Lost(Lost::Aborted) => io::ErrorKind::ConnectionAborted,
            StreamError::Lost(Lost::TimedOut) => io::ErrorKind::TimedOut,
            StreamError::Lost(Lost::Io(_)) => {
                let StreamError::Lost(Lost::Io(error)) = error else { unreachable!() };
                return error;
            }
            StreamError::Lost(_) => io::ErrorKind::Other,
        };
        // As text, because what a user has failed a connection with may be bound to its thread.
        Self::new(kind, error.to_string())
    }
}

/// The same cause once more, for the next of those who ask; an error of the user's own becomes its text.
pub(crate) fn same(lost: &Lost) -> Lost {
    match lost {
        Lost::Closed => Lost::Closed,
        Lost::Eof => Lost::Eof,
        Lost::Aborted => Lost::Aborted,
        Lost::TimedOut => Lost::TimedOut,
        Lost::Overflow => Lost::Overflow,
        Lost::Io(error) => Lost::Io(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        }),
        Lost::Fault(fault) => Lost::Fault(fault.clone()),
        other => Lost::Failed(other.to_string().into()),
    }
}
