//! [`Address`]: the name of one end of a connection, for every family that wharf speaks.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The address of a socket: an IP address with its port, or a Unix socket's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IPv4 or IPv6 address and a port.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// The name of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnixAddress {
    /// No name: most clients, and socket pairs.
    Unnamed,
    /// A path in the file system.
    Path(Box<Path>),
    /// A name in Linux's abstract namespace, without the leading zero byte.
    Abstract(Box<[u8]>),
}

impl Address {
    /// The IP address and port, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The port, if it is an IP address.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// The path, if it is a Unix socket with one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(UnixAddress::Path(path)) => Some(path),
            _ => None,
        }
    }
}

impl UnixAddress {
    /// A name in Linux's abstract namespace, without the leading zero byte.
    #[must_use]
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self::Abstract(name.as_ref().into())
    }
}

impl From<&Path> for UnixAddress {
    fn from(path: &Path) -> Self {
        Self::Path(path.into())
    }
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self::Path(path.into())
    }
}

impl From<&PathBuf> for UnixAddress {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.as_path().into())
    }
}

impl From<&str> for UnixAddress {
    fn from(path: &str) -> Self {
        Self::from(Path::new(path))
    }
}

impl From<String> for UnixAddress {
    fn from(path: String) -> Self {
        Self::from(PathBuf::from(path))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(UnixAddress::Path(path.into()))
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("(unnamed)"),
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        let ip: SocketAddr = "[::1]:80".parse().unwrap();
        assert_eq!(Address::from(ip).to_string(), "[::1]:80");
        assert_eq!(Address::from(PathBuf::from("/run/a")).to_string(), "/run/a");
        assert_eq!(UnixAddress::Abstract((*b"a\0b").into()).to_string(), "@a\\x00b");
        assert_eq!(UnixAddress::Unnamed.to_string(), "(unnamed)");
    }
}
