//! [`Acceptor`]: one listening socket of a server.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use wharf_core::Address;
use wharf_core::driver::Readiness;
use wharf_core::stream::Interest;
use wharf_reactor::source::{Registration, Source};
use wharf_reactor::{LiveListener, SocketFile};

use super::pace::Pace;
use super::{Listener, Phase, ServerState};
use crate::socket::{address, is_ip, kind};

/// A listening socket on the loop.
pub(super) struct Acceptor {
    server: Rc<ServerState>,
    socket: RefCell<Option<socket2::Socket>>,
    registration: Registration,
    address: Option<Address>,
    polled: Cell<bool>,
    pace: Pace,
    accepted: Cell<u64>,
    file: Option<SocketFile>,
}

impl Acceptor {
    /// Puts a socket of `server` on the loop. It neither listens nor is polled yet.
    pub(super) fn new(server: &Rc<ServerState>, listener: Listener) -> Rc<Self> {
        let acceptor = Rc::new(Self {
            server: Rc::clone(server),
            address: listener.socket.local_addr().ok().as_ref().and_then(address),
            socket: RefCell::new(Some(listener.socket)),
            registration: Registration::new(&server.handle),
            polled: Cell::new(false),
            pace: Pace::default(),
            accepted: Cell::new(0),
            file: listener.file,
        });
        acceptor.registration.attach(Rc::clone(&acceptor) as Rc<dyn Source>);
        acceptor
    }

    /// The address that it listens on.
    pub(super) fn address(&self) -> Option<Address> {
        self.address.clone()
    }

    /// A connection was made of a socket that it has accepted.
    pub(super) fn count_accepted(&self) {
        self.accepted.set(self.accepted.get() + 1);
    }

    /// Has the system queue connections.
    ///
    /// # Errors
    /// The system's, naming the address.
    pub(super) fn listen(&self, backlog: i32) -> io::Result<()> {
        match &*self.socket.borrow() {
            Some(socket) => socket.listen(backlog).map_err(|error| self.naming(&error)),
            None => Ok(()),
        }
    }

    /// The error of the same kind, naming the address.
    fn naming(&self, error: &io::Error) -> io::Error {
        let address = self.address.as_ref().map(Address::to_string).unwrap_or_default();
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    }

    /// Polls for connections, or stops it.
    ///
    /// # Errors
    /// The poller's.
    pub(super) fn poll(&self, wanted: bool) -> io::Result<()> {
        if wanted != self.polled.get() {
            if let Some(socket) = &*self.socket.borrow() {
                let interest = Interest { read: wanted, write: false };
                self.registration.set_interest(socket.as_fd(), interest)?;
                self.polled.set(wanted);
            }
        }
        Ok(())
    }

    /// Stops listening; the file of a Unix socket goes with it, if it is ours.
    pub(super) fn close(&self) {
        if let Some(socket) = self.socket.take() {
            self.registration.close(socket.as_fd());
        }
        if let Some(file) = &self.file {
            file.remove_if_ours();
        }
    }

    /// One `accept`; the socket comes non-blocking and close-on-exec, with the listener's options on it.
    fn accept(&self) -> io::Result<(socket2::Socket, Option<Address>)> {
        let socket = self.socket.borrow();
        let Some(listener) = &*socket else { return Err(io::ErrorKind::WouldBlock.into()) };
        let (accepted, peer) = accept_non_blocking(listener)?;
        if !cfg!(target_os = "linux") && is_ip(&peer) {
            // Linux hands the options of the listener on.
            accepted.set_tcp_nodelay(true)?;
            accepted.set_keepalive(self.server.options.keep_alive)?;
        }
        Ok((accepted, address(&peer)))
    }
}

#[cfg(target_os = "linux")]
fn accept_non_blocking(
    listener: &socket2::Socket,
) -> io::Result<(socket2::Socket, socket2::SockAddr)> {
    use nix::sys::socket::SockFlag;
    listener.accept4((SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC).bits())
}

#[cfg(not(target_os = "linux"))]
fn accept_non_blocking(
    listener: &socket2::Socket,
) -> io::Result<(socket2::Socket, socket2::SockAddr)> {
    let (socket, peer) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

impl Source for Acceptor {
    fn ready(self: Rc<Self>, _: Readiness) {
        let server = &self.server;
        for taken in 0..server.options.accept_budget() {
            let work = server.handle.work_done();
            if !self.polled.get()
                || server.phase.get() != Phase::Serving
                || !self.pace.admits(taken, work)
            {
                return;
            }
            match self.accept() {
                Ok((socket, peer)) => server.welcome(socket, peer, &self),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return self.pace.ran_out(taken, work),
                    io::ErrorKind::Interrupted => continue,
                    _ if is_of_the_client(&error) => continue,
                    _ => return server.rest(self.address.as_ref(), error),
                },
            }
            if server.live.get() >= server.options.max_connections {
                let _ = server.update_polling();
            }
        }
    }

    fn listener(&self) -> Option<LiveListener> {
        let (server, socket) = (&self.server, self.socket.borrow());
        let mut listener = LiveListener::new(kind(socket.as_ref()?), server.listening()?);
        let most = server.options.max_connections;
        listener.local = self.address();
        listener.accepted = self.accepted.get();
        listener.connections = server.live.get();
        listener.max_connections = (most < usize::MAX).then_some(most);
        Some(listener)
    }

    fn shut(self: Rc<Self>) {
        self.server.close();
        self.close();
    }
}

/// Whether the trouble is that of one client, or of the way to it: it is gone, and the next one may be better off.
fn is_of_the_client(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            Errno::ECONNABORTED
                | Errno::EPROTO
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::ETIMEDOUT
                | Errno::ENETDOWN
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN
                | Errno::EHOSTUNREACH
        )
    )
}
