//! [`Error`]: what went wrong with TLS, as opposed to the connection below it.

use std::io;

use wharf_core::{Fault, Lost};

/// What went wrong with TLS.
///
/// It travels inside an [`io::Error`]: connecting and `start_tls` fail with one, and `connection_lost` is told one in
/// [`Lost::Io`]. [`Error::find`] and [`Error::of`] take it out again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused what the peer sent or is, or the peer said by an alert that it refuses us. The peer has been
    /// told the fitting alert.
    #[error("TLS: {0}")]
    Protocol(rustls::Error),
    /// The handshake was not over after its time.
    #[error("the TLS handshake took too long")]
    HandshakeTimedOut,
    /// The peer ended the connection before the handshake was over.
    #[error("the peer ended the connection during the TLS handshake")]
    HandshakeEnded,
    /// Bytes that cannot be the beginning of the peer's handshake came with the request to start TLS: somebody in between
    /// may have put them there.
    #[error("plaintext followed the request to start TLS")]
    Injected,
    /// The server's name is neither a DNS name nor an IP address.
    #[error("{0:?} is not the name of a TLS server")]
    InvalidServerName(String),
    /// The protocol panicked in `connection_made`: the connection could be used, and is not.
    #[error(transparent)]
    Fault(Fault),
    /// The connection below was lost before the handshake was over.
    #[error("the connection was lost during the TLS handshake: {text}")]
    ConnectionLost {
        /// The kind of the error below.
        kind: io::ErrorKind,
        /// What was said of it.
        text: String,
    },
}

impl Error {
    /// The TLS error inside an I/O error.
    #[must_use]
    pub fn find(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    /// The TLS error that ended a connection.
    #[must_use]
    pub fn of(lost: &Lost) -> Option<&Self> {
        match lost {
            Lost::Io(error) => Self::find(error),
            _ => None,
        }
    }

    /// The kind of I/O error that carries it.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Protocol(_) | Self::Injected => io::ErrorKind::InvalidData,
            Self::HandshakeTimedOut => io::ErrorKind::TimedOut,
            Self::HandshakeEnded => io::ErrorKind::UnexpectedEof,
            Self::InvalidServerName(_) => io::ErrorKind::InvalidInput,
            Self::Fault(_) => io::ErrorKind::Other,
            Self::ConnectionLost { kind, .. } => *kind,
        }
    }

    /// What the loss of the connection below means to a handshake.
    pub(crate) fn lost_below(why: &Lost) -> Self {
        let kind = match why {
            Lost::Io(error) => error.kind(),
            Lost::TimedOut => io::ErrorKind::TimedOut,
            Lost::Eof | Lost::Truncated => return Self::HandshakeEnded,
            _ => io::ErrorKind::ConnectionAborted,
        };
        Self::ConnectionLost { kind, text: why.to_string() }
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
