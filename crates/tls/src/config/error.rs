//! What can be wrong with a configuration: each error names the file, or says that bytes were given.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of the parts of a configuration.
pub(super) type Result<T> = std::result::Result<T, ConfigError>;

/// Where a part of a configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Bytes that the program gave.
    Bytes,
}

impl Origin {
    /// The file at `path`.
    pub(super) fn file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Bytes => f.write_str("the given bytes"),
        }
    }
}

/// Why a configuration could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is not PEM, or damaged.
    #[error("{origin}: not readable as PEM: {error}")]
    BadPem {
        /// Where it came from.
        origin: Origin,
        /// What is wrong.
        error: String,
    },
    /// There is no certificate in it.
    #[error("{0}: no certificate in it (looked for BEGIN CERTIFICATE)")]
    NoCertificate(Origin),
    /// A certificate cannot be used.
    #[error("{origin}: certificate {position} cannot be used: {error}")]
    BadCertificate {
        /// Where it came from.
        origin: Origin,
        /// Its place, the first is 1.
        position: usize,
        /// What rustls said.
        #[source]
        error: rustls::Error,
    },
    /// There is no private key in it.
    #[error("{0}: no private key in it (looked for PKCS#8, SEC1 and PKCS#1)")]
    NoKey(Origin),
    /// There is more than one private key in it, and which one is meant is not said.
    #[error("{0}: more than one private key in it")]
    SeveralKeys(Origin),
    /// The private key is protected by a pass phrase.
    #[error(
        "{0}: the private key is encrypted, which is not supported; decrypt it with `openssl pkey`"
    )]
    EncryptedKey(Origin),
    /// The provider cannot use the private key.
    #[error("{origin}: the private key cannot be used: {error}")]
    BadKey {
        /// Where it came from.
        origin: Origin,
        /// What rustls said.
        #[source]
        error: rustls::Error,
    },
    /// The key belongs to none of the certificates.
    #[error("the private key of {key} does not belong to the certificate of {certificate}")]
    KeyMismatch {
        /// Where the certificate came from.
        certificate: Origin,
        /// Where the key came from.
        key: Origin,
    },
    /// The key belongs to a certificate that is not the first.
    #[error(
        "{origin}: the order is wrong: the key belongs to certificate {position}, which must come first"
    )]
    WrongOrder {
        /// Where the chain came from.
        origin: Origin,
        /// The place of the certificate that the key belongs to, the first is 1.
        position: usize,
    },
    /// There is nothing to trust.
    #[error("no root certificates: nothing could be trusted")]
    NoRoots,
    /// What the operating system trusts could not be loaded.
    #[error("cannot load the roots of the platform: {0}")]
    PlatformRoots(#[source] rustls::Error),
    /// The roots of the platform check certificates themselves, and this cannot be combined with them.
    #[error("the roots of the platform cannot be used for {0}; name the roots")]
    PlatformRootsFor(&'static str),
    /// There is no revocation list in it.
    #[error("{0}: no revocation list in it (looked for BEGIN X509 CRL)")]
    NoRevocationList(Origin),
    /// A revocation list cannot be used.
    #[error("a revocation list cannot be used: {0}")]
    BadRevocationList(String),
    /// A name is not one that certificates are chosen by.
    #[error("{0:?} is not a DNS name, nor one whose first label is `*`")]
    BadName(String),
    /// A name was given twice.
    #[error("{0:?} was given two certificates")]
    NameTwice(String),
    /// A certificate was given for a name that is not in it.
    #[error("{origin}: the certificate is not valid for {name:?}")]
    NameNotCovered {
        /// Where the certificate came from.
        origin: Origin,
        /// The name.
        name: String,
    },
    /// There is no certificate at all to serve.
    #[error("no certificate for any name, and none for the others")]
    NoNames,
    /// A name of a protocol that does not fit the wire.
    #[error("{0:?} is not a protocol name: ALPN wants 1 to 255 bytes")]
    AlpnName(String),
    /// No provider was named, and none is compiled in.
    #[error("no provider: enable the feature aws-lc-rs or ring, or name one")]
    NoProvider,
    /// The provider has no suite for these versions.
    #[error("the provider cannot speak these versions: {0}")]
    Versions(#[source] rustls::Error),
    /// The provider cannot make session tickets.
    #[error("the provider makes no session tickets; keep sessions in memory")]
    NoTickets,
    /// Making the key of session tickets failed.
    #[error("cannot make the key of session tickets: {0}")]
    Tickets(#[source] rustls::Error),
}

/// With the kind of what the system said, else `InvalidInput`; for programs that start with `?`.
impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::Read { error, .. } => error.kind(),
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
