//! Stream sockets: making them, naming them, and the system calls of their streams.

use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::sys::socket::MsgFlags;
use socket2::{Domain, SockAddr, Type};
use wharf_core::driver::IoAccess;
use wharf_core::extra::Request;
use wharf_core::vitals::TransportKind;
use wharf_core::{Address, UnixAddress};
use wharf_reactor::stream::{Polled, StreamSocket};

/// A write to a peer that is gone is an error, whatever the process does with SIGPIPE.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: i32 = MsgFlags::MSG_NOSIGNAL.bits();
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: i32 = MsgFlags::empty().bits(); // The socket option SO_NOSIGPIPE does it there.

/// A connected stream socket, TCP or Unix, non-blocking and close-on-exec.
#[derive(Debug)]
pub(crate) struct Socket(socket2::Socket);

impl Socket {
    /// An unconnected one.
    pub(crate) fn new(domain: Domain) -> io::Result<Self> {
        let socket = socket2::Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Self::prepare(socket)
    }

    /// One that was accepted, with `accept`'s options on it already.
    pub(crate) fn accepted(socket: socket2::Socket) -> Self {
        Self(socket)
    }

    /// One that somebody else has made and connected.
    ///
    /// # Errors
    /// `InvalidInput` when it is no stream socket.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Self::prepare(adopted(fd)?)
    }

    fn prepare(socket: socket2::Socket) -> io::Result<Self> {
        if is_tcp(&socket) {
            socket.set_tcp_nodelay(true)?;
        }
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        Ok(Self(socket))
    }

    pub(crate) fn as_raw(&self) -> &socket2::Socket {
        &self.0
    }
}

/// A stream socket of somebody else's making, made non-blocking and close-on-exec.
pub(crate) fn adopted(fd: OwnedFd) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::from(fd);
    let kind = socket.r#type().map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the descriptor is not a socket: {error}"),
        )
    })?;
    if kind != Type::STREAM {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket is not a stream socket",
        ));
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    Ok(socket)
}

/// Whether TCP's options apply to a socket.
pub(crate) fn is_tcp(socket: &socket2::Socket) -> bool {
    socket.local_addr().is_ok_and(|address| is_ip(&address))
}

/// What a socket is, or its connections are.
pub(crate) fn kind(socket: &socket2::Socket) -> TransportKind {
    TransportKind(if is_tcp(socket) { "tcp" } else { "unix" }.into())
}

pub(crate) fn is_ip(address: &SockAddr) -> bool {
    address.is_ipv4() || address.is_ipv6()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl StreamSocket for Socket {
    #[inline]
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    #[inline]
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_with_flags(bytes, SEND_FLAGS)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored_with_flags(slices, SEND_FLAGS)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    fn local_addr(&self) -> Option<Address> {
        self.0.local_addr().ok().as_ref().and_then(address)
    }

    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Option<Rc<dyn IoAccess<Polled<Self>>>>,
    ) {
        request.provide(|| kind(&self.0)).provide_here(|| access().map(NativeStream));
    }
}

/// A way back to the driver of a socket, for what only a socket can do: `sendfile`.
pub(crate) struct NativeStream(pub(crate) Rc<dyn IoAccess<Polled<Socket>>>);

/// The system's address as ours; `None` for a family that is not spoken here.
#[inline]
pub(crate) fn address(address: &SockAddr) -> Option<Address> {
    if let Some(ip) = address.as_socket() {
        return Some(Address::Ip(ip));
    }
    unix_name(address).map(Address::Unix)
}

/// The name of a Unix socket; `None` for an address of another kind.
#[inline(never)]
fn unix_name(address: &SockAddr) -> Option<UnixAddress> {
    if !address.is_unix() {
        return None;
    }
    let name = if let Some(path) = address.as_pathname() {
        UnixAddress::Path(path.into())
    } else {
        abstract_name(address)
            .map_or(UnixAddress::Unnamed, |name| UnixAddress::Abstract(name.into()))
    };
    Some(name)
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &SockAddr) -> Option<&[u8]> {
    address.as_abstract_namespace()
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &SockAddr) -> Option<&[u8]> {
    None
}

/// A Unix name as the system's address.
///
/// # Errors
/// `InvalidInput` for a name that is too long, or of a kind that cannot be bound or connected here.
pub(crate) fn unix_address(name: &UnixAddress) -> io::Result<SockAddr> {
    let is_empty = match name {
        UnixAddress::Path(path) => path.as_os_str().is_empty(),
        UnixAddress::Abstract(name) => name.is_empty(),
        _ => false,
    };
    if is_empty {
        // The system would choose a name of its own.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of the socket is empty"));
    }
    match name {
        UnixAddress::Path(path) => SockAddr::unix(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        #[cfg(target_os = "linux")]
        UnixAddress::Abstract(name) => {
            use std::ffi::OsStr;
            use std::os::unix::ffi::OsStrExt;
            SockAddr::unix(OsStr::from_bytes(&[b"\0", &**name].concat()))
        }
        other => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{other} is not a name to bind or connect"),
        )),
    }
}

/// The domain of an IP address.
pub(crate) fn domain(address: &SocketAddr) -> Domain {
    Domain::for_address(*address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_datagram_socket_and_a_file_are_refused() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Socket::adopt(udp.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Socket::adopt(file.into()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn adopted_sockets_are_non_blocking_and_close_on_exec() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let socket = Socket::adopt(ours.into()).unwrap();
        assert!(socket.as_raw().nonblocking().unwrap());
        let flags = nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags & 1, 1);
    }

    #[test]
    fn a_connection_takes_no_more_than_it_did() {
        // With its counts and the allocator's word this is 128 bytes; one more would make it 144.
        assert_eq!(size_of::<wharf_reactor::stream::StreamDriver<Socket>>(), 104);
    }

    #[test]
    fn names_survive_the_system() {
        for name in [UnixAddress::from("/tmp/x"), UnixAddress::abstract_name(b"a\0b")] {
            let system = unix_address(&name).unwrap();
            assert_eq!(address(&system), Some(Address::Unix(name)));
        }
        assert_eq!(
            unix_address(&UnixAddress::Unnamed).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            unix_address(&UnixAddress::from("")).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let long = "x".repeat(200);
        assert_eq!(
            unix_address(&UnixAddress::from(long)).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
