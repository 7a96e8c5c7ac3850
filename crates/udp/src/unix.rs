//! Unix datagram endpoints: paths in the file system, names in Linux's abstract namespace, and sockets without a name.
//!
//! Nothing is lost on the way.
//! A peer that does not read blocks who sends to it, and what an unconnected endpoint has queued for others waits behind
//! that; whoever serves strangers bounds the queue and drops the oldest.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;

use socket2::{Domain, SockAddr, Type};
use wharf_core::datagram::driver::{DatagramOptions, Target};
use wharf_core::{Address, IntoDatagramProtocol, UnixAddress};
use wharf_reactor::{LoopHandle, SocketFile};

pub use crate::adopt::adopt;
use crate::establish::{Opened, establish};
use crate::options::{Buffers, endpoint_setters};
use crate::socket::{Socket, Wishes, check_name};

/// Opens an endpoint at a path, or at an abstract name, which hears everybody, and puts the protocol of `factory` on it.
///
/// A socket file that nobody has open is replaced; a live one, and a file of any other kind, is left alone, and binding
/// fails with `AddrInUse`.
/// Await it, after any of the settings of [`Open`].
#[doc(alias = "create_datagram_endpoint")]
pub fn bind<P, F>(handle: &LoopHandle, at: impl Into<UnixAddress>, factory: F) -> Open<F>
where
    P: IntoDatagramProtocol,
    F: FnOnce() -> P,
{
    Open { local: Some(at.into()), ..Open::new(handle, factory) }
}

/// Opens an endpoint that is connected to a path, or to an abstract name, and hears that peer alone.
///
/// It has no name of its own, so the peer cannot answer, unless it is given one by [`Open::local_addr`].
/// Await it, after any of the settings of [`Open`].
#[doc(alias = "create_datagram_endpoint")]
pub fn connect<P, F>(handle: &LoopHandle, to: impl Into<UnixAddress>, factory: F) -> Open<F>
where
    P: IntoDatagramProtocol,
    F: FnOnce() -> P,
{
    Open { remote: Some(to.into()), ..Open::new(handle, factory) }
}

/// A Unix datagram endpoint to be: its settings. Awaiting it opens it.
#[must_use = "an endpoint is opened when this is awaited"]
pub struct Open<F> {
    handle: LoopHandle,
    factory: F,
    local: Option<UnixAddress>,
    remote: Option<UnixAddress>,
    unlink: bool,
    buffers: Buffers,
    wishes: Wishes,
    options: DatagramOptions,
}

impl<F> Open<F> {
    endpoint_setters!();

    fn new(handle: &LoopHandle, factory: F) -> Self {
        Self {
            handle: handle.clone(),
            factory,
            local: None,
            remote: None,
            unlink: true,
            buffers: Buffers::default(),
            wishes: Wishes::default(),
            options: DatagramOptions::default(),
        }
    }

    /// Connects from this name, so that the peer can answer.
    pub fn local_addr(mut self, at: impl Into<UnixAddress>) -> Self {
        self.local = Some(at.into());
        self
    }

    /// Whether closing the endpoint removes the file, if it is still the one that was bound; on unless said otherwise.
    #[doc(alias = "cleanup_socket")]
    pub fn unlink_on_close(mut self, unlink: bool) -> Self {
        self.unlink = unlink;
        self
    }

    fn socket(&self) -> io::Result<(Socket, Target)> {
        let socket = socket2::Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        self.buffers.set(&socket)?;
        let mut file = None;
        if let Some(at) = &self.local {
            bind_to(&socket, at).map_err(|error| about("bind to", at, &error))?;
            file = Address::Unix(at.clone()).path().and_then(|path| SocketFile::at(path.into()));
        }
        if let Some(to) = &self.remote {
            let connected = system_name(to).and_then(|to| socket.connect(&to));
            if let Err(error) = connected {
                if let Some(file) = file {
                    file.remove_if_ours();
                }
                return Err(about("connect to", to, &error));
            }
        }
        let (socket, connected) = Socket::new(&self.handle, socket, true, self.wishes)?;
        let target = match &self.remote {
            Some(remote) => Target::Connected(Some(Address::Unix(remote.clone()))),
            None => connected,
        };
        Ok((socket.with_file(file.filter(|_| self.unlink)), target))
    }

    async fn start<P: IntoDatagramProtocol>(self) -> io::Result<Opened<P>>
    where
        F: FnOnce() -> P,
    {
        let (socket, target) = self.socket()?;
        let options = DatagramOptions { target, ..self.options };
        establish(&self.handle, socket, self.factory, options).await
    }
}

fn about(what: &str, name: &UnixAddress, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {name}: {error}"))
}

/// A Unix name as the system's address.
fn system_name(name: &UnixAddress) -> io::Result<SockAddr> {
    check_name(name)?;
    match name {
        UnixAddress::Path(path) => SockAddr::unix(path),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        UnixAddress::Abstract(name) => {
            SockAddr::unix(std::ffi::OsStr::from_bytes(&[b"\0", &**name].concat()))
        }
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

/// Binds, in the place of a socket file that nobody has open if there is one.
fn bind_to(socket: &socket2::Socket, at: &UnixAddress) -> io::Result<()> {
    let address = system_name(at)?;
    match (socket.bind(&address), at) {
        (Err(error), UnixAddress::Path(path))
            if error.kind() == ErrorKind::AddrInUse && is_dead(path, &address) =>
        {
            std::fs::remove_file(path)?;
            socket.bind(&address)
        }
        (outcome, _) => outcome,
    }
}

/// Whether there is a socket at `path` that nobody has open.
fn is_dead(path: &Path, address: &SockAddr) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = || {
        let probe = socket2::Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        probe.connect(address)
    };
    is_socket && refuses().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

impl<P, F> IntoFuture for Open<F>
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

impl<F> fmt::Debug for Open<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
