//! Datagram sockets that somebody else has made, UDP or Unix.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use wharf_core::IntoDatagramProtocol;
use wharf_core::datagram::driver::DatagramOptions;
use wharf_reactor::LoopHandle;

use crate::establish::{Opened, establish};
use crate::options::{Buffers, endpoint_setters, fact_setters};
use crate::socket::{Socket, Wishes, adopted};

/// Puts the protocol of `factory` on a datagram socket that somebody else has made: UDP or Unix, bound or connected or
/// both, one end of a socket pair.
///
/// Await it, after any of the settings of [`Adopt`].
/// A socket that is connected sends to its peer, whether that has a name or not.
/// Awaiting fails with `InvalidInput` when it is no datagram socket, or of a family that is not spoken here.
///
/// ```
/// use std::os::unix::net::UnixDatagram;
/// use std::time::Duration;
///
/// use wharf_core::DatagramProtocol;
/// use wharf_reactor::EventLoop;
/// use wharf_udp::DropPolicy;
///
/// struct Deaf;
/// impl DatagramProtocol for Deaf {}
///
/// let (ours, theirs) = UnixDatagram::pair()?;
/// let mut ev = EventLoop::new()?;
/// let handle = ev.handle().clone();
/// let (transport, _) = ev.block_on(async {
///     wharf_udp::adopt(&handle, ours, || Deaf).drop_policy(DropPolicy::DropOldest).await
/// })?;
/// transport.send_to(b"hello", None)?;
/// ev.turn(Some(Duration::ZERO))?;
/// assert_eq!(theirs.recv(&mut [0; 9])?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "sock")]
#[doc(alias = "create_datagram_endpoint")]
pub fn adopt<P, F>(handle: &LoopHandle, socket: impl Into<OwnedFd>, factory: F) -> Adopt<F>
where
    P: IntoDatagramProtocol,
    F: FnOnce() -> P,
{
    Adopt {
        handle: handle.clone(),
        socket: socket.into(),
        factory,
        buffers: Buffers::default(),
        wishes: Wishes::default(),
        options: DatagramOptions::default(),
    }
}

/// An endpoint to be on a socket that is there already: its settings. Awaiting it puts the protocol on it.
#[must_use = "a socket is adopted when this is awaited"]
pub struct Adopt<F> {
    handle: LoopHandle,
    socket: OwnedFd,
    factory: F,
    buffers: Buffers,
    wishes: Wishes,
    options: DatagramOptions,
}

impl<F> Adopt<F> {
    endpoint_setters!();
    fact_setters!();

    async fn start<P: IntoDatagramProtocol>(self) -> io::Result<Opened<P>>
    where
        F: FnOnce() -> P,
    {
        let socket = adopted(self.socket)?;
        self.buffers.set(&socket)?;
        let (socket, target) = Socket::new(&self.handle, socket, false, self.wishes)?;
        let options = DatagramOptions { target, ..self.options };
        establish(&self.handle, socket, self.factory, options).await
    }
}

impl<P, F> IntoFuture for Adopt<F>
where
    P: IntoDatagramProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    type Output = io::Result<Opened<P>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F> fmt::Debug for Adopt<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopt").field("socket", &self.socket).finish_non_exhaustive()
    }
}
