//! Byte streams on descriptors: core's stream driver with a [`StreamSocket`] and its registration as the I/O object.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use wharf_core::driver::{self, IoAccess, Owner, Readiness, Seat, StreamIo, StreamOptions};
use wharf_core::extra::{LocalAddr, PeerAddr, Request};
use wharf_core::stream::Interest;
use wharf_core::{Address, BaseTransport, StreamProtocol, TransportRef, UnixAddress};

use crate::handle::LoopHandle;
use crate::source::{Connection, Registration, Source};

/// What a transport crate supplies: the system calls of one kind of stream. The descriptor is non-blocking.
pub trait StreamSocket: AsFd + 'static {
    /// Whether there is one direction only, as in a pipe: shutting it down is closing.
    const ONE_WAY: bool = false;

    /// Whether each direction can end by itself, as those of a terminal cannot.
    const HALF_CLOSES: bool = true;

    /// Reads.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes, without ever raising SIGPIPE.
    ///
    /// # Errors
    /// The system's.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes from several slices, without ever raising SIGPIPE.
    ///
    /// # Errors
    /// The system's.
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Shuts our direction down.
    ///
    /// # Errors
    /// The system's.
    fn shutdown_write(&self) -> io::Result<()>;

    /// The error that waits on the descriptor.
    ///
    /// # Errors
    /// When it cannot be asked for.
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// The address of our end, if it has one.
    fn local_addr(&self) -> Option<Address>;

    /// What to poll for where the stream wants to hear of `wanted`; `None` to take the descriptor off the poller until
    /// that changes. An error and a hang-up show without being asked for, unless it is off.
    fn poll_for(&self, wanted: Interest) -> Option<Interest> {
        Some(wanted)
    }

    /// Answers a question for a fact of this kind of stream. `access` leads back to the driver.
    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Option<Rc<dyn IoAccess<Polled<Self>>>>,
    ) where
        Self: Sized,
    {
        let _ = (request, access);
    }
}

/// A socket with its place on the loop.
pub struct Polled<S>(End<S>);

/// What a stream knows of its socket when it comes on the loop.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The address of the peer, if it has one.
    pub peer: Option<Address>,
    /// Whether nobody has a duplicate of the descriptor, as nobody can of one that this process has just made.
    pub exclusive: bool,
}

/// Our end of a stream: the socket and the peer's address, and once it is closed what is known of both addresses. Every
/// connection has one, so what most of them know is kept small.
enum End<S> {
    /// The peer has no address.
    Bare(S),
    /// The peer is a Unix socket without a name, as most clients are.
    Unnamed(S),
    V4(S, SocketAddrV4),
    Other(S, Box<Address>),
    Closed(Option<Box<Known>>),
}

struct Known {
    local: Option<Address>,
    peer: Option<Address>,
}

impl<S> End<S> {
    fn new(socket: S, peer: Option<Address>) -> Self {
        match peer {
            None => Self::Bare(socket),
            Some(Address::Unix(UnixAddress::Unnamed)) => Self::Unnamed(socket),
            Some(Address::Ip(SocketAddr::V4(address))) => Self::V4(socket, address),
            Some(other) => Self::Other(socket, Box::new(other)),
        }
    }

    /// The socket, until it is closed. Asked for at each read and write, so what most are is looked for first.
    #[inline]
    fn socket(&self) -> Option<&S> {
        if let Self::V4(socket, _) = self { Some(socket) } else { self.rarer_socket() }
    }

    #[inline(never)]
    fn rarer_socket(&self) -> Option<&S> {
        match self {
            Self::Bare(socket)
            | Self::Unnamed(socket)
            | Self::V4(socket, _)
            | Self::Other(socket, _) => Some(socket),
            Self::Closed(_) => None,
        }
    }

    fn peer(&self) -> Option<Address> {
        match self {
            Self::Bare(_) => None,
            Self::Unnamed(_) => Some(Address::Unix(UnixAddress::Unnamed)),
            Self::V4(_, address) => Some(Address::Ip((*address).into())),
            Self::Other(_, address) => Some((**address).clone()),
            Self::Closed(known) => known.as_ref().and_then(|known| known.peer.clone()),
        }
    }
}

impl<S: StreamSocket> End<S> {
    // Not kept while the system can tell it: a list of all connections would leave each of them larger.
    fn local(&self) -> Option<Address> {
        match self {
            Self::Closed(known) => known.as_ref().and_then(|known| known.local.clone()),
            open => open.socket().and_then(S::local_addr),
        }
    }
}

/// The driver of a byte stream on a descriptor.
pub type StreamDriver<S> = driver::StreamDriver<Polled<S>>;

/// Puts a connected socket on the loop. Nothing is told before [`begin`](driver::StreamDriver::begin), which is the
/// caller's to call from the loop.
pub fn stream<S: StreamSocket>(
    handle: &LoopHandle,
    socket: S,
    origin: Origin,
    protocol: StreamProtocol,
    options: Rc<StreamOptions>,
) -> Rc<StreamDriver<S>> {
    let registration = Registration::new(handle);
    let key = registration.key();
    registration.set_exclusive(origin.exclusive);
    let io = Polled(End::new(socket, origin.peer));
    let driver = StreamDriver::new(io, registration, handle.next_id(), protocol, options);
    handle.attach(key, Rc::clone(&driver) as Rc<dyn Source>);
    driver
}

impl<S: StreamSocket> Source for StreamDriver<S> {
    #[inline]
    fn ready(self: Rc<Self>, readiness: Readiness) {
        Self::ready(&self, readiness);
    }

    fn shut(self: Rc<Self>) {
        Self::shut(&self);
    }

    fn as_transport(&self) -> Option<&dyn BaseTransport> {
        Some(self)
    }

    fn as_connection(&self) -> Option<&dyn Connection> {
        Some(self)
    }

    fn as_driver(self: Rc<Self>) -> Option<Rc<dyn Any>> {
        Some(self)
    }
}

impl<S: StreamSocket> Connection for StreamDriver<S> {
    fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool {
        Self::is_owned_by(self, owner)
    }

    fn transport(&self) -> Option<TransportRef> {
        Self::transport(self)
    }
}

impl<S: StreamSocket> Polled<S> {
    /// The socket, until it is closed.
    #[must_use]
    pub fn socket(&self) -> Option<&S> {
        self.0.socket()
    }

    #[inline]
    fn open(&self) -> io::Result<&S> {
        self.0.socket().ok_or_else(not_connected)
    }
}

#[cold]
fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl<S: StreamSocket> StreamIo for Polled<S> {
    type Seat = Registration;

    const ONE_WAY: bool = S::ONE_WAY;

    #[inline]
    fn can_half_close(&self) -> bool {
        S::HALF_CLOSES
    }

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open()?.read(buffer)
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.open()?.write_vectored(slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.open()?.shutdown_write()
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        self.open()?.take_error()
    }

    fn set_interest(&mut self, seat: &Registration, interest: Interest) -> io::Result<()> {
        let Some(socket) = self.0.socket() else { return Ok(()) };
        match socket.poll_for(interest) {
            Some(interest) => seat.set_interest(socket, interest),
            None => seat.suspend(socket),
        }
    }

    #[inline(always)]
    fn close(&mut self, seat: &Registration, keep_facts: bool) {
        let Some(socket) = self.0.socket() else { return };
        seat.close(socket);
        // The system tells them no longer.
        let known = || Box::new(Known { local: self.0.local(), peer: self.0.peer() });
        let known = keep_facts.then(known);
        self.0 = End::Closed(known);
    }

    fn provide(&self, seat: &Registration, request: &mut Request<'_>) {
        let access = || {
            let driver = seat.driver::<StreamDriver<S>>()?;
            Some(driver as Rc<dyn IoAccess<Self>>)
        };
        request
            .provide_some(|| self.0.local().map(LocalAddr))
            .provide_some(|| self.0.peer().map(PeerAddr))
            .provide(|| {
                // Which lends a duplicate.
                seat.set_exclusive(false);
                SocketView::new(View(access()))
            });
        if let Some(socket) = self.0.socket() {
            socket.provide(request, &access);
        }
    }
}

impl<S> fmt::Debug for Polled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled")
            .field("open", &self.0.socket().is_some())
            .field("peer", &self.0.peer())
            .finish_non_exhaustive()
    }
}

/// The descriptor under a transport, as a fact: `transport.extra::<SocketView>()`.
///
/// It is a view: options may be read and set through it, while closing, blocking mode and reading stay with the
/// transport.
#[derive(Clone)]
pub struct SocketView(Rc<dyn Duplicate>);

impl SocketView {
    pub(crate) fn new(view: impl Duplicate + 'static) -> Self {
        Self(Rc::new(view))
    }

    /// Lends a duplicate of the descriptor to `look`, so that the transport can be used meanwhile; `None` once it has
    /// been closed, or when the system has no descriptor left.
    pub fn with<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        let duplicate = self.0.duplicate()?;
        Some(look(duplicate.as_fd()))
    }
}

impl fmt::Debug for SocketView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketView").finish_non_exhaustive()
    }
}

/// What makes a [`SocketView`]: a duplicate of the descriptor, while there is one.
pub(crate) trait Duplicate {
    fn duplicate(&self) -> Option<OwnedFd>;
}

/// Nothing, where the stream is lost.
struct View<S: StreamSocket>(Option<Rc<dyn IoAccess<Polled<S>>>>);

impl<S: StreamSocket> Duplicate for View<S> {
    fn duplicate(&self) -> Option<OwnedFd> {
        let mut duplicate = None;
        self.0.as_ref()?.with_io(&mut |io| {
            duplicate = io.0.socket().and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        });
        duplicate
    }
}
