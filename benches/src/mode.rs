//! What a server is asked to do, as its first argument says it.

use std::fmt;
use std::str::FromStr;

/// The work of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Sends back what it receives.
    Echo,
    /// The same, polling for a while before each sleep.
    EchoBusy,
    /// Answers each 64-byte request by eight plain writes of eight bytes.
    Chatty,
    /// The same answer through the system's own means of gathering: one send, `BufWriter` and flush.
    ChattyBuffered,
    /// Accepts, sends back one message, closes when the peer does.
    Churn,
    /// Sends back what it receives, on connections that mostly say nothing.
    Idle,
    /// The same with the least memory per connection that the system's user can reach by hand.
    IdleLean,
    /// Reads and discards.
    Sink,
    /// Writes chunks of 1 KiB as fast as flow control permits, one plain write each.
    Source,
    /// The same through the system's own means of gathering: writev, `BufWriter`.
    SourceBuffered,
    /// Sends back what it receives, over TLS.
    TlsEcho,
    /// The same on connections of one message, or that mostly say nothing.
    TlsChurn,
    /// Reads and discards, over TLS.
    TlsSink,
    /// Writes chunks of 1 KiB as fast as flow control permits, over TLS.
    TlsSource,
    /// Strings for clients of Redis.
    Resp,
    /// One page over HTTP/1.1.
    Http,
    /// The same on hyper.
    HttpHyper,
    /// A service over UDP.
    Datagrams(Service, Way),
}

/// What a UDP server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Sends back what it receives.
    Echo,
    /// Reads and discards, and answers the datagrams that ask for it.
    Sink,
}

/// How a UDP server by hand does it; the others have one way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One call for each datagram.
    Plain,
    /// Many datagrams by one call.
    Batched,
    /// Many datagrams as one message.
    Trains,
}

impl Mode {
    /// Whether it is over TLS.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::TlsEcho | Self::TlsChurn | Self::TlsSink | Self::TlsSource)
    }

    const NAMES: [(Self, &'static str); 23] = [
        (Self::Echo, "echo"),
        (Self::EchoBusy, "echo-busy"),
        (Self::Chatty, "chatty"),
        (Self::ChattyBuffered, "chatty-buffered"),
        (Self::Churn, "churn"),
        (Self::Idle, "idle"),
        (Self::IdleLean, "idle-lean"),
        (Self::Sink, "sink"),
        (Self::Source, "source"),
        (Self::SourceBuffered, "source-buffered"),
        (Self::TlsEcho, "tls-echo"),
        (Self::TlsChurn, "tls-churn"),
        (Self::TlsSink, "tls-sink"),
        (Self::TlsSource, "tls-source"),
        (Self::Resp, "resp"),
        (Self::Http, "http"),
        (Self::HttpHyper, "http-hyper"),
        (Self::Datagrams(Service::Echo, Way::Plain), "udp-echo"),
        (Self::Datagrams(Service::Echo, Way::Batched), "udp-echo-batched"),
        (Self::Datagrams(Service::Echo, Way::Trains), "udp-echo-trains"),
        (Self::Datagrams(Service::Sink, Way::Plain), "udp-sink"),
        (Self::Datagrams(Service::Sink, Way::Batched), "udp-sink-batched"),
        (Self::Datagrams(Service::Sink, Way::Trains), "udp-sink-trains"),
    ];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(mode, _)| mode == self).map_or("?", |(_, name)| *name);
        f.write_str(name)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::NAMES.iter().find(|(_, name)| *name == word).map(|(mode, _)| *mode).ok_or_else(|| {
            format!("no mode {word:?}; there are {}", Self::NAMES.map(|(_, name)| name).join(", "))
        })
    }
}
