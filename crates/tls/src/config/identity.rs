//! An identity: a certificate, what leads from it to a root, and the private key; checked against each other.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};

use super::error::{ConfigError, Origin, Result};
use super::pem::Source;
use super::provider::Provider;

/// Who we are: a chain of certificates, our own first, and the private key of the first.
///
/// It is a description; files are read when a configuration is built, and again when certificates are reloaded.
/// Keys are understood in PKCS#8 (`PRIVATE KEY`), SEC1 (`EC PRIVATE KEY`) and PKCS#1 (`RSA PRIVATE KEY`).
#[doc(alias = "load_cert_chain")]
#[derive(Clone)]
pub struct Identity {
    chain: Chain,
    key: Key,
}

#[derive(Clone)]
enum Chain {
    Pem(Source),
    Der(Vec<CertificateDer<'static>>),
}

enum Key {
    Pem(Source),
    Der(PrivateKeyDer<'static>),
}

// Secrets are cloned by name in rustls, so that nobody does it by accident.
impl Clone for Key {
    fn clone(&self) -> Self {
        match self {
            Self::Pem(source) => Self::Pem(source.clone()),
            Self::Der(key) => Self::Der(key.clone_key()),
        }
    }
}

impl Identity {
    /// A file with the chain and a file with the key, both in PEM.
    pub fn pem_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            chain: Chain::Pem(Source::File(chain.into())),
            key: Key::Pem(Source::File(key.into())),
        }
    }

    /// One file with the chain and the key, in PEM.
    pub fn pem_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::pem_files(path.clone(), path)
    }

    /// The chain and the key as bytes, both in PEM.
    pub fn pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            chain: Chain::Pem(Source::Bytes(chain.into())),
            key: Key::Pem(Source::Bytes(key.into())),
        }
    }

    /// The chain and the key in DER.
    pub fn der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain: Chain::Der(chain), key: Key::Der(key) }
    }

    /// Where the chain comes from.
    pub(super) fn origin(&self) -> Origin {
        match &self.chain {
            Chain::Pem(source) => source.origin(),
            Chain::Der(_) => Origin::Bytes,
        }
    }

    /// Reads and checks it.
    pub(super) fn load(&self, provider: &Provider) -> Result<Arc<CertifiedKey>> {
        let chain = match &self.chain {
            Chain::Pem(source) => source.certificates()?,
            Chain::Der(chain) if chain.is_empty() => {
                return Err(ConfigError::NoCertificate(Origin::Bytes));
            }
            Chain::Der(chain) => chain.clone(),
        };
        let (key, key_origin) = match &self.key {
            Key::Pem(source) => (source.private_key()?, source.origin()),
            Key::Der(key) => (key.clone_key(), Origin::Bytes),
        };
        let key = provider
            .crypto()
            .key_provider
            .load_private_key(key)
            .map_err(|error| ConfigError::BadKey { origin: key_origin.clone(), error })?;
        self.check(&chain, &*key, key_origin)?;
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// Every certificate is one, and the key is that of the first.
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        key: &dyn SigningKey,
        key_origin: Origin,
    ) -> Result<()> {
        let mut position_of_key = None;
        // A key of a third party, such as one in hardware, may not say what its public half is.
        let public = key.public_key();
        for (index, der) in chain.iter().enumerate() {
            let position = index + 1;
            let certificate = ParsedCertificate::try_from(der).map_err(|error| {
                ConfigError::BadCertificate { origin: self.origin(), position, error }
            })?;
            let is_ours = public.as_ref() == Some(&certificate.subject_public_key_info());
            if is_ours && position_of_key.is_none() {
                position_of_key = Some(position);
            }
        }
        match position_of_key {
            _ if public.is_none() => Ok(()),
            Some(1) => Ok(()),
            Some(position) => Err(ConfigError::WrongOrder { origin: self.origin(), position }),
            None => Err(ConfigError::KeyMismatch { certificate: self.origin(), key: key_origin }),
        }
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.origin()).finish_non_exhaustive()
    }
}
