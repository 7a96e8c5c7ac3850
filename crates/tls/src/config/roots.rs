//! Roots: whom to trust, named aloud.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::error::{ConfigError, Origin, Result};
use super::pem::Source;

/// Whom to trust: certificates of authorities, from one place or several.
#[doc(alias = "load_verify_locations")]
#[doc(alias = "load_default_certs")]
#[derive(Clone, Default)]
pub struct Roots {
    platform: bool,
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Pem(Source),
    Der(Vec<CertificateDer<'static>>),
    #[cfg(feature = "webpki-roots")]
    Mozilla,
    Store(Arc<RootCertStore>),
}

impl Roots {
    /// What the operating system trusts, checked as the operating system does.
    #[cfg(feature = "platform-roots")]
    pub fn platform() -> Self {
        Self { platform: true, parts: Vec::new() }
    }

    /// What Mozilla trusts, compiled in: the same on every machine, and as old as the program.
    #[cfg(feature = "webpki-roots")]
    pub fn mozilla() -> Self {
        Self::of(Part::Mozilla)
    }

    /// Every certificate of a file in PEM.
    pub fn pem_file(path: impl Into<PathBuf>) -> Self {
        Self::of(Part::Pem(Source::File(path.into())))
    }

    /// Every certificate of these bytes in PEM.
    pub fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::of(Part::Pem(Source::Bytes(text.into())))
    }

    /// These certificates in DER.
    pub fn der(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self::of(Part::Der(certificates))
    }

    /// These, and others as well.
    pub fn and(mut self, others: Self) -> Self {
        self.platform |= others.platform;
        self.parts.extend(others.parts);
        self
    }

    /// Whether the operating system has a say.
    pub(super) fn wants_platform(&self) -> bool {
        self.platform
    }

    /// The certificates that were named, read; there may be none.
    pub(super) fn named(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        for part in &self.parts {
            match part {
                Part::Pem(source) => {
                    add(&mut store, source.certificates()?, &source.origin())?;
                }
                Part::Der(certificates) => add(&mut store, certificates.clone(), &Origin::Bytes)?,
                #[cfg(feature = "webpki-roots")]
                Part::Mozilla => store.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
                Part::Store(other) => store.roots.extend(other.roots.iter().cloned()),
            }
        }
        Ok(store)
    }

    /// The certificates that were named, at least one, and nothing of the platform's.
    pub(super) fn store(&self, what_for: &'static str) -> Result<Arc<RootCertStore>> {
        if self.platform {
            return Err(ConfigError::PlatformRootsFor(what_for));
        }
        let store = self.named()?;
        if store.is_empty() {
            return Err(ConfigError::NoRoots);
        }
        Ok(Arc::new(store))
    }

    /// The certificates that were named, as certificates: the platform's verifier takes them and nothing else.
    #[cfg(feature = "platform-roots")]
    pub(super) fn named_certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let mut certificates = Vec::new();
        for part in &self.parts {
            match part {
                Part::Pem(source) => certificates.extend(source.certificates()?),
                Part::Der(named) => certificates.extend(named.iter().cloned()),
                #[cfg(feature = "webpki-roots")]
                Part::Mozilla => return Err(ConfigError::PlatformRootsFor("Mozilla's besides")),
                Part::Store(_) => return Err(ConfigError::PlatformRootsFor("a store besides")),
            }
        }
        Ok(certificates)
    }

    fn of(part: Part) -> Self {
        Self { platform: false, parts: vec![part] }
    }
}

/// A store that was made elsewhere.
impl From<Arc<RootCertStore>> for Roots {
    fn from(store: Arc<RootCertStore>) -> Self {
        Self::of(Part::Store(store))
    }
}

/// Adds certificates, and says which one is none.
fn add(
    store: &mut RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    origin: &Origin,
) -> Result<()> {
    for (index, certificate) in certificates.into_iter().enumerate() {
        store.add(certificate).map_err(|error| ConfigError::BadCertificate {
            origin: origin.clone(),
            position: index + 1,
            error,
        })?;
    }
    Ok(())
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("platform", &self.platform)
            .field("parts", &self.parts.len())
            .finish()
    }
}
