//! The list of live connections, for a page that shows what a loop is doing.
//!
//! Nothing is kept for it: whoever asks has every transport on the loop asked for its facts, as `extra` does.

use std::fmt;
use std::time::Duration;

use wharf_core::extra::{LocalAddr, PeerAddr, Request};
use wharf_core::vitals::{Above, Life, TransportKind, Vitals};
use wharf_core::{Address, BaseTransport, TransportId, TransportRef};

use crate::handle::LoopHandle;

/// A transport that lives on a loop: a connection, a datagram endpoint, a child process or one of its pipes. As it was
/// when somebody asked, by [`LoopHandle::connections`].
///
/// Its display is one line, for people:
///
/// ```text
/// #7 tls over tcp 192.0.2.1:443 <- 198.51.100.4:50312 open, reading, 0 B queued, 12.5 s old, Echo
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveConnection {
    /// Its number. A layer and the transport below it have one number, and are one connection.
    pub id: TransportId,
    /// What it is, with its layers.
    pub kind: TransportKind,
    /// The address of our end.
    pub local: Option<Address>,
    /// The address of the peer's end.
    pub peer: Option<Address>,
    /// How it fares; that of the uppermost layer.
    pub vitals: Vitals,
    /// How long it has been on the loop: to a tenth of a second, or to a sixteenth of itself where that is more.
    pub age: Duration,
}

impl fmt::Display for LiveConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, local, peer, vitals, age } = self;
        write!(f, "{id} {kind}")?;
        match (local, peer) {
            (Some(local), Some(peer)) => write!(f, " {local} <- {peer}")?,
            (Some(local), None) => write!(f, " {local}")?,
            (None, Some(peer)) => write!(f, " <- {peer}")?,
            (None, None) => {}
        }
        write!(f, " {}", vitals.life)?;
        if vitals.reading {
            f.write_str(", reading")?;
        }
        if vitals.writing_paused {
            f.write_str(", writing paused")?;
        }
        write!(f, ", {} B queued, {:.1} s old", vitals.queued, age.as_secs_f64())?;
        vitals.protocol.map_or(Ok(()), |protocol| write!(f, ", {protocol}"))
    }
}

impl LoopHandle {
    /// What lives on the loop now, in the order in which it was made: connections, datagram endpoints, child processes and
    /// their pipes. Listening sockets have a list of their own, [`listeners`](Self::listeners).
    ///
    /// Takes time in proportion to their number, and a system call or two for each.
    /// From another thread: [`Remote::ask`](crate::Remote::ask).
    #[must_use]
    pub fn connections(&self) -> Vec<LiveConnection> {
        let sources = self.sources();
        let transports = sources.iter().filter_map(|source| source.as_transport());
        let mut list: Vec<_> = transports.map(|transport| self.describe(transport)).collect();
        list.sort_unstable_by_key(|connection| connection.id);
        list
    }

    /// The byte stream with this number, by its uppermost layer; `None` when there is none, or not any more. For whoever
    /// has picked one from [`connections`](Self::connections).
    #[must_use]
    pub fn transport(&self, id: TransportId) -> Option<TransportRef> {
        let sources = self.sources();
        let connections = sources.iter().filter_map(|source| source.as_connection());
        let transport = connections
            .filter_map(|connection| connection.transport())
            .find(|transport| transport.id() == id)?;
        Some(uppermost(|request| transport.provide(request)).unwrap_or(transport))
    }

    fn describe(&self, transport: &dyn BaseTransport) -> LiveConnection {
        let above = uppermost(|request| transport.provide(request));
        let answer = |request: &mut Request<'_>| match &above {
            Some(above) => above.provide(request),
            None => transport.provide(request),
        };
        let id = transport.id();
        LiveConnection {
            id,
            kind: Request::ask(answer).unwrap_or_else(|| TransportKind("unknown".into())),
            local: Request::ask(answer).map(|LocalAddr(address)| address),
            peer: Request::ask(answer).map(|PeerAddr(address)| address),
            vitals: Request::ask(answer).unwrap_or_else(|| Vitals::new(Life::Open)),
            age: self.age(id),
        }
    }
}

/// The uppermost of the layers above whoever gives these answers, if there is one.
fn uppermost(answer: impl Fn(&mut Request<'_>)) -> Option<TransportRef> {
    let Above(mut top) = Request::ask(answer)?;
    while let Some(Above(next)) = top.extra() {
        top = next;
    }
    Some(top)
}
