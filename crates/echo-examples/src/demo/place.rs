//! The transports of the demo, and where each of them listens.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::rc::Rc;

use wharf::{Address, LoopHandle, Protocol, TransportRef, UnixAddress, tcp, unix};

use super::PATIENCE;

/// A transport, by the name that it has on the command line and in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp4,
    Tcp6,
    Unix,
    Abstract,
    Buffered,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Tcp4, Self::Tcp6, Self::Unix, Self::Abstract, Self::Buffered];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
            Self::Unix => "unix",
            Self::Abstract => "abstract",
            Self::Buffered => "buffered",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Why this machine cannot do it, if it cannot.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Tcp6 if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() => {
                Some("this machine has no IPv6")
            }
            Self::Abstract if !cfg!(target_os = "linux") => {
                Some("only Linux has names without files")
            }
            _ => None,
        }
    }

    /// Where its server is to listen.
    pub(super) fn place(self, folder: &Path) -> Address {
        match self {
            Self::Tcp4 | Self::Buffered => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            Self::Tcp6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into(),
            Self::Unix => folder.join("echo.sock").into(),
            Self::Abstract => {
                UnixAddress::abstract_name(format!("wharf-demo-{}", process::id())).into()
            }
        }
    }
}

/// Reads an address as it was printed.
pub(super) fn parse(text: &str) -> Result<Address, std::net::AddrParseError> {
    if let Some(name) = text.strip_prefix('@') {
        return Ok(UnixAddress::abstract_name(name).into());
    }
    if text.contains('/') {
        return Ok(PathBuf::from(text).into());
    }
    text.parse().map(SocketAddr::into)
}

/// Connects to a server of any kind.
pub(super) async fn connect<P: Protocol>(
    handle: &LoopHandle,
    to: &Address,
    protocol: P,
) -> io::Result<(TransportRef, Rc<RefCell<P>>)> {
    match to {
        Address::Ip(address) => tcp::connect(handle, *address, || protocol).timeout(PATIENCE).await,
        Address::Unix(name) => {
            unix::connect(handle, name.clone(), || protocol).timeout(PATIENCE).await
        }
        other => Err(io::Error::new(io::ErrorKind::Unsupported, other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_address_is_read_back() {
        for kind in Kind::ALL {
            let place = kind.place(Path::new("/tmp/x"));
            assert_eq!(parse(&place.to_string()), Ok(place), "{}", kind.name());
        }
        assert!(parse("nonsense").is_err());
    }

    #[test]
    fn a_kind_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("udp"), None);
    }
}
