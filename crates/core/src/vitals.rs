//! [`Vitals`]: how a transport fares at this moment, as a fact; for pages that show what lives on a loop.

use std::borrow::Cow;
use std::fmt;

use crate::datagram;
use crate::handle::TransportRef;
use crate::stream;

/// What kind of transport it is, for people: `tcp`, `unix`, `pipe`, `terminal`, `udp`, `unix datagrams`,
/// `process 1234`, `memory`. A layer names what it stands on, too: `tls over tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransportKind(pub Cow<'static, str>);

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a transport is in its life, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Life {
    /// The protocol has not heard of it yet: a TLS handshake, for example.
    Beginning,
    /// It reads and writes.
    Open,
    /// `write_eof` was called, and what is queued goes out.
    Finishing,
    /// Our direction is shut down.
    HalfClosed,
    /// It is closing, or ended and about to be told.
    Closing,
    /// It is over.
    Lost,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beginning => "beginning",
            Self::Open => "open",
            Self::Finishing => "finishing",
            Self::HalfClosed => "half-closed",
            Self::Closing => "closing",
            Self::Lost => "lost",
        })
    }
}

/// How a transport fares at this moment: `transport.extra::<Vitals>()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vitals {
    /// Where it is in its life.
    pub life: Life,
    /// Whether what arrives is delivered.
    pub reading: bool,
    /// Whether the protocol was told `pause_writing`, and not yet `resume_writing`.
    pub writing_paused: bool,
    /// How many bytes were taken and have not reached the system, those in the layers below included.
    pub queued: usize,
    /// The type of the protocol, until the loss.
    pub protocol: Option<&'static str>,
}

impl Vitals {
    /// Those of a transport that neither reads nor holds anything; the fields are there to be set.
    #[must_use]
    pub fn new(life: Life) -> Self {
        Self { life, reading: false, writing_paused: false, queued: 0, protocol: None }
    }
}

/// The transport that a layer has put above the one that is asked, if one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Above(pub TransportRef);

/// The transport that the one that is asked, a layer's, stands on. Absent where it stands on the system.
///
/// A transport is not to be used past its layer; what can be done is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below(pub TransportRef);

impl Life {
    pub(crate) fn of_stream(made: bool, phase: stream::Phase) -> Self {
        match phase {
            stream::Phase::Lost => Self::Lost,
            stream::Phase::Closing | stream::Phase::Closed => Self::Closing,
            _ if !made => Self::Beginning,
            stream::Phase::Open => Self::Open,
            stream::Phase::Finishing => Self::Finishing,
            stream::Phase::HalfClosed => Self::HalfClosed,
        }
    }

    pub(crate) fn of_datagrams(made: bool, phase: datagram::Phase) -> Self {
        match phase {
            datagram::Phase::Lost => Self::Lost,
            datagram::Phase::Closing | datagram::Phase::Closed => Self::Closing,
            datagram::Phase::Open if !made => Self::Beginning,
            datagram::Phase::Open => Self::Open,
        }
    }
}
