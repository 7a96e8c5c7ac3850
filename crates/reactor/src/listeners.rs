//! The list of listeners, for a page that shows what a loop is doing: what waits for connections, and what keeps it.
//!
//! As with connections, nothing is kept for it: whoever asks has every source on the loop asked.

use std::fmt;

use wharf_core::Address;
use wharf_core::vitals::TransportKind;

use crate::handle::LoopHandle;

/// A listening socket that lives on a loop, as it was when somebody asked, by [`LoopHandle::listeners`].
///
/// Its display is one line, for people:
///
/// ```text
/// tcp 192.0.2.1:443 full, 5012 accepted, 1000 of 1000 connected
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveListener {
    /// What its connections are: `tcp` or `unix`.
    pub kind: TransportKind,
    /// The address that it is bound to.
    pub local: Option<Address>,
    /// Whether it accepts, and if not, why.
    pub state: Listening,
    /// How many connections it has accepted.
    pub accepted: u64,
    /// How many connections of its server are alive, whichever of the server's listeners they came by.
    pub connections: usize,
    /// How many of them the server lets live at a time, if there is a maximum.
    pub max_connections: Option<usize>,
}

/// Whether a listener accepts connections, and if not, why. All listeners of a server are in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Listening {
    /// It is bound and does not listen yet: clients are refused.
    Bound,
    /// It accepts.
    Accepting,
    /// The program has put accepting off; clients wait in the backlog.
    Paused,
    /// As many connections are alive as there may be; clients wait in the backlog.
    Full,
    /// The system could not give a connection, most often for want of descriptors, and is asked again in a moment; clients
    /// wait in the backlog.
    Resting,
}

impl LiveListener {
    /// A listener that has accepted nothing.
    #[must_use]
    pub fn new(kind: TransportKind, state: Listening) -> Self {
        Self { kind, local: None, state, accepted: 0, connections: 0, max_connections: None }
    }
}

impl fmt::Display for LiveListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, local, state, accepted, connections, max_connections } = self;
        write!(f, "{kind}")?;
        if let Some(local) = local {
            write!(f, " {local}")?;
        }
        write!(f, " {state}, {accepted} accepted, {connections}")?;
        if let Some(most) = max_connections {
            write!(f, " of {most}")?;
        }
        f.write_str(" connected")
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "bound",
            Self::Accepting => "accepting",
            Self::Paused => "paused",
            Self::Full => "full",
            Self::Resting => "resting",
        })
    }
}

impl LoopHandle {
    /// The listening sockets on the loop, in no order: one for each address of a server, until that is closed.
    ///
    /// Datagram endpoints do not listen, and are among the [`connections`](Self::connections).
    /// From another thread: [`Remote::ask`](crate::Remote::ask).
    #[must_use]
    pub fn listeners(&self) -> Vec<LiveListener> {
        self.sources().iter().filter_map(|source| source.listener()).collect()
    }
}
