//! [`Peer`]: a raw peer of an endpoint, in the hand of the test, on the same thread.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use wharf::memory::DatagramWire;
use wharf::{Address, UnixAddress};

/// The longest datagram that a peer expects.
const LONGEST: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) enum Peer {
    Memory(DatagramWire),
    Udp { socket: UdpSocket, to: Address },
    Unix { socket: UnixDatagram, path: PathBuf, to: Address },
}

impl Peer {
    /// A UDP socket at `at`, of the endpoint at `to`.
    pub(crate) fn udp(at: &str, to: Address) -> Self {
        let socket = UdpSocket::bind(at).expect("loopback can be bound");
        socket.set_nonblocking(true).expect("a socket can be made non-blocking");
        Self::Udp { socket, to }
    }

    /// A Unix socket at `path`, of the endpoint at `to`.
    pub(crate) fn unix(path: PathBuf, to: Address) -> Self {
        let socket = UnixDatagram::bind(&path).expect("a path can be bound");
        socket.set_nonblocking(true).expect("a socket can be made non-blocking");
        Self::Unix { socket, path, to }
    }

    /// The endpoint is there now.
    pub(crate) fn aim(&mut self, at: Address) {
        match self {
            Self::Memory(_) => {}
            Self::Udp { to, .. } | Self::Unix { to, .. } => *to = at,
        }
    }

    pub(crate) fn send(&self, data: &[u8]) {
        let sent = match self {
            Self::Memory(wire) => {
                wire.send(data);
                Ok(data.len())
            }
            Self::Udp { socket, to } => {
                socket.send_to(data, to.ip().expect("an endpoint of UDP has an IP address"))
            }
            Self::Unix { socket, to, .. } => {
                socket.send_to(data, to.path().expect("the endpoint has a path"))
            }
        };
        assert_eq!(sent.expect("a peer can send"), data.len());
    }

    /// Takes everything that has come, one by one.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; LONGEST];
        let mut taken = Vec::new();
        loop {
            let received = match self {
                Self::Memory(wire) => return wire.take(),
                Self::Udp { socket, .. } => socket.recv(&mut buffer),
                Self::Unix { socket, .. } => socket.recv(&mut buffer),
            };
            match received {
                Ok(len) => taken.push(buffer[..len].to_vec()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
                // What an earlier send of ours met.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => panic!("the peer cannot receive: {error}"),
            }
        }
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Memory(wire) => wire.address(),
            Self::Udp { socket, .. } => {
                Address::Ip(socket.local_addr().expect("a socket has an address"))
            }
            Self::Unix { path, .. } => Address::Unix(UnixAddress::from(path)),
        }
    }

    pub(crate) fn wire(&self) -> &DatagramWire {
        match self {
            Self::Memory(wire) => wire,
            _ => panic!("the peer is a socket"),
        }
    }
}
