//! The transports of the demo, and where each of them listens.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::rc::Rc;

use wharf::tls::{self, ClientConfig, start_tls};
use wharf::{
    Address, IntoProtocol, LoopHandle, Protocol, TransportRef, UnixAddress, oneshot, tcp, unix,
};

use super::upgrade::Asking;
use super::{PATIENCE, secrets};

/// A transport, by the name that it has on the command line and in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp4,
    Tcp6,
    Unix,
    Abstract,
    Buffered,
    Tls,
    TlsUnix,
    StartTls,
    Udp4,
    Udp6,
    UnixDatagram,
    Cat,
}

impl Kind {
    pub(super) const ALL: [Self; 12] = [
        Self::Tcp4,
        Self::Tcp6,
        Self::Unix,
        Self::Abstract,
        Self::Buffered,
        Self::Tls,
        Self::TlsUnix,
        Self::StartTls,
        Self::Udp4,
        Self::Udp6,
        Self::UnixDatagram,
        Self::Cat,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
            Self::Unix => "unix",
            Self::Abstract => "abstract",
            Self::Buffered => "buffered",
            Self::Tls => "tls",
            Self::TlsUnix => "tls-unix",
            Self::StartTls => "starttls",
            Self::Udp4 => "udp4",
            Self::Udp6 => "udp6",
            Self::UnixDatagram => "unixgram",
            Self::Cat => "cat",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::TlsUnix | Self::StartTls)
    }

    /// Whether it carries datagrams.
    pub(super) fn has_datagrams(self) -> bool {
        matches!(self, Self::Udp4 | Self::Udp6 | Self::UnixDatagram)
    }

    /// Why this machine cannot do it, if it cannot.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Tcp6 | Self::Udp6 if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() => {
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
            Self::Tcp4 | Self::Buffered | Self::Tls | Self::StartTls | Self::Udp4 | Self::Cat => {
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
            }
            Self::Tcp6 | Self::Udp6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)).into(),
            Self::Unix | Self::TlsUnix | Self::UnixDatagram => folder.join("echo.sock").into(),
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

/// A server of any kind, as its clients know it.
#[derive(Clone)]
pub(super) struct Target {
    kind: Kind,
    address: Address,
    /// Where there is TLS.
    config: Option<ClientConfig>,
}

impl Target {
    /// The server of `kind` at `address`, whose certificates are in `folder`.
    pub(super) fn new(kind: Kind, address: Address, folder: &Path) -> io::Result<Self> {
        let config = if kind.is_secure() { Some(secrets::of_client(folder)?) } else { None };
        Ok(Self { kind, address, config })
    }

    /// What it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects.
    pub(super) async fn connect<P: Protocol>(
        &self,
        handle: &LoopHandle,
        protocol: P,
    ) -> io::Result<(TransportRef, Rc<RefCell<P>>)> {
        match &self.config {
            None => self.open(handle, || protocol).await,
            Some(config) if self.kind == Kind::StartTls => {
                let (sender, agreed) = oneshot();
                let (plain, _) = self.open(handle, || Asking::new(sender)).await?;
                match handle.timeout(PATIENCE, agreed).await {
                    Ok(Some(())) => {}
                    Ok(None) => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                }
                let transport = start_tls(&plain, (config.clone(), secrets::NAME), &[]).await?;
                let (protocol, _) = transport.set_protocol(protocol, &[]);
                Ok((transport, protocol))
            }
            Some(config) => {
                let factory = tls::client(config.clone(), secrets::NAME, || protocol);
                self.open(handle, factory).await
            }
        }
    }

    async fn open<P: IntoProtocol + 'static>(
        &self,
        handle: &LoopHandle,
        factory: impl FnOnce() -> P + 'static,
    ) -> io::Result<(TransportRef, P::Shared)> {
        match &self.address {
            Address::Ip(address) => tcp::connect(handle, *address, factory).timeout(PATIENCE).await,
            Address::Unix(name) => {
                unix::connect(handle, name.clone(), factory).timeout(PATIENCE).await
            }
            other => Err(io::Error::new(io::ErrorKind::Unsupported, other.to_string())),
        }
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
        assert_eq!(Kind::named("sctp"), None);
    }
}
