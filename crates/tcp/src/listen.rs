//! Listening on TCP: addresses in, [`Server`] out.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use socket2::{Domain, Type};
use wharf_core::IntoProtocol;
use wharf_reactor::LoopHandle;

use crate::options::server_setters;
use crate::server::{Factory, Listener, Server, ServerOptions};
use crate::socket::{adopted, domain, is_tcp};
use wharf_reactor::{EndpointList, Endpoints};

/// How often one port for several addresses is tried for.
const SAME_PORT_ATTEMPTS: usize = 16;

/// Listens on `at` and gives each connection a protocol of `factory`.
///
/// Await it, after any of the settings of [`Listen`]:
///
/// ```
/// use wharf_core::{Protocol, TransportRef};
/// use wharf_reactor::EventLoop;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// let mut ev = EventLoop::new()?;
/// let listen = wharf_tcp::listen(&ev, "127.0.0.1:0", || Echo).max_connections(1000);
/// let server = ev.block_on(listen.into_future())?;
/// assert_eq!(server.addresses().len(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "create_server")]
pub fn listen<P, F>(handle: &LoopHandle, at: impl Endpoints, factory: F) -> Listen
where
    P: IntoProtocol + 'static,
    F: FnMut() -> P + 'static,
{
    Listen::new(handle, At::Places(at.endpoints()), boxed(factory))
}

/// Accepts from a socket that is bound, and perhaps listening, already: of one's own making, or inherited
/// (see [`inherited_sockets`](crate::inherited_sockets)). TCP or Unix.
///
/// # Errors
/// The server's `await` fails with `InvalidInput` when it is no stream socket.
#[doc(alias = "sock")]
pub fn listen_on<P, F>(handle: &LoopHandle, socket: impl Into<OwnedFd>, factory: F) -> Listen
where
    P: IntoProtocol + 'static,
    F: FnMut() -> P + 'static,
{
    Listen::new(handle, At::Socket(socket.into()), boxed(factory))
}

pub(crate) fn boxed<P: IntoProtocol>(mut factory: impl FnMut() -> P + 'static) -> Factory {
    Box::new(move || factory().share().1)
}

enum At {
    Places(io::Result<EndpointList>),
    Socket(OwnedFd),
}

/// A server to be: its settings. Awaiting it binds, listens and serves.
#[must_use = "a server listens when this is awaited"]
pub struct Listen {
    handle: LoopHandle,
    at: At,
    factory: Factory,
    reuse_address: bool,
    reuse_port: bool,
    same_port: bool,
    server: ServerOptions,
}

impl Listen {
    fn new(handle: &LoopHandle, at: At, factory: Factory) -> Self {
        Self {
            handle: handle.clone(),
            at,
            factory,
            reuse_address: true,
            reuse_port: false,
            same_port: false,
            server: ServerOptions::default(),
        }
    }

    server_setters!();

    /// Whether a port that a former server still lingers on may be bound (`SO_REUSEADDR`); on unless said otherwise.
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_address = reuse;
        self
    }

    /// Whether several servers may share a port, each getting a share of the connections (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether the system probes idle connections (`SO_KEEPALIVE`).
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.server.keep_alive = keep_alive;
        self
    }

    /// With port 0 and several addresses: gives all of them the same port.
    pub fn same_port(mut self, same: bool) -> Self {
        self.same_port = same;
        self
    }

    async fn start(self) -> io::Result<Server> {
        let listeners = match &self.at {
            At::Places(Ok(places)) => self.bind(&places.resolve(&self.handle).await?)?,
            At::Places(Err(_)) | At::Socket(_) => Vec::new(),
        };
        let listeners = match self.at {
            At::Places(Ok(_)) => listeners,
            At::Places(Err(error)) => return Err(error),
            At::Socket(fd) => vec![adopt_listener(fd, self.server.keep_alive)?],
        };
        Server::new(&self.handle, listeners, self.factory, self.server)
    }

    /// Binds every address; those that this machine does not have are passed over when another one works.
    fn bind(&self, addresses: &[SocketAddr]) -> io::Result<Vec<Listener>> {
        let attempts = if self.same_port { SAME_PORT_ATTEMPTS } else { 1 };
        let mut outcome = self.bind_once(addresses);
        for _ in 1..attempts {
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    outcome = self.bind_once(addresses)
                }
                _ => break,
            }
        }
        outcome
    }

    fn bind_once(&self, addresses: &[SocketAddr]) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        let mut passed_over = None;
        let mut port = None;
        for address in addresses {
            let mut address = *address;
            if let (0, true, Some(port)) = (address.port(), self.same_port, port) {
                address.set_port(port);
            }
            match self.bind_one(address) {
                Ok(socket) => {
                    let bound = socket.local_addr().ok().and_then(|address| address.as_socket());
                    port = port.or_else(|| bound.map(|address| address.port()));
                    listeners.push(Listener { socket, file: None });
                }
                Err(error) if is_missing(&error) => passed_over = Some(naming(address, &error)),
                Err(error) => return Err(naming(address, &error)),
            }
        }
        match (listeners.is_empty(), passed_over) {
            (true, Some(error)) => Err(error),
            _ => Ok(listeners),
        }
    }

    fn bind_one(&self, address: SocketAddr) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(domain(&address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if socket.domain()? == Domain::IPV6 {
            // So that both families fit one port.
            socket.set_only_v6(true)?;
        }
        prepare_listener(&socket, self.server.keep_alive)?;
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

/// What accepted sockets are to have, put on the listener that hands it on.
fn prepare_listener(socket: &socket2::Socket, keep_alive: bool) -> io::Result<()> {
    if is_tcp(socket) {
        socket.set_tcp_nodelay(true)?;
    }
    if keep_alive {
        socket.set_keepalive(true)?;
    }
    Ok(())
}

fn adopt_listener(fd: OwnedFd, keep_alive: bool) -> io::Result<Listener> {
    let socket = adopted(fd)?;
    prepare_listener(&socket, keep_alive)?;
    // The file of a Unix socket stays: it is its maker's.
    Ok(Listener { socket, file: None })
}

/// Whether this machine does not have the address, or the family.
fn is_missing(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}

/// The error of the same kind, naming the address.
fn naming(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

impl IntoFuture for Listen {
    type Output = io::Result<Server>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen").finish_non_exhaustive()
    }
}
