//! Datagrams on descriptors: core's datagram driver with a [`DatagramSocket`] and its registration as the I/O object.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use wharf_core::datagram::driver::{self, DatagramAccess, DatagramIo, DatagramOptions};
use wharf_core::datagram::{EndpointProtocol, Inbox, Outbox};
use wharf_core::driver::Readiness;
use wharf_core::extra::{LocalAddr, Request};
use wharf_core::stream::Interest;
use wharf_core::{Address, BaseTransport};

use crate::handle::LoopHandle;
use crate::source::{Registration, Source};
use crate::stream::{Duplicate, SocketView};

/// What a transport crate supplies: the system calls of one kind of datagram socket. The descriptor is non-blocking.
pub trait DatagramSocket: AsFd + 'static {
    /// Receives once. See [`DatagramIo::receive`].
    ///
    /// # Errors
    /// The system's.
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool>;

    /// Sends once. See [`DatagramIo::send`].
    ///
    /// # Errors
    /// The system's, about the first datagram.
    fn send(&mut self, outbox: &Outbox) -> io::Result<usize>;

    /// Whether datagrams can be sent to `to` from here.
    ///
    /// # Errors
    /// `InvalidInput` where they cannot.
    fn admits(&self, to: &Address) -> io::Result<()>;

    /// The address of our end, if it has one.
    fn local_addr(&self) -> Option<Address>;

    /// Whether nobody has a duplicate of the descriptor, as nobody can of one that this process has just made.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Answers a question for a fact of this kind of socket. `access` leads back to the driver.
    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Rc<dyn DatagramAccess<PolledDatagrams<Self>>>,
    ) where
        Self: Sized,
    {
        let _ = (request, access);
    }
}

/// A datagram socket with its place on the loop.
pub struct PolledDatagrams<S> {
    /// `None` once closed.
    socket: Option<S>,
    registration: Registration,
    /// What the system said, once somebody has asked.
    local: OnceCell<Address>,
}

/// The driver of datagrams on a descriptor.
pub type DatagramDriver<S> = driver::DatagramDriver<PolledDatagrams<S>, LoopHandle>;

/// Puts a socket on the loop. Nothing is told before [`begin`](driver::DatagramDriver::begin), which is the caller's to
/// call from the loop.
pub fn datagrams<S: DatagramSocket>(
    handle: &LoopHandle,
    socket: S,
    protocol: EndpointProtocol,
    options: DatagramOptions,
) -> Rc<DatagramDriver<S>> {
    let registration = Registration::new(handle);
    let key = registration.key();
    registration.set_exclusive(socket.is_exclusive());
    let io = PolledDatagrams { socket: Some(socket), registration, local: OnceCell::new() };
    let driver = DatagramDriver::new(io, handle.clone(), handle.next_id(), protocol, options);
    handle.attach(key, Rc::clone(&driver) as Rc<dyn Source>);
    driver
}

impl<S: DatagramSocket> Source for DatagramDriver<S> {
    fn ready(self: Rc<Self>, readiness: Readiness) {
        Self::ready(&self, readiness);
    }

    fn shut(self: Rc<Self>) {
        Self::shut(&self);
    }

    fn as_transport(&self) -> Option<&dyn BaseTransport> {
        Some(self)
    }
}

impl<S: DatagramSocket> PolledDatagrams<S> {
    /// The socket, until it is closed.
    #[must_use]
    pub fn socket(&self) -> Option<&S> {
        self.socket.as_ref()
    }

    /// Asks the system for our address, once.
    fn ask_local(&self, socket: &S) {
        if self.local.get().is_none() {
            if let Some(address) = socket.local_addr() {
                let _ = self.local.set(address);
            }
        }
    }

    fn open(&mut self) -> io::Result<&mut S> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: DatagramSocket> DatagramIo for PolledDatagrams<S> {
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        self.open()?.receive(inbox)
    }

    fn send(&mut self, outbox: &Outbox) -> io::Result<usize> {
        self.open()?.send(outbox)
    }

    fn admits(&self, to: &Address) -> io::Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| socket.admits(to))
    }

    fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        let Some(socket) = self.socket.as_ref() else { return Ok(()) };
        self.registration.set_interest(socket, interest)
    }

    fn close(&mut self, keep_facts: bool) {
        if let Some(socket) = self.socket.take() {
            if keep_facts {
                self.ask_local(&socket);
            }
            self.registration.close(&socket);
        }
    }

    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Rc<dyn DatagramAccess<Self>>,
    ) {
        request
            .provide_some(|| {
                if let Some(socket) = &self.socket {
                    self.ask_local(socket);
                }
                self.local.get().cloned().map(LocalAddr)
            })
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

impl<S> fmt::Debug for PolledDatagrams<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolledDatagrams")
            .field("open", &self.socket.is_some())
            .finish_non_exhaustive()
    }
}

struct View<S: DatagramSocket>(Rc<dyn DatagramAccess<PolledDatagrams<S>>>);

impl<S: DatagramSocket> Duplicate for View<S> {
    fn duplicate(&self) -> Option<OwnedFd> {
        let mut duplicate = None;
        self.0.with_io(&mut |io| {
            duplicate = io.socket().and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        });
        duplicate
    }
}
