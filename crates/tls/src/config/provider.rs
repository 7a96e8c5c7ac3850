//! The provider of cryptography, always named and never the default of the process; and the versions of TLS.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;
use rustls::{SupportedProtocolVersion, version};

use super::error::{ConfigError, Result};

/// Makes a producer of session tickets.
type Ticketer = fn() -> std::result::Result<Arc<dyn ProducesTickets>, rustls::Error>;

/// Who encrypts, signs and checks.
///
/// A configuration that is told nothing uses aws-lc-rs, else ring, whichever feature is on.
/// The process-wide default of rustls is never looked at, so it does not matter who else set it.
#[derive(Clone)]
pub struct Provider {
    crypto: Arc<CryptoProvider>,
    ticketer: Option<Ticketer>,
}

impl Provider {
    /// aws-lc-rs, which also speaks post-quantum key exchange.
    #[cfg(feature = "aws-lc-rs")]
    pub fn aws_lc_rs() -> Self {
        Self {
            crypto: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            ticketer: Some(rustls::crypto::aws_lc_rs::Ticketer::new),
        }
    }

    /// ring.
    #[cfg(feature = "ring")]
    pub fn ring() -> Self {
        Self {
            crypto: Arc::new(rustls::crypto::ring::default_provider()),
            ticketer: Some(rustls::crypto::ring::Ticketer::new),
        }
    }

    /// What a configuration uses that is told nothing.
    pub(super) fn compiled_in() -> Result<Self> {
        #[cfg(feature = "aws-lc-rs")]
        return Ok(Self::aws_lc_rs());
        #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
        return Ok(Self::ring());
        #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
        Err(ConfigError::NoProvider)
    }

    /// What rustls calls the provider.
    pub fn crypto(&self) -> &Arc<CryptoProvider> {
        &self.crypto
    }

    /// Whether it can make session tickets.
    pub(super) fn has_tickets(&self) -> bool {
        self.ticketer.is_some()
    }

    /// A new producer of session tickets, whose keys change by themselves.
    pub(super) fn tickets(&self) -> Result<Arc<dyn ProducesTickets>> {
        let ticketer = self.ticketer.ok_or(ConfigError::NoTickets)?;
        ticketer().map_err(ConfigError::Tickets)
    }
}

/// A provider of a third party, or one of the above with other suites; it makes no session tickets.
impl From<Arc<CryptoProvider>> for Provider {
    fn from(crypto: Arc<CryptoProvider>) -> Self {
        Self { crypto, ticketer: None }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("suites", &self.crypto.cipher_suites.len())
            .field("tickets", &self.has_tickets())
            .finish_non_exhaustive()
    }
}

/// Which versions of TLS to speak. There is nothing older than 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Versions {
    /// 1.3 with whoever can, else 1.2.
    #[default]
    Tls12AndTls13,
    /// 1.3 only.
    Tls13,
    /// 1.2 only, for a peer whose 1.3 is broken.
    Tls12,
}

impl Versions {
    /// As rustls wants it.
    pub(super) fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12AndTls13 => vec![&version::TLS13, &version::TLS12],
            Self::Tls13 => vec![&version::TLS13],
            Self::Tls12 => vec![&version::TLS12],
        }
    }
}
