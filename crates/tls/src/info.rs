//! What is known of a TLS connection, as typed extra info: `transport.extra::<tls::Alpn>()`.
//!
//! The facts are there from `connection_made` on, and after the loss; what the transport below knows passes through.

use std::rc::Rc;

use rustls::pki_types::CertificateDer;
use rustls::{NamedGroup, ProtocolVersion};

use crate::error::Error;
use crate::session::Session;

/// The version of the protocol.
#[doc(alias = "version")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    pub(crate) fn of(version: ProtocolVersion) -> Option<Self> {
        match version {
            ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// The cipher suite.
#[doc(alias = "cipher")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherSuite(pub rustls::CipherSuite);

/// The group of the key exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyExchangeGroup(pub NamedGroup);

/// The application protocol that was agreed on; absent when none was.
#[doc(alias = "selected_alpn_protocol")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alpn(pub Vec<u8>);

/// The name of the server: the one that a client has asked for (SNI); absent when it has not.
#[doc(alias = "server_hostname")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerName(pub String);

/// The certificates of the peer, its own first; absent when it has shown none.
#[doc(alias = "peercert")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificates(pub Vec<CertificateDer<'static>>);

/// Whether an earlier session was resumed.
#[doc(alias = "session_reused")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resumed(pub bool);

/// The keys of the connection: what can be derived from them, and how to change them.
#[derive(Debug, Clone)]
pub struct Keys(pub(crate) Rc<Session>);

impl Keys {
    /// Derives key material from the secrets of the connection (RFC 5705), for example to bind an authentication to this
    /// very connection.
    ///
    /// # Errors
    /// When `out` is empty, or the handshake is not over.
    #[doc(alias = "get_channel_binding")]
    pub fn export(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.0.export(out, label, context).map_err(Error::from)
    }

    /// Changes the keys of our direction, and asks the peer to change its own. This happens by itself when it must; it is
    /// for connections that will be silent for long.
    ///
    /// # Errors
    /// Before TLS 1.3, which has no such thing.
    pub fn refresh(&self) -> Result<(), Error> {
        self.0.refresh_keys().map_err(Error::from)
    }
}
