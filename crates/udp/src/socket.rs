//! Datagram sockets: making them, naming them, and what of them a driver needs.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use socket2::{Domain, SockAddr, Type};
use wharf_core::datagram::driver::{DatagramAccess, Target};
use wharf_core::datagram::{Inbox, Outbox};
use wharf_core::extra::Request;
use wharf_core::vitals::TransportKind;
use wharf_core::{Address, UnixAddress};
use wharf_reactor::datagram::{DatagramSocket, PolledDatagrams};
use wharf_reactor::{LoopHandle, SocketFile};

use crate::groups::Groups;
use crate::mmsg::{Channel, Facts, Family, Headers, Missing};

/// The longest name of a Unix socket, a path's final zero or an abstract name's first one left out.
const UNIX_NAME: usize = 107;

/// A datagram socket, UDP or Unix, non-blocking and close-on-exec.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: socket2::Socket,
    channel: Channel,
    speaks: Speaks,
    /// Whether it was made here, so that nobody can have a duplicate of it.
    ours: bool,
    /// What is removed from the file system when it is closed.
    file: Option<SocketFile>,
}

/// Which addresses a socket can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    V4,
    V6,
    /// IPv6, and IPv4 in its clothes.
    Both,
    Unix,
}

impl Speaks {
    /// What a socket for `address` speaks.
    pub(crate) fn of(address: IpAddr, only_v6: bool) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) if only_v6 => Self::V6,
            IpAddr::V6(_) => Self::Both,
        }
    }

    /// What a socket that somebody else has made speaks.
    ///
    /// # Errors
    /// `InvalidInput` for a family that is not spoken here.
    fn found(socket: &socket2::Socket, address: &SockAddr) -> io::Result<Self> {
        if address.is_ipv4() {
            Ok(Self::V4)
        } else if address.is_ipv6() {
            Ok(if socket.only_v6()? { Self::V6 } else { Self::Both })
        } else if address.is_unix() {
            Ok(Self::Unix)
        } else {
            Err(invalid("the socket is of a family that is not spoken here"))
        }
    }

    fn family(self) -> Family {
        match self {
            Self::V4 => Family::V4,
            Self::V6 | Self::Both => Family::V6,
            Self::Unix => Family::Unix,
        }
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Self::V4 => Domain::IPV4,
            Self::V6 | Self::Both => Domain::IPV6,
            Self::Unix => Domain::UNIX,
        }
    }

    /// Whether datagrams can be sent to `to`.
    fn admits(self, to: &Address) -> io::Result<()> {
        match (self, to) {
            (Self::V4 | Self::Both, Address::Ip(SocketAddr::V4(_)))
            | (Self::V6 | Self::Both, Address::Ip(SocketAddr::V6(_))) => Ok(()),
            (Self::Unix, Address::Unix(name)) => check_name(name),
            _ => Err(invalid(format!("{to} is not of the family of the endpoint"))),
        }
    }
}

/// Whether a Unix name is one that a datagram can be sent to, and a socket bound to.
pub(crate) fn check_name(name: &UnixAddress) -> io::Result<()> {
    let bytes: &[u8] = match name {
        UnixAddress::Path(path) => path.as_os_str().as_bytes(),
        UnixAddress::Abstract(name) if cfg!(any(target_os = "linux", target_os = "android")) => {
            name
        }
        _ => return Err(invalid(format!("{name} is no name of a socket here"))),
    };
    if bytes.is_empty() {
        return Err(invalid("the name of the socket is empty"));
    }
    if bytes.len() > UNIX_NAME {
        return Err(invalid(format!("the name {name} is longer than {UNIX_NAME} bytes")));
    }
    if matches!(name, UnixAddress::Path(_)) && bytes.contains(&0) {
        return Err(invalid("there is a zero byte in the path of the socket"));
    }
    Ok(())
}

/// What is asked of a socket beside what its options say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    /// Congestion marks.
    pub(crate) ecn: bool,
    /// Receive timestamps.
    pub(crate) timestamps: bool,
    /// The address that each datagram came to; where nothing is said, on a socket that has more than one.
    pub(crate) destination: Option<bool>,
    /// What the system is to be taken not to have.
    pub(crate) missing: Missing,
}

impl Socket {
    /// Puts together what a driver needs of a socket that is bound and connected as it shall be. Says also where it is
    /// connected to.
    pub(crate) fn new(
        handle: &LoopHandle,
        socket: socket2::Socket,
        ours: bool,
        wishes: Wishes,
    ) -> io::Result<(Self, Target)> {
        let local = socket.local_addr()?;
        let speaks = Speaks::found(&socket, &local)?;
        let target = match socket.peer_addr() {
            Ok(peer) => Target::Connected(address(&peer).filter(is_named)),
            Err(error) if error.kind() == ErrorKind::NotConnected => Target::None,
            Err(error) => return Err(error),
        };
        let headers = handle.resource(|| RefCell::new(Headers::new()));
        let mut channel = Channel::new(headers, socket.as_fd(), speaks.family(), wishes.missing);
        if let Target::Connected(Some(Address::Ip(peer))) = &target {
            channel.connected(peer.ip());
        }
        // A socket that is bound to one address, or connected, has no choice.
        let anywhere = local.as_socket().is_some_and(|local| local.ip().is_unspecified());
        let destination = wishes.destination.unwrap_or(anywhere && target == Target::None);
        let facts = Facts { destination, ecn: wishes.ecn, timestamp: wishes.timestamps };
        channel.ask_for(socket.as_fd(), facts)?;
        Ok((Self { socket, channel, speaks, ours, file: None }, target))
    }

    /// Removes `file` when it is closed.
    pub(crate) fn with_file(mut self, file: Option<SocketFile>) -> Self {
        self.file = file;
        self
    }

    pub(crate) fn as_raw(&self) -> &socket2::Socket {
        &self.socket
    }
}

/// A datagram socket of somebody else's making, made non-blocking and close-on-exec.
pub(crate) fn adopted(fd: OwnedFd) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::from(fd);
    let kind = socket
        .r#type()
        .map_err(|error| invalid(format!("the descriptor is not a socket: {error}")))?;
    if kind != Type::DGRAM {
        return Err(invalid("the socket is not a datagram socket"));
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    Ok(socket)
}

pub(crate) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text.into())
}

fn is_named(address: &Address) -> bool {
    *address != Address::Unix(UnixAddress::Unnamed)
}

/// The system's address as ours, an IPv4 address in IPv6's clothes as what it is; `None` for a family that is not
/// spoken here.
pub(crate) fn address(address: &SockAddr) -> Option<Address> {
    if let Some(ip) = address.as_socket() {
        let canonical = ip.ip().to_canonical();
        let same = canonical == ip.ip();
        return Some(Address::Ip(if same { ip } else { SocketAddr::new(canonical, ip.port()) }));
    }
    if !address.is_unix() {
        return None;
    }
    if let Some(path) = address.as_pathname() {
        return Some(Address::Unix(UnixAddress::Path(path.into())));
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_namespace() {
        return Some(Address::Unix(UnixAddress::Abstract(name.into())));
    }
    Some(Address::Unix(UnixAddress::Unnamed))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl DatagramSocket for Socket {
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        self.channel.receive(self.socket.as_fd(), inbox)
    }

    fn send(&mut self, outbox: &Outbox) -> io::Result<usize> {
        self.channel.send(self.socket.as_fd(), outbox)
    }

    fn admits(&self, to: &Address) -> io::Result<()> {
        self.speaks.admits(to)
    }

    fn local_addr(&self) -> Option<Address> {
        self.socket.local_addr().ok().as_ref().and_then(address)
    }

    fn is_exclusive(&self) -> bool {
        self.ours
    }

    fn provide(
        &self,
        request: &mut Request<'_>,
        access: &dyn Fn() -> Rc<dyn DatagramAccess<PolledDatagrams<Self>>>,
    ) {
        let is_ip = self.speaks != Speaks::Unix;
        request
            .provide(|| TransportKind(if is_ip { "udp" } else { "unix datagrams" }.into()))
            .provide(|| self.channel.abilities())
            .provide_some(|| is_ip.then(|| Groups::new(access())));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove_if_ours();
        }
    }
}
