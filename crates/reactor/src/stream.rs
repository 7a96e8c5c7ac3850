//! Byte streams on descriptors: core's stream driver with a [`StreamSocket`] and its registration as the I/O object.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use wharf_core::driver::{self, IoAccess, Owner, Readiness, StreamIo, StreamOptions};
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

    /// Whether nobody has a duplicate of the descriptor, as nobody can of one that this process has just made.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// What to poll for where the stream wants to hear of `wanted`; `None` to take the descriptor off the poller until
    /// that changes. An error and a hang-up show without being asked for, unless it is off.
    fn poll_for(&self, wanted: Interest) -> Option<Interest> {
        Some(wanted)
    }

    /// Answers a question for a fact of this kind of stream. `access` leads back to the driver.
    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Rc<dyn IoAccess<Polled<Self>>>,
    ) where
        Self: Sized,
    {
        let _ = (request, access);
    }
}

/// A socket with its place on the loop.
pub struct Polled<S> {
    /// `None` once closed.
    socket: Option<S>,
    registration: Registration,
    addresses: Cell<Addresses>,
}

/// The peer's address, and our own once the socket is closed, for those who ask later. Every connection keeps this, so what
/// most of them know is kept small.
#[derive(Default)]
enum Addresses {
    #[default]
    Unknown,
    /// The peer is a Unix socket without a name, as most clients are.
    Unnamed,
    V4(SocketAddrV4),
    Both(Box<Known>),
}

#[derive(Clone)]
struct Known {
    local: Option<Address>,
    peer: Option<Address>,
}

impl Addresses {
    fn new(peer: Option<Address>) -> Self {
        match peer {
            None => Self::Unknown,
            Some(Address::Unix(UnixAddress::Unnamed)) => Self::Unnamed,
            Some(Address::Ip(SocketAddr::V4(address))) => Self::V4(address),
            peer => Self::Both(Box::new(Known { local: None, peer })),
        }
    }

    fn known(&self) -> Known {
        match self {
            Self::Unknown => Known { local: None, peer: None },
            Self::Unnamed => Known { local: None, peer: Some(Address::Unix(UnixAddress::Unnamed)) },
            Self::V4(address) => Known { local: None, peer: Some(Address::Ip((*address).into())) },
            Self::Both(known) => (**known).clone(),
        }
    }
}

/// The driver of a byte stream on a descriptor.
pub type StreamDriver<S> = driver::StreamDriver<Polled<S>, LoopHandle>;

/// Puts a connected socket on the loop. Nothing is told before [`begin`](driver::StreamDriver::begin), which is the
/// caller's to call from the loop.
pub fn stream<S: StreamSocket>(
    handle: &LoopHandle,
    socket: S,
    peer: Option<Address>,
    protocol: StreamProtocol,
    options: Rc<StreamOptions>,
) -> Rc<StreamDriver<S>> {
    let registration = Registration::new(handle);
    let key = registration.key();
    registration.set_exclusive(socket.is_exclusive());
    let io =
        Polled { socket: Some(socket), registration, addresses: Cell::new(Addresses::new(peer)) };
    let driver = StreamDriver::new(io, handle.clone(), handle.next_id(), protocol, options);
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
}

impl<S: StreamSocket> Connection for StreamDriver<S> {
    fn is_owned_by(&self, owner: &Rc<dyn Owner>) -> bool {
        Self::is_owned_by(self, owner)
    }

    fn transport(&self) -> Option<TransportRef> {
        Self::transport(self)
    }
}

impl<S> Polled<S> {
    /// What is known of the addresses.
    fn known(&self) -> Known {
        let addresses = self.addresses.take();
        let known = addresses.known();
        self.addresses.set(addresses);
        known
    }
}

impl<S: StreamSocket> Polled<S> {
    /// The socket, until it is closed.
    #[must_use]
    pub fn socket(&self) -> Option<&S> {
        self.socket.as_ref()
    }

    /// Keeps our address: the system tells it no longer.
    fn keep_local(&self, socket: &S) {
        let known = Known { local: socket.local_addr(), ..self.known() };
        self.addresses.set(Addresses::Both(Box::new(known)));
    }

    fn open(&self) -> io::Result<&S> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: StreamSocket> StreamIo for Polled<S> {
    const ONE_WAY: bool = S::ONE_WAY;

    #[inline]
    fn can_half_close(&self) -> bool {
        S::HALF_CLOSES
    }

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.open()?.read(buffer)
    }

    #[inline]
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

    fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        let Some(socket) = self.socket.as_ref() else { return Ok(()) };
        match socket.poll_for(interest) {
            Some(interest) => self.registration.set_interest(socket, interest),
            None => self.registration.suspend(socket),
        }
    }

    fn close(&mut self, keep_facts: bool) {
        if let Some(socket) = self.socket.take() {
            if keep_facts {
                self.keep_local(&socket);
            }
            self.registration.close(&socket);
        }
    }

    fn provide(&self, request: &mut Request<'_>, access: &dyn Fn() -> Rc<dyn IoAccess<Self>>) {
        // Not kept while the system can tell it: a list of all connections would leave each of them larger.
        let local = || match &self.socket {
            Some(socket) => socket.local_addr(),
            None => self.known().local,
        };
        request
            .provide_some(|| local().map(LocalAddr))
            .provide_some(|| self.known().peer.map(PeerAddr))
            .provide(|| {
                // Which lends a duplicate.
                self.registration.set_exclusive(false);
                SocketView::new(View(access()))
            });
        if let Some(socket) = &self.socket {
            socket.provide(request, access);
        }
    }
}

impl<S> fmt::Debug for Polled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled")
            .field("open", &self.socket.is_some())
            .field("peer", &self.known().peer)
            .finish_non_exhaustive()
    }
}

impl<S> Drop for Polled<S> {
    fn drop(&mut self) {
        // A driver that never began, or a loop that was torn down by a panic: the descriptor goes, and the place too.
        let _ = self.socket.take();
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

struct View<S: StreamSocket>(Rc<dyn IoAccess<Polled<S>>>);

impl<S: StreamSocket> Duplicate for View<S> {
    fn duplicate(&self) -> Option<OwnedFd> {
        let mut duplicate = None;
        self.0.with_io(&mut |io| {
            duplicate =
                io.socket.as_ref().and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        });
        duplicate
    }
}
