//! Unix stream sockets: paths in the file system, and names in Linux's abstract namespace.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};
use wharf_core::driver::StreamOptions;
use wharf_core::{Address, IntoProtocol, UnixAddress};
use wharf_reactor::stream::Origin;
use wharf_reactor::{LoopHandle, SocketFile};

pub use crate::connect::adopt;
use crate::connect::{Connected, connect_socket, establish};
use crate::listen::boxed;
pub use crate::listen::listen_on;
use crate::options::{server_setters, stream_setters};
use crate::server::{Factory, Listener, Server, ServerOptions};
use crate::socket::{Socket, unix_address};

/// Listens on a path, or on an abstract name, and gives each connection a protocol of `factory`.
///
/// A socket file that nobody listens on is replaced, its server being gone, or bound and not listening yet; a live one,
/// and a file of any other kind, is left alone, and listening fails with `AddrInUse`.
/// Await it, after any of the settings of [`Listen`].
#[doc(alias = "create_unix_server")]
pub fn listen<P, F>(handle: &LoopHandle, at: impl Into<UnixAddress>, factory: F) -> Listen
where
    P: IntoProtocol + 'static,
    F: FnMut() -> P + 'static,
{
    Listen {
        handle: handle.clone(),
        at: at.into(),
        factory: boxed(factory),
        unlink: true,
        server: ServerOptions::default(),
    }
}

/// Connects to a path, or to an abstract name, and puts the protocol of `factory` on the connection.
///
/// A server whose backlog is full is an error of the kind `WouldBlock`.
/// Await it, after any of the settings of [`Connect`].
#[doc(alias = "create_unix_connection")]
pub fn connect<P, F>(handle: &LoopHandle, to: impl Into<UnixAddress>, factory: F) -> Connect<F>
where
    P: IntoProtocol,
    F: FnOnce() -> P,
{
    Connect {
        handle: handle.clone(),
        to: to.into(),
        factory,
        timeout: None,
        stream: StreamOptions::default(),
    }
}

/// A Unix server to be: its settings. Awaiting it binds, listens and serves.
#[must_use = "a server listens when this is awaited"]
pub struct Listen {
    handle: LoopHandle,
    at: UnixAddress,
    factory: Factory,
    unlink: bool,
    server: ServerOptions,
}

impl Listen {
    server_setters!();

    /// Whether closing the server removes the file, if it is still the one that was bound; on unless said otherwise.
    #[doc(alias = "cleanup_socket")]
    pub fn unlink_on_close(mut self, unlink: bool) -> Self {
        self.unlink = unlink;
        self
    }

    fn start(self) -> io::Result<Server> {
        let address = unix_address(&self.at)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let path = match &self.at {
            UnixAddress::Path(path) => Some(&**path),
            _ => None,
        };
        bind(&socket, &address, path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", self.at))
        })?;
        let file = path.filter(|_| self.unlink).and_then(|path| SocketFile::at(path.to_owned()));
        Server::new(&self.handle, vec![Listener { socket, file }], self.factory, self.server)
    }
}

/// Binds, in the place of a socket file whose server is gone if there is one.
fn bind(socket: &socket2::Socket, address: &SockAddr, path: Option<&Path>) -> io::Result<()> {
    match (socket.bind(address), path) {
        (Err(error), Some(path))
            if error.kind() == io::ErrorKind::AddrInUse && is_dead(path, address) =>
        {
            std::fs::remove_file(path)?;
            socket.bind(address)
        }
        (outcome, _) => outcome,
    }
}

/// Whether there is a socket at `path` that nobody listens on.
fn is_dead(path: &Path, address: &SockAddr) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = || {
        let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        probe.set_nonblocking(true)?;
        probe.connect(address)
    };
    is_socket && refuses().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl IntoFuture for Listen {
    type Output = io::Result<Server>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.start() })
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A Unix connection to be: its settings. Awaiting it connects.
#[must_use = "a connection is made when this is awaited"]
pub struct Connect<F> {
    handle: LoopHandle,
    to: UnixAddress,
    factory: F,
    timeout: Option<Duration>,
    stream: StreamOptions,
}

impl<F> Connect<F> {
    stream_setters!(stream);

    /// Gives up with `TimedOut` when connecting takes longer than this.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn start<P: IntoProtocol>(self) -> io::Result<Connected<P>>
    where
        F: FnOnce() -> P,
    {
        let address = unix_address(&self.to)?;
        let connecting = connect_socket(&self.handle, Socket::new(Domain::UNIX)?, &address);
        let socket = match self.timeout {
            None => connecting.await?,
            Some(timeout) => {
                self.handle.timeout(timeout, connecting).await.unwrap_or_else(|_| {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))
                })?
            }
        };
        let origin = Origin { peer: Some(Address::Unix(self.to)), exclusive: true };
        establish(&self.handle, socket, origin, self.factory, &self.stream).await
    }
}

impl<P, F> IntoFuture for Connect<F>
where
    P: IntoProtocol + 'static,
    F: FnOnce() -> P + 'static,
{
    type Output = io::Result<Connected<P>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<F> fmt::Debug for Connect<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("to", &self.to).finish_non_exhaustive()
    }
}
