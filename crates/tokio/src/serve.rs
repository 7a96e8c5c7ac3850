//! [`serve`]: a protocol on a stream of tokio, with its settings.

use std::fmt;
use std::future::IntoFuture;
use std::rc::{Rc, Weak};

use tokio::io::{AsyncRead, AsyncWrite};
use wharf_core::driver::{Owner, StreamDriver, StreamOptions};
use wharf_core::guard::FaultReport;
use wharf_core::{Address, IntoProtocol, TransportRef};

use crate::driver::Driver;
use crate::host::{Buffers, Ended, TaskHost};
use crate::io::{Slot, TokioIo};

/// Puts `protocol` on `io`, any stream of tokio's world.
///
/// Await it to drive the connection to its end, after any of the settings of [`Serve`]; or [`start`](Serve::start) it,
/// for the transport, the shared protocol, and the [`Driver`] to be spawned.
///
/// Timers, the close timeout among them, need a runtime whose time is enabled.
/// An object that is not `Unpin` is pinned first: `serve(Box::pin(io), protocol)`.
pub fn serve<T, P>(io: T, protocol: P) -> Serve<T, P>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    P: IntoProtocol,
{
    Serve {
        io,
        protocol,
        options: StreamOptions::default(),
        buffers: Buffers::new(),
        local: None,
        peer: None,
    }
}

/// A connection to be driven: its settings. Awaiting it drives it.
#[must_use = "a connection is driven when this is awaited, or started and its driver polled"]
pub struct Serve<T, P> {
    io: T,
    protocol: P,
    options: StreamOptions,
    buffers: Buffers,
    local: Option<Address>,
    peer: Option<Address>,
}

impl<T, P> Serve<T, P>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    P: IntoProtocol,
{
    /// The limits of the write buffer, the close timeout, the read budget, and who is told of the end.
    pub fn options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Shares buffers with other connections of this thread; otherwise the connection has its own 64 KiB.
    pub fn buffers(mut self, buffers: &Buffers) -> Self {
        self.buffers = buffers.clone();
        self
    }

    /// What `transport.local_addr()` says; the traits know no addresses.
    pub fn local_addr(mut self, address: impl Into<Address>) -> Self {
        self.local = Some(address.into());
        self
    }

    /// What `transport.peer_addr()` says.
    pub fn peer_addr(mut self, address: impl Into<Address>) -> Self {
        self.peer = Some(address.into());
        self
    }

    /// The transport, the protocol as the user keeps it, and the driver. Nothing is told before the driver is polled.
    pub fn start(mut self) -> (TransportRef, P::Shared, Driver<T>) {
        let (shared, protocol) = self.protocol.share();
        let host = TaskHost::new(&self.buffers);
        let slot = Slot::new(self.io, host.clone(), self.local, self.peer);
        let ended = Rc::new(Ended::new(self.options.owner.take()));
        let owner = Rc::downgrade(&ended) as Weak<dyn Owner>;
        let options = Rc::new(StreamOptions { owner: Some(owner), ..self.options });
        let (io, id) = (TokioIo(Rc::clone(&slot)), self.buffers.next_id());
        let stream = StreamDriver::anchored(io, host.clone(), id, protocol, Rc::clone(&options));
        let transport = stream.handle();
        (transport, shared, Driver::new(stream, slot, host, ended, options.close_timeout))
    }
}

impl<T, P> IntoFuture for Serve<T, P>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    P: IntoProtocol,
{
    type Output = Result<(), FaultReport>;
    type IntoFuture = Driver<T>;

    fn into_future(self) -> Driver<T> {
        self.start().2
    }
}

impl<T, P> fmt::Debug for Serve<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("local", &self.local)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
